//! Operations on tensors that have shapes and no values.

use lossmith_torch_shim::meta;
use tch::{Device, Kind, TchError, Tensor};

use super::formulas::refuse;
use super::{Binary, Choice, Classes, Count, Draw, Lookup, Made, Op, Streams, Unary};
use crate::dtype::is_float;

impl Op {
    /// What it makes of tensors that have no values: others without values, of the shapes, strides and dtypes that it
    /// would make.
    ///
    /// # Errors
    /// What libtorch says, also where the shape of a result depends on values.
    pub(crate) fn run_on_meta(&self, inputs: &[&Tensor]) -> Result<Made, TchError> {
        let made = match self {
            Self::Create(op) => op.with_shape(|shape| empty(shape, op.kind())),
            Self::Draw(Draw { shape, options: (kind, _), .. }) => empty(shape, *kind),
            Self::Classes(Classes::OneHot { classes, kind }) => {
                refuse(*classes < 1, "there is no class")?;
                let shape = inputs.iter().flat_map(|labels| labels.size()).chain([*classes]);
                empty(&shape.collect::<Vec<_>>(), *kind)
            }
            Self::Classes(Classes::Same | Classes::Different) => {
                let size = inputs.iter().map(|labels| labels.numel() as i64).sum();
                empty(&[size, size], Kind::Bool)
            }
            Self::Count(Count::Bincount { size }) => empty(&[*size], Kind::Int64),
            // A program with a gradient inside runs step by step, with all that it computes on the way.
            Self::Backward(_) => Err(TchError::Torch("a gradient is computed of values".into())),
            // Some of C++ libtorch has only for tensors with values: others of their shape and dtype take their place.
            _ => match (self, inputs) {
                (Self::Unary(Unary::LogicalNot | Unary::IsFinite), [x]) => x.f_eq(0.0),
                (Self::Unary(Unary::Abs | Unary::Relu | Unary::SafeSqrt | Unary::LogSigmoid), [x])
                    if is_float(x.kind()) =>
                {
                    x.f_neg()
                }
                (Self::Binary(Binary::LogicalAnd | Binary::LogicalOr | Binary::LogicalXor), [a, b]) => a.f_eq_tensor(b),
                (Self::Choice(Choice::Where), [a, b, mask]) if is_float(a.kind()) => {
                    a.f_add(b)?.f_add(&mask.f_to_kind(a.kind())?)
                }
                (Self::Lookup(Lookup::IndexSelect { dim }), [x, index]) => chosen(x, *dim, index),
                _ => return self.run(inputs, Streams::default()),
            },
        };
        made.map(Made::One)
    }
}

fn chosen(x: &Tensor, dim: i64, index: &Tensor) -> Result<Tensor, TchError> {
    let mut shape = x.size();
    let place = if dim < 0 { dim + shape.len() as i64 } else { dim };
    let size = usize::try_from(place).ok().and_then(|place| shape.get_mut(place));
    *size.ok_or_else(|| TchError::Torch("there is no such dimension".into()))? = index.numel() as i64;
    // Of the same dtype, and followed by autograd if `x` is.
    x.f_sum(x.kind())?.f_add(&empty(&shape, x.kind())?)
}

fn empty(shape: &[i64], kind: Kind) -> Result<Tensor, TchError> {
    meta(&Tensor::f_zeros([0_i64; 0], (kind, Device::Cpu))?)?.f_repeat(shape)
}
