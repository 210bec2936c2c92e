//! Declarations of operations that are alike.

/// Declares a family of operations of some tensors: for each its attributes, its name in the contract, and how it is
/// computed.
macro_rules! operations {
    ($(#[$about:meta])* $family:ident ($($input:ident: $of:ty),*) -> $made:ty {
        $($variant:ident $({ $($attribute:ident: $type:ty),* })? $name:literal => $run:expr;)*
    }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) enum $family {
            $($variant $({ $($attribute: $type),* })?,)*
        }

        impl $family {
            /// Its name in the contract.
            pub(crate) fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name,)*
                }
            }

            /// Computes it by libtorch.
            pub(crate) fn run(&self, $($input: $of),*) -> Result<$made, tch::TchError> {
                match self {
                    $(Self::$variant $({ $($attribute),* })? => $run,)*
                }
            }
        }
    };
}
