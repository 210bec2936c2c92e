//! Choosing and adding elements by position.

use super::{Tensor, methods};

methods! {
    /// `length` entries from `start` along `dim`.
    narrow(dim: i64, start: i64, length: i64);
    /// Entry `index` along `dim`; the dimension goes away.
    select(dim: i64, index: i64);
    /// Positions of the true or non-zero elements: count x rank, integer. Waits for the device; not differentiable.
    nonzero();
    /// Integers 0 to `classes - 1` as floats 0 and 1 in a new last dimension (not differentiable).
    one_hot(classes: i64);
}

impl Tensor {
    /// Element `index[..]` along `dim` for each position of `index` (integer; as many dimensions as `self`).
    pub fn gather(&self, dim: i64, index: &Tensor) -> Tensor {
        Tensor(self.0.gather(dim, &index.0))
    }

    /// The entries `index` (vector of integers) along `dim`.
    pub fn index_select(&self, dim: i64, index: &Tensor) -> Tensor {
        Tensor(self.0.index_select(dim, &index.0))
    }

    /// The elements at (`rows[i]`, `columns[i]`) of a matrix, as a vector.
    pub fn at(&self, rows: &Tensor, columns: &Tensor) -> Tensor {
        Tensor(self.0.at(&rows.0, &columns.0))
    }

    /// The elements where `mask` is true, as a vector. Waits for the device.
    pub fn masked_select(&self, mask: &Tensor) -> Tensor {
        Tensor(self.0.masked_select(&mask.0))
    }

    /// `count` equal parts along `dim`.
    pub fn slices(&self, count: i64, dim: i64) -> Vec<Tensor> {
        self.0.slices(count, dim).into_iter().map(Tensor).collect()
    }

    /// `self` with `source` added at `index` along `dim`, for each position of `source`.
    pub fn scatter_add(&self, dim: i64, index: &Tensor, source: &Tensor) -> Tensor {
        Tensor(self.0.scatter_add(dim, &index.0, &source.0))
    }

    /// `self` with the entries `source[i]` added at entry `index[i]` along `dim`.
    pub fn index_add(&self, dim: i64, index: &Tensor, source: &Tensor) -> Tensor {
        Tensor(self.0.index_add(dim, &index.0, &source.0))
    }

    /// `self` with its entries `index[i]` along `dim` replaced by `source[i]`.
    pub fn index_copy(&self, dim: i64, index: &Tensor, source: &Tensor) -> Tensor {
        Tensor(self.0.index_copy(dim, &index.0, &source.0))
    }
}
