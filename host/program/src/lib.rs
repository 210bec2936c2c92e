//! Runs a graph of tensor operations, and its gradient, in few passes over memory.
//!
//! A [`Graph`] is what a loss asks for: functions of elements, reductions, matrix products. [`Program`] takes it with
//! its gradient into passes over rows: all that is between two matrix products is computed a few rows at a time, in the
//! cache, and computed again for the gradient instead of being kept. Matrix products and threads are the caller's
//! ([`Backend`]). A result has the same bits for every number of threads and every set of instructions.

mod gradient;
mod graph;
mod kernels;
mod layout;
mod plan;
mod program;
mod run;

pub use graph::{Binary, Graph, Id, Node, Op, Reduction, Unary, View};
pub use kernels::{Kernels, Operand, Real, Reduce};
pub use program::{Program, Saved, Wanted};
pub use run::{Backend, Multiply};
