//! Any operation.

use tch::{TchError, Tensor};

use super::autograd::{Backward, Given, Stop};
use super::creation::Create;
use super::elementwise::{Binary, Unary};
use super::indexing::{Choice, Classes, Lookup, Places, Put};
use super::order::{Count, Order, Search};
use super::products::{Einsum, Hinges, Product};
use super::random::{Draw, Streams};
use super::reductions::{Along, Reduction};
use super::shapes::{Join, Shape, Split};

/// What an operation makes.
#[derive(Debug)]
pub(crate) enum Made {
    /// Most make one tensor.
    One(Tensor),
    /// Values, and what belongs to them.
    Two(Tensor, Tensor),
    /// As many as the operation says.
    Many(Vec<Tensor>),
}

impl Made {
    /// The only tensor.
    pub(crate) fn one(self) -> Result<Tensor, TchError> {
        match self {
            Self::One(tensor) => Ok(tensor),
            Self::Two(..) | Self::Many(_) => Err(wrong("more than one result")),
        }
    }

    /// Both tensors.
    pub(crate) fn two(self) -> Result<(Tensor, Tensor), TchError> {
        match self {
            Self::Two(first, second) => Ok((first, second)),
            Self::One(_) | Self::Many(_) => Err(wrong("not two results")),
        }
    }

    /// All tensors, in order.
    pub(crate) fn many(self) -> Vec<Tensor> {
        match self {
            Self::One(tensor) => vec![tensor],
            Self::Two(first, second) => vec![first, second],
            Self::Many(tensors) => tensors,
        }
    }
}

/// Declares the families by what they take and make.
macro_rules! families {
    ($($family:ident $inputs:ident $made:ident;)*) => {
        /// An operation with its attributes. Its inputs come in the order in which its family names them.
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) enum Op {
            /// A random tensor.
            Draw(Draw),
            $($family($family),)*
        }

        impl Op {
            /// The name of the contract's function.
            pub(crate) fn name(&self) -> &'static str {
                match self {
                    Self::Draw(draw) => draw.name(),
                    $(Self::$family(op) => op.name(),)*
                }
            }

            /// Computes it by libtorch.
            ///
            /// # Errors
            /// What libtorch says, and what is refused before libtorch is asked.
            pub(crate) fn run(&self, inputs: &[&Tensor], streams: Streams) -> Result<Made, TchError> {
                match self {
                    Self::Draw(draw) => draw.run(streams).map(Made::One),
                    $(Self::$family(op) => families!(@$inputs op, inputs).map(families!(@$made)),)*
                }
            }
        }

        $(impl From<$family> for Op {
            fn from(op: $family) -> Self {
                Self::$family(op)
            }
        })*
    };
    (@none $op:ident, $inputs:ident) => { $op.run() };
    (@one $op:ident, $inputs:ident) => {{
        let [x] = exactly($inputs)?;
        $op.run(x)
    }};
    (@two $op:ident, $inputs:ident) => {{
        let [a, b] = exactly($inputs)?;
        $op.run(a, b)
    }};
    (@three $op:ident, $inputs:ident) => {{
        let [a, b, c] = exactly($inputs)?;
        $op.run(a, b, c)
    }};
    (@some $op:ident, $inputs:ident) => { $op.run($inputs) };
    (@tensor) => { Made::One };
    (@pair) => { |(first, second)| Made::Two(first, second) };
    (@tensors) => { Made::Many };
}

families! {
    Unary one tensor;
    Binary two tensor;
    Choice three tensor;
    Reduction one tensor;
    Along one tensor;
    Shape one tensor;
    Split one tensors;
    Join some tensor;
    Product two tensor;
    Einsum some tensor;
    Hinges two pair;
    Lookup two tensor;
    Places three tensor;
    Put three tensor;
    Classes one tensor;
    Order one pair;
    Count one tensor;
    Search two tensor;
    Create none tensor;
    Stop one tensor;
    Backward some tensors;
    Given some tensor;
}

impl Op {
    /// Bytes of attributes that a plugin can make long; those of shapes and dimensions are few.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Create(Create::FromFloats { data, .. }) => size_of_val(data.as_slice()),
            Self::Create(Create::FromDoubles { data, .. }) => size_of_val(data.as_slice()),
            Self::Create(Create::FromIntegers { data, .. }) => size_of_val(data.as_slice()),
            Self::Einsum(Einsum::Einsum { equation }) => equation.len(),
            _ => 0,
        }
    }
}

/// So many inputs, no more and no less.
fn exactly<'a, const N: usize>(inputs: &[&'a Tensor]) -> Result<[&'a Tensor; N], TchError> {
    inputs.try_into().map_err(|_| wrong("another number of inputs"))
}

impl From<Draw> for Op {
    fn from(draw: Draw) -> Self {
        Self::Draw(draw)
    }
}

fn wrong(message: &str) -> TchError {
    TchError::Torch(message.into())
}
