//! Reductions, and what is computed along a dimension.

use lossmith_program::{Binary, Id, Reduction as Over, Unary};
use tch::Kind;

use super::Lowering;
use crate::operation::{Along, Reduction};
use crate::program::ValueId;

impl Lowering<'_> {
    pub(super) fn reduction(&mut self, op: &Reduction, x: ValueId, out: ValueId) -> Option<Id> {
        let (of, shape) = (self.shape(x)?, self.shape(out)?);
        let dims = |dims: &[i64]| places(dims, of.len());
        let float = self.is_float(x);
        let reduced = match op {
            Reduction::Sum { dims: over, .. } => {
                // A sum of a mask is a number of elements.
                if self.is(x, Kind::Bool) {
                    self.set_small(out);
                } else if !float {
                    return None;
                }
                let x = self.get(x)?;
                self.sum(x, &dims(over)?)
            }
            Reduction::Mean { dims: over, .. } if float => {
                let (x, over) = (self.get(x)?, dims(over)?);
                let sum = self.sum(x, &over);
                let count: usize = over.iter().filter_map(|&dim| of.get(dim)).product();
                self.graph.scalar(Binary::Div, sum, count as f64)
            }
            Reduction::Variance { dims: over, correction, .. } if float => {
                let (x, over) = (self.get(x)?, dims(over)?);
                let count = over.iter().filter_map(|&dim| of.get(dim)).product::<usize>() as f64;
                let sum = self.sum(x, &over);
                let mean = self.graph.scalar(Binary::Div, sum, count);
                let difference = self.graph.binary(Binary::Sub, x, mean);
                let squares = self.graph.binary(Binary::Mul, difference, difference);
                let sum = self.sum(squares, &over);
                self.graph.scalar(Binary::Div, sum, (count - *correction as f64).max(0.0))
            }
            Reduction::Amax { dims: over, .. } if float => self.extreme(x, &dims(over)?, Over::Max)?,
            Reduction::Amin { dims: over, .. } if float => self.extreme(x, &dims(over)?, Over::Min)?,
            Reduction::Any { dims: over, .. } | Reduction::All { dims: over, .. } if self.is(x, Kind::Bool) => {
                let which = if matches!(op, Reduction::Any { .. }) { Over::Max } else { Over::Min };
                let (x, over) = (self.get(x)?, dims(over)?);
                // One dimension after the other, so that rows need not lie in memory. Numbers share a gradient.
                over.iter().rev().fold(x, |mask, &dim| self.graph.reduce_over(which, mask, dim))
            }
            Reduction::LogSumExp { dims: over, .. } if float => {
                let rows = self.as_rows(x, &dims(over)?)?;
                self.log_sum_exp(rows)
            }
            Reduction::Norm { p: 2.0, dims: over, .. } if float => {
                let rows = self.as_rows(x, &dims(over)?)?;
                self.root_of_squares(rows)
            }
            Reduction::Norm { p: 1.0, dims: over, .. } if float => {
                let (x, over) = (self.get(x)?, dims(over)?);
                let absolute = self.graph.unary(Unary::Abs, x);
                self.sum(absolute, &over)
            }
            Reduction::ArgMax { dim, .. } | Reduction::ArgMin { dim, .. } if float => {
                let which = if matches!(op, Reduction::ArgMax { .. }) { Over::ArgMax } else { Over::ArgMin };
                let rows = self.as_rows(x, &dims(&[*dim])?)?;
                self.set_small(out);
                self.graph.reduce(which, rows)
            }
            _ => return None,
        };
        Some(self.graph.reshape(reduced, &shape))
    }

    /// The dimensions stay with size 1.
    fn sum(&mut self, x: Id, dims: &[usize]) -> Id {
        dims.iter().rev().fold(x, |sum, &dim| self.graph.reduce_over(Over::Sum, sum, dim))
    }

    fn extreme(&mut self, x: ValueId, dims: &[usize], op: Over) -> Option<Id> {
        let rows = self.as_rows(x, dims)?;
        Some(self.graph.reduce(op, rows))
    }

    /// `x` with the dimensions as the last one, if they are the last ones in order, or one.
    fn as_rows(&mut self, x: ValueId, dims: &[usize]) -> Option<Id> {
        let shape = self.shape(x)?;
        let rank = shape.len();
        let x = self.get(x)?;
        let first = *dims.first()?;
        if dims.iter().copied().eq(first..rank) {
            let rows = shape.get(..first)?.iter().copied().chain([shape.get(first..)?.iter().product()]);
            let rows: Vec<usize> = rows.collect();
            return Some(self.graph.reshape(x, &rows));
        }
        (dims.len() == 1).then(|| self.with_last(x, first))
    }

    /// With another dimension as the last one.
    fn with_last(&mut self, x: Id, dim: usize) -> Id {
        let rank = self.graph.shape(x).len();
        let order: Vec<usize> = (0..rank).filter(|&other| other != dim).chain([dim]).collect();
        self.graph.permute(x, &order)
    }

    /// The largest of each row, through which no gradient flows; 0 where it is not finite.
    fn shift(&mut self, x: Id) -> Id {
        let largest = self.graph.reduce(Over::FirstMax, x);
        let largest = self.graph.unary(Unary::Stop, largest);
        let (finite, zero) = (self.graph.unary(Unary::IsFinite, largest), self.graph.constant(0.0));
        self.graph.choose(finite, largest, zero)
    }

    fn log_sum_exp(&mut self, x: Id) -> Id {
        let shift = self.shift(x);
        let shifted = self.graph.binary(Binary::Sub, x, shift);
        let exponentials = self.graph.unary(Unary::Exp, shifted);
        let sum = self.graph.reduce(Over::Sum, exponentials);
        let logarithm = self.graph.unary(Unary::Log, sum);
        self.graph.binary(Binary::Add, logarithm, shift)
    }

    pub(super) fn along(&mut self, op: &Along, x: ValueId) -> Option<Id> {
        if !self.is_float(x) {
            return None;
        }
        let rank = self.shape(x)?.len();
        let dim = match op {
            Along::Softmax { dim } | Along::LogSoftmax { dim } | Along::Normalize { p: 2.0, dim } => *dim,
            Along::CumSum { .. } | Along::Normalize { .. } => return None,
        };
        let dim = *places(&[dim], rank)?.first()?;
        let given = self.get(x)?;
        let rows = self.with_last(given, dim);
        let computed = match op {
            Along::Normalize { .. } => self.unit(rows),
            Along::Softmax { .. } => {
                let exponentials = self.exponentials(rows);
                let sum = self.graph.reduce(Over::Sum, exponentials);
                self.graph.binary(Binary::Div, exponentials, sum)
            }
            Along::LogSoftmax { .. } => {
                let largest = self.graph.reduce(Over::FirstMax, rows);
                let largest = self.graph.unary(Unary::Stop, largest);
                let shifted = self.graph.binary(Binary::Sub, rows, largest);
                let exponentials = self.graph.unary(Unary::Exp, shifted);
                let sum = self.graph.reduce(Over::Sum, exponentials);
                let logarithm = self.graph.unary(Unary::Log, sum);
                self.graph.binary(Binary::Sub, shifted, logarithm)
            }
            Along::CumSum { .. } => return None,
        };
        // Back to where it was.
        let mut order: Vec<usize> = (0..rank - 1).collect();
        order.insert(dim, rank - 1);
        Some(self.graph.permute(computed, &order))
    }

    fn exponentials(&mut self, rows: Id) -> Id {
        let largest = self.graph.reduce(Over::FirstMax, rows);
        let largest = self.graph.unary(Unary::Stop, largest);
        let shifted = self.graph.binary(Binary::Sub, rows, largest);
        self.graph.unary(Unary::Exp, shifted)
    }
}

/// Places of dimensions, ascending; all where there are none.
fn places(dims: &[i64], rank: usize) -> Option<Vec<usize>> {
    if dims.is_empty() {
        return Some((0..rank).collect());
    }
    let place = |&dim: &i64| usize::try_from(if dim < 0 { dim + rank as i64 } else { dim }).ok();
    let mut places: Vec<usize> = dims.iter().map(place).collect::<Option<_>>()?;
    places.sort_unstable();
    places.iter().all(|&place| place < rank).then_some(places)
}
