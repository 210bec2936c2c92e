//! Declarations of functions that are alike.

/// Declares functions of one tensor whose result is of its size: `name(arguments..) Family Operation CHARGE;`.
macro_rules! unary {
    ($($function:ident ($($argument:ident: $type:ty),*) $family:ident $operation:ident $charge:ident;)*) => {
        $(fn $function(&mut self, x: Handle, $($argument: $type),*) -> Result<Handle> {
            self.unary($family::$operation { $($argument),* }.into(), &x, charge::$charge, None)
        })*
    };
}

/// Declares reductions over a list of dimensions.
macro_rules! reduction {
    ($($function:ident ($($argument:ident: $type:ty),*) $operation:ident $charge:ident;)*) => {
        $(fn $function(&mut self, x: Handle, $($argument: $type,)* dims: Vec<i64>, keep: bool) -> Result<Handle> {
            let made = self.reduced(stringify!($function), &x, &dims)?;
            self.unary(Reduction::$operation { $($argument,)* dims, keep }.into(), &x, charge::$charge, Some(made))
        })*
    };
}

/// Declares views.
macro_rules! view {
    ($($function:ident ($($argument:ident: $type:ty),*) $operation:ident;)*) => {
        $(fn $function(&mut self, x: Handle, $($argument: $type),*) -> Result<Handle> {
            self.view(Shape::$operation { $($argument),* }.into(), &x)
        })*
    };
}

/// Declares functions of two tensors that broadcast.
macro_rules! binary {
    ($($function:ident $operation:ident $charge:ident;)*) => {
        $(fn $function(&mut self, a: Handle, b: Handle) -> Result<Handle> {
            self.binary(Binary::$operation.into(), &a, &b, charge::$charge)
        })*
    };
}
