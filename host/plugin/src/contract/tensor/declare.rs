//! Declarations of functions that are alike.

/// Declares functions of one tensor whose result is of its size: `name CHARGE => |x, arguments..| operation;`.
macro_rules! unary {
    ($($function:ident ($($argument:ident: $type:ty),*) $name:literal $charge:ident => |$x:ident| $run:expr;)*) => {
        $(fn $function(&mut self, x: Handle, $($argument: $type),*) -> Result<Handle> {
            self.unary($name, &x, charge::$charge, None, |$x| $run)
        })*
    };
}

/// Declares reductions over a list of dimensions.
macro_rules! reduction {
    ($($function:ident ($($argument:ident: $type:ty),*) $name:literal $charge:ident =>
        |$x:ident, $dims:ident, $keep:ident| $run:expr;)*) => {
        $(fn $function(&mut self, x: Handle, $($argument: $type,)* $dims: Vec<i64>, $keep: bool) -> Result<Handle> {
            let made = self.reduced($name, &x, &$dims)?;
            self.unary($name, &x, charge::$charge, Some(made), |$x| $run)
        })*
    };
}

/// Declares views.
macro_rules! view {
    ($($function:ident ($($argument:ident: $type:ty),*) $name:literal => |$x:ident| $run:expr;)*) => {
        $(fn $function(&mut self, x: Handle, $($argument: $type),*) -> Result<Handle> {
            self.view($name, &x, |$x| $run)
        })*
    };
}

/// Declares functions of two tensors that broadcast.
macro_rules! binary {
    ($($function:ident $name:literal $charge:ident => |$a:ident, $b:ident| $run:expr;)*) => {
        $(fn $function(&mut self, a: Handle, b: Handle) -> Result<Handle> {
            self.binary($name, &a, &b, charge::$charge, |$a, $b| $run)
        })*
    };
}
