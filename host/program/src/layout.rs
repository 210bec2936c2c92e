//! Where the elements of a view lie in the array that it is a view of.

use crate::graph::{View, elements};

/// The places of the elements of a view: `offset + sum(position * stride)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) offset: usize,
    pub(crate) strides: Vec<usize>,
}

impl Layout {
    /// All elements in their order.
    pub(crate) fn contiguous(shape: &[usize]) -> Self {
        let mut strides = vec![0; shape.len()];
        let mut stride = 1;
        for (place, &size) in shape.iter().enumerate().rev() {
            strides[place] = stride;
            stride *= size;
        }
        Self { offset: 0, strides }
    }

    pub(crate) fn is_contiguous(&self, shape: &[usize]) -> bool {
        let whole = Self::contiguous(shape);
        elements(shape) == 0
            || shape.iter().zip(&self.strides).zip(&whole.strides).all(|((&size, a), b)| size == 1 || a == b)
    }

    /// The places of a view of this; none where only a copy has them so.
    pub(crate) fn view(&self, view: &View, from: &[usize], to: &[usize]) -> Option<Self> {
        let Self { offset, strides } = self;
        Some(match view {
            View::Reshape => {
                if self.is_contiguous(from) {
                    return Some(Self { offset: *offset, ..Self::contiguous(to) });
                }
                // Dimensions of size 1 come and go.
                let wide = |shape: &[usize]| shape.iter().copied().filter(|&size| size != 1).collect::<Vec<_>>();
                if wide(from) != wide(to) {
                    return None;
                }
                let mut left = from.iter().zip(strides).filter(|(size, _)| **size != 1).map(|(_, &stride)| stride);
                let strides = to.iter().map(|&size| if size == 1 { 0 } else { left.next().unwrap_or(0) }).collect();
                Self { offset: *offset, strides }
            }
            View::Permute(dims) => Self { offset: *offset, strides: dims.iter().map(|&dim| strides[dim]).collect() },
            View::Expand => Self { offset: *offset, strides: self.broadcast(from, to) },
            View::Narrow { dim, start } => Self { offset: offset + start * strides[*dim], strides: strides.clone() },
            View::Diagonal => {
                let (before, last) = strides.split_at(strides.len() - 2);
                let strides = before.iter().copied().chain([last.iter().sum()]).collect();
                Self { offset: *offset, strides }
            }
        })
    }

    /// The strides in a shape to which this one broadcasts.
    pub(crate) fn broadcast(&self, from: &[usize], to: &[usize]) -> Vec<usize> {
        let added = to.len() - from.len();
        let own = from.iter().zip(&self.strides).map(|(&size, &stride)| if size == 1 { 0 } else { stride });
        std::iter::repeat_n(0, added).chain(own).collect()
    }
}

/// How an operand is read for each row of a space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// One element of each row and column, row after row.
    Full { offset: usize },
    /// The same row again and again.
    Column { offset: usize },
    /// One element of each row, row after row.
    Row { offset: usize },
    /// One element.
    One { offset: usize },
    /// In any other way: sizes and strides of the dimensions before the last, and the stride of the last.
    Strided { offset: usize, rows: Vec<(usize, usize)>, column: usize },
}

/// How the elements of `layout`, of shape `from`, are read in a space of shape `to`, to which it broadcasts.
pub(crate) fn access(layout: &Layout, from: &[usize], to: &[usize]) -> Access {
    let strides = layout.broadcast(from, to);
    let offset = layout.offset;
    let (outer, columns, column) = match to {
        [] => (0, 1, 0),
        [_] => (1, 1, 0),
        [.., last] => (to.len() - 1, *last, strides[to.len() - 1]),
    };
    let column = if columns == 1 { 0 } else { column };
    let rows: Vec<(usize, usize)> = to[..outer].iter().copied().zip(strides.iter().copied()).collect();
    let in_order = |step: usize| {
        let mut stride = step;
        rows.iter().rev().all(|&(size, of_dim)| {
            let fits = size == 1 || of_dim == stride;
            stride *= size;
            fits
        })
    };
    let same = rows.iter().all(|&(size, stride)| size == 1 || stride == 0);
    if column == 1 && in_order(columns) {
        Access::Full { offset }
    } else if column == 0 && same {
        Access::One { offset }
    } else if columns == 1 && in_order(1) {
        Access::Full { offset }
    } else if column == 0 && in_order(1) {
        Access::Row { offset }
    } else if column == 1 && same {
        Access::Column { offset }
    } else {
        Access::Strided { offset, rows, column }
    }
}
