//! The plan of a graph: which nodes are computed together, in one pass over the rows of a space.
//!
//! A pass computes nodes of one number of rows, a few rows at a time, so that what is between them stays in the cache.
//! What another pass needs, or the caller, is written to memory. A matrix product is made for some rows before they are
//! looked at (a source), or of rows that were just made (a sink).

mod assign;
mod code;

use crate::graph::{Binary, Graph, Id, Reduction, Unary};
use crate::layout::Access;

pub(crate) use assign::Assigned;

/// An array of a run.
#[derive(Clone, Debug)]
pub(crate) enum Buffer {
    /// The caller's, by its place among what is given.
    Given(usize),
    /// The caller's; in the order of what is wanted.
    Wanted,
    /// 0, 1, 2, ..
    Positions(usize),
    /// So often a number.
    Filled(usize, f64),
    /// Of so many elements, for the time of the run.
    Temporary(usize),
}

/// A number of a [`Buffer`].
pub(crate) type BufferId = usize;

/// Values of the rows at hand: an element for each row and column, or for each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Register {
    pub(crate) number: usize,
    pub(crate) full: bool,
}

/// An operand of an instruction.
#[derive(Clone, Debug)]
pub(crate) enum Arg {
    /// What an instruction made.
    Register(Register),
    /// Rows of a product of this pass, by the number of its source.
    Source(usize),
    /// An array, not [`Access::Strided`].
    Memory(BufferId, Access),
    /// A number.
    Number(f64),
}

/// What is done with the rows at hand.
#[derive(Clone, Debug)]
pub(crate) enum Instruction {
    /// Reads an array in any order.
    Load { from: BufferId, access: Access, to: Register },
    /// A function of each element.
    Unary { op: Unary, x: Arg, to: Register },
    /// A function of each two elements.
    Binary { op: Binary, a: Arg, b: Arg, to: Register },
    /// The second where the first is not 0, else the third.
    Choose { mask: Arg, a: Arg, b: Arg, to: Register },
    /// Over the columns of each row.
    Reduce { op: Reduction, x: Arg, columns: usize, to: Register },
    /// Writes rows to memory.
    Store { x: Arg, to: usize },
    /// Keeps rows for the sinks that need them.
    Keep { x: Arg, to: usize },
}

/// A matrix of an operand of a product: in its buffer, the stride between matrices, the length of its rows as they lie
/// there, and whether it lies transposed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix {
    pub(crate) buffer: BufferId,
    pub(crate) offset: usize,
    pub(crate) batch: usize,
    pub(crate) leading: usize,
    pub(crate) transposed: bool,
}

/// A product whose rows are made before the rows of the pass are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) left: Matrix,
    pub(crate) right: Matrix,
    pub(crate) inner: usize,
    /// The columns, those of the pass.
    pub(crate) columns: usize,
    /// Where it is written to, by its place in [`Pass::written`]; none if nobody else needs it.
    pub(crate) written: Option<usize>,
}

/// A product of the rows that were kept.
#[derive(Clone, Debug)]
pub(crate) struct Sink {
    /// Which kept rows.
    pub(crate) kept: usize,
    pub(crate) right: Matrix,
    /// Columns of the right matrix.
    pub(crate) columns: usize,
    /// Added up over all rows: the kept rows are read transposed.
    pub(crate) summed: bool,
    /// Its place in [`Pass::written`].
    pub(crate) written: usize,
}

/// An array that a pass writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) buffer: BufferId,
    /// Elements for each row; for a sum over rows, of all of it for each matrix.
    pub(crate) each: usize,
    pub(crate) summed: bool,
}

/// Some nodes, computed together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pass {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Rows of each matrix of its products.
    pub(crate) matrix_rows: usize,
    pub(crate) sources: Vec<Source>,
    pub(crate) code: Vec<Instruction>,
    pub(crate) sinks: Vec<Sink>,
    pub(crate) written: Vec<Written>,
    /// Registers with an element for each row and column.
    pub(crate) full_registers: usize,
    /// Registers with an element for each row.
    pub(crate) row_registers: usize,
    /// Columns of the nodes that are kept for sinks.
    pub(crate) kept: Vec<usize>,
    /// All that it does, where it is this.
    pub(crate) embedded: Option<Embedded>,
}

impl Pass {
    /// Whether an instruction is of each column, not of whole rows.
    pub(crate) fn is_full(&self, instruction: &Instruction) -> bool {
        match instruction {
            Instruction::Load { to, .. }
            | Instruction::Unary { to, .. }
            | Instruction::Binary { to, .. }
            | Instruction::Choose { to, .. } => to.full,
            Instruction::Reduce { .. } => false,
            Instruction::Store { to, .. } => self.written[*to].each > 1,
            Instruction::Keep { to, .. } => self.kept[*to] > 1,
        }
    }
}

/// Zeros, with the elements of another array at some places.
#[derive(Clone, Debug)]
pub(crate) struct Embedded {
    pub(crate) from: BufferId,
    pub(crate) offset: usize,
    pub(crate) start: usize,
    /// Size, and the strides from and to.
    pub(crate) dims: Vec<(usize, usize, usize)>,
}

/// The passes of a graph.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) buffers: Vec<Buffer>,
    pub(crate) passes: Vec<Pass>,
}

impl Plan {
    /// A plan that computes `wanted`, in this order, of `given`; `blocked` where it rather makes a product again than
    /// write it.
    pub(crate) fn new(graph: &Graph, given: &[Id], wanted: &[Id], blocked: bool) -> Self {
        code::plan(graph, &Assigned::new(graph, given, wanted, blocked))
    }

    /// Elements of the arrays that live as long as a run.
    pub(crate) fn elements(&self) -> usize {
        let of = |buffer: &Buffer| match *buffer {
            Buffer::Positions(length) | Buffer::Filled(length, _) | Buffer::Temporary(length) => length,
            Buffer::Given(_) | Buffer::Wanted => 0,
        };
        self.buffers.iter().map(of).sum()
    }
}
