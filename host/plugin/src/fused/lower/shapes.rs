//! The same elements in other shapes and dtypes.

use lossmith_program::{Binary, Id};
use tch::Kind;

use super::Lowering;
use crate::operation::{Shape, Split};
use crate::program::ValueId;

impl Lowering<'_> {
    pub(super) fn reshaped(&mut self, op: &Shape, x: ValueId, out: ValueId) -> Option<Id> {
        let (shape, of) = (self.shape(out)?, self.shape(x)?);
        let rank = of.len();
        let place = |dim: i64| usize::try_from(if dim < 0 { dim + rank as i64 } else { dim }).ok();
        if self.is_small(x) {
            self.set_small(out);
        }
        match op {
            Shape::Same => self.get(x),
            Shape::ToDtype { kind } => match (self.meta(x)?.kind, *kind) {
                // Integers as floats are rounded as libtorch rounds them.
                (Kind::Bool | Kind::Int64, to) if to != Kind::Bool && (to != Kind::Int64 || self.is(x, Kind::Bool)) => {
                    self.get(x)
                }
                (_, Kind::Bool) => {
                    let x = self.get(x)?;
                    Some(self.graph.scalar(Binary::Ne, x, 0.0))
                }
                _ => None,
            },
            Shape::Transpose { dim0, dim1 } => {
                let mut order: Vec<usize> = (0..rank).collect();
                if rank > 0 {
                    order.swap(place(*dim0)?, place(*dim1)?);
                }
                let x = self.get(x)?;
                Some(self.graph.permute(x, &order))
            }
            Shape::Permute { dims } => {
                let order: Vec<usize> = dims.iter().map(|&dim| place(dim)).collect::<Option<_>>()?;
                let x = self.get(x)?;
                Some(self.graph.permute(x, &order))
            }
            Shape::Diagonal => {
                let x = self.get(x)?;
                Some(self.graph.diagonal(x))
            }
            Shape::Tril { k } | Shape::Triu { k } if self.is_float(x) => {
                let below = matches!(op, Shape::Tril { .. });
                self.triangle(x, *k as f64, below)
            }
            Shape::Reshape { .. } | Shape::Squeeze { .. } | Shape::Unsqueeze { .. } => {
                let x = self.get(x)?;
                Some(self.graph.reshape(x, &shape))
            }
            Shape::Expand { .. } => {
                let x = self.get(x)?;
                Some(self.graph.expand(x, &shape))
            }
            Shape::Narrow { dim, start, length } => {
                let (dim, x) = (place(*dim)?, self.get(x)?);
                let size = *of.get(dim)?;
                let start = usize::try_from(if *start < 0 { start + size as i64 } else { *start }).ok()?;
                let length = usize::try_from(*length).ok()?;
                Some(self.graph.narrow(x, dim, start, length))
            }
            Shape::Select { dim, index } => {
                let (dim, x) = (place(*dim)?, self.get(x)?);
                let size = *of.get(dim)?;
                let start = usize::try_from(if *index < 0 { index + size as i64 } else { *index }).ok()?;
                let one = self.graph.narrow(x, dim, start, 1);
                Some(self.graph.reshape(one, &shape))
            }
            Shape::DiagEmbed | Shape::Tril { .. } | Shape::Triu { .. } | Shape::Flip { .. } | Shape::Repeat { .. } => {
                None
            }
        }
    }

    /// 0 above (`below`) or below the k-th diagonal.
    fn triangle(&mut self, x: ValueId, k: f64, below: bool) -> Option<Id> {
        let shape = self.shape(x)?;
        let &[.., rows, columns] = shape.as_slice() else { return None };
        let x = self.get(x)?;
        let graph = &mut self.graph;
        let (down, along) = (graph.positions(rows), graph.positions(columns));
        let down = graph.reshape(down, &[rows, 1]);
        let last = graph.scalar(Binary::Add, down, k);
        let kept = graph.binary(if below { Binary::Le } else { Binary::Ge }, along, last);
        let zero = graph.constant(0.0);
        Some(graph.choose(kept, x, zero))
    }

    pub(super) fn split(&mut self, op: &Split, x: ValueId, outputs: &[ValueId]) -> Option<Vec<Id>> {
        let Split::Slices { dim, .. } = op;
        let rank = self.shape(x)?.len();
        let dim = usize::try_from(if *dim < 0 { dim + rank as i64 } else { *dim }).ok()?;
        let x = self.get(x)?;
        let mut start = 0;
        let parts = outputs.iter().map(|&part| {
            let length = *self.shape(part)?.get(dim)?;
            start += length;
            Some(self.graph.narrow(x, dim, start - length, length))
        });
        parts.collect()
    }
}
