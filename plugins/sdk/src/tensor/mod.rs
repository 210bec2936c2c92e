//! Tensors: handles of the host's, with operators and methods for every operation of the contract.

mod arithmetic;
mod compare;
mod create;
mod dims;
mod functions;
mod index;
mod reduce;
mod shape;

pub use crate::bindings::lossmith::plugin::tensor::Dtype;
pub use arithmetic::Operand;
pub use dims::{ALL, Dims, Keep, keep};

use crate::bindings::lossmith::plugin::tensor as host;

/// An n-dimensional array on the training device. Operations make new tensors; the gradient flows through them unless
/// they say "not differentiable". Shapes broadcast as in NumPy; a dimension counts from 0, or from the end when
/// negative.
///
/// A shape, dtype or index that does not fit ends the call with a fault that names the operation and the shapes: there
/// is nothing to catch.
#[derive(Debug)]
pub struct Tensor(host::Tensor);

impl Tensor {
    pub(crate) fn handle(&self) -> &host::Tensor {
        &self.0
    }

    pub(crate) fn into_handle(self) -> host::Tensor {
        self.0
    }
}

impl From<host::Tensor> for Tensor {
    fn from(handle: host::Tensor) -> Self {
        Self(handle)
    }
}

/// Methods that take no more than numbers and give one tensor: `/// doc` and `name(argument: type, ..)`.
macro_rules! methods {
    ($($(#[doc = $about:literal])+ $method:ident($($argument:ident: $type:ty),*);)*) => {
        impl Tensor {
            $(
                $(#[doc = $about])+
                pub fn $method(&self, $($argument: $type),*) -> Tensor {
                    Tensor(self.0.$method($($argument),*))
                }
            )*
        }
    };
}
use methods;
