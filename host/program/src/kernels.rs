//! What is done with rows of values.

mod elementwise;
mod real;
mod reduce;

pub use elementwise::Kernels;
pub use real::Real;
pub use reduce::Reduce;

/// Values of some rows.
#[derive(Clone, Copy)]
pub enum Operand<'a, T> {
    /// An element for each row and column.
    Full(&'a [T]),
    /// An element for each column, the same in each row.
    Column(&'a [T]),
    /// An element for each row, the same in each column.
    Row(&'a [T]),
    /// One element.
    One(T),
}
