//! Charges: the one table of what each operation costs.
//!
//! Measured on one core of an Intel Xeon server with libtorch 2.13, 20,000,000 32-bit floats or as many indices,
//! results in new memory. An element that is read or written takes 1 to 2.6 ns (`add`: two read, one written, 4.3 ns;
//! `exp`: one read, one written, 5.1 ns), so a unit of `host-elements` stands for [`NANOSECONDS`]. What takes longer
//! for each element is charged more:
//!
//! | operation | ns an element | charged |
//! |---|---|---|
//! | `sin`, `cos`, `tan` of large numbers | 25 to 28 (64 bits: 46) | 20 |
//! | `pow` | 12 to 23, of integers 168 | 10, 100 |
//! | `log-sigmoid`, other functions | 5 to 12 | 4 |
//! | `norm` with any p; `normalize` | 10; 13 | 8 |
//! | `softmax` of short rows | 25 | 16 |
//! | `cumsum` across rows, of a mask | 17, 14 | 12 |
//! | `max` along rows | 7 | 4 |
//! | `sort`, each of the log2 n levels | 8, and 200 across rows | 6, and 120 |
//! | `unique`, each level | 11 | 8 |
//! | `topk` | 18 to 92 | 12, and 3 a level of k |
//! | `searchsorted`, each level; in more than 2^18 | 11; 51 | 8; 34 |
//! | `gather` in any order | 58 | 40 |
//! | `index-select`, `index-copy` | 16 to 31 | 20 |
//! | `at` | 116 | 80 |
//! | `index-add`, `scatter-add` | 5 to 73 | 50 |
//! | `index-select`, `index-add`, `index-copy` of entries of 64 elements | 1 to 3 | 4 |
//! | `bincount`, `nonzero`, `masked-select` | 24 to 28 | 18 |
//! | `one-hot`, each element of the result | 22 | 14 |
//! | `where`, `masked-fill` | 12 to 13 | 2 |
//! | matrix products, a multiply-add | 0.04 to 0.07, of integers 2.6; each matrix 42 | 1/16, 2; 30 |
//! | `random.uniform`, `normal`, `permutation` | 4, 24, 90 | 4, 20, 60 |

use tch::Kind;

use crate::dtype::is_float;

/// The time of a unit of `host-elements`, in nanoseconds.
pub(crate) const NANOSECONDS: u64 = 2;

/// The charge of an operation, for each element of its inputs.
#[derive(Clone, Copy)]
pub(crate) struct Charge {
    /// Units for each element of the inputs.
    weight: u64,
    out: Out,
    /// Copies of the input that are made meanwhile.
    scratch: u64,
    /// The tensors that the graph keeps, if it is differentiated.
    pub(crate) graph: Graph,
    /// Tensors of the inputs' size that only the graph has.
    pub(crate) hidden: u64,
}

/// The dtype of a result.
#[derive(Clone, Copy)]
enum Out {
    /// What is made is asked for elsewhere.
    Other,
    /// The input's.
    Same,
    /// Floats stay floats; integers and masks become floats or integers.
    Number,
    Mask,
    Index,
    /// The input's, and indices.
    Both,
}

/// The tensors of an operation that autograd keeps until the backward pass.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Graph {
    Nothing,
    Inputs,
    Result,
    Both,
}

impl Charge {
    const fn new(weight: u64, out: Out, graph: Graph) -> Self {
        Self { weight, out, scratch: 0, graph, hidden: 0 }
    }

    const fn scratch(self, scratch: u64) -> Self {
        Self { scratch, ..self }
    }

    const fn hidden(self, hidden: u64) -> Self {
        Self { hidden, ..self }
    }

    /// Units for so many elements.
    pub(crate) fn work(&self, elements: u64) -> u64 {
        elements.saturating_mul(self.weight)
    }

    /// Bytes of each element of the result, of inputs of these kinds.
    fn result(&self, kinds: &[Kind]) -> u64 {
        // What is no float becomes a float of at most 8 bytes, or an integer of 8.
        let widest = kinds.iter().map(|&kind| size(kind)).max().unwrap_or(8);
        match self.out {
            Out::Other => 0,
            Out::Same => widest,
            Out::Number if kinds.iter().all(|&kind| is_float(kind)) => widest,
            Out::Number | Out::Index => 8,
            Out::Mask => 1,
            Out::Both => widest + 8,
        }
    }

    /// Bytes that are made of inputs of these kinds and elements, for a result of so many elements.
    pub(crate) fn bytes(&self, inputs: &[Kind], read: u64, made: u64) -> u64 {
        if matches!(self.out, Out::Other) {
            return 0;
        }
        let (first, second) = match inputs {
            [first, second, ..] => (*first, *second),
            [first] => (*first, *first),
            [] => return 0,
        };
        let widest = size(first).max(size(second));
        // What is no float is copied as integers; where two dtypes meet, libtorch makes copies of one dtype.
        let scratch = self.scratch * if is_float(first) { widest } else { 8 };
        let copies = scratch + if first == second { 0 } else { widest };
        let made = made.saturating_mul(self.result(&[first, second]));
        made.saturating_add(read.saturating_mul(copies + self.hidden * widest))
    }
}

pub(crate) fn size(kind: Kind) -> u64 {
    kind.elt_size_in_bytes() as u64
}

/// How often `count` can be halved: the levels of a search or a sort.
pub(super) fn levels(count: u64) -> u64 {
    u64::from(u64::BITS - count.max(1).leading_zeros())
}

macro_rules! charges {
    ($($name:ident = $charge:expr;)*) => {
        $(pub(crate) const $name: Charge = $charge;)*
    };
}

charges! {
    SAME = Charge::new(1, Out::Same, Graph::Nothing);
    // What it makes is asked for beside it.
    CAST = Charge::new(1, Out::Other, Graph::Nothing);
    LINEAR = Charge::new(1, Out::Number, Graph::Nothing);
    PRODUCT = Charge::new(1, Out::Number, Graph::Inputs);
    OF_INPUT = Charge::new(4, Out::Number, Graph::Inputs);
    OF_RESULT = Charge::new(4, Out::Number, Graph::Result);
    ANGLE = Charge::new(20, Out::Number, Graph::Both);
    POWER = Charge::new(10, Out::Number, Graph::Both);
    POWER_OF_INTEGERS = Charge::new(100, Out::Number, Graph::Nothing);
    INVERSE = Charge::new(1, Out::Number, Graph::Result).hidden(1);
    SAFE_ROOT = Charge::new(4, Out::Number, Graph::Result).scratch(1).hidden(2);
    LOG_SIGMOID = Charge::new(4, Out::Number, Graph::Inputs).hidden(1);
    SOFTPLUS = Charge::new(4, Out::Number, Graph::Result).scratch(1).hidden(1);
    // Comparisons of floats are floats for a moment.
    COMPARISON = Charge::new(1, Out::Mask, Graph::Nothing).scratch(1);
    MASK = Charge::new(1, Out::Mask, Graph::Nothing);
    CHOICE = Charge::new(2, Out::Number, Graph::Nothing);
    SUM = Charge::new(1, Out::Number, Graph::Nothing);
    VARIANCE = Charge::new(2, Out::Number, Graph::Inputs);
    EXTREME = Charge::new(1, Out::Same, Graph::Both);
    WHICH = Charge::new(2, Out::Index, Graph::Nothing);
    QUANTIFIED = Charge::new(1, Out::Mask, Graph::Nothing);
    LOG_SUM = Charge::new(4, Out::Number, Graph::Both).scratch(1);
    NORM = Charge::new(8, Out::Number, Graph::Both);
    COSINES = Charge::new(8, Out::Number, Graph::Inputs).scratch(2).hidden(2);
    SOFTMAX = Charge::new(16, Out::Number, Graph::Result).scratch(1);
    RUNNING_SUM = Charge::new(12, Out::Number, Graph::Nothing).scratch(1);
    LARGEST = Charge::new(4, Out::Both, Graph::Result);
    SORTED = Charge::new(6, Out::Both, Graph::Result).scratch(3);
    TOP = Charge::new(3, Out::Both, Graph::Result).scratch(3);
    DIFFERENT = Charge::new(8, Out::Both, Graph::Nothing).scratch(3);
    COUNTED = Charge::new(18, Out::Index, Graph::Nothing);
    SELECTED = Charge::new(18, Out::Same, Graph::Inputs).scratch(2);
}

/// Units of each element of a result whose place is given by an index.
pub(super) const GATHER: u64 = 40;
/// Entries of so many elements are read in order, at so many units for each.
pub(super) const WIDE: u64 = 16;
pub(super) const WIDE_ROWS: u64 = 4;
pub(super) const ROWS: u64 = 20;
pub(super) const AT: u64 = 80;
pub(super) const SCATTER: u64 = 50;
/// Units of each element of a one-hot matrix.
pub(super) const ONE_HOT: u64 = 14;
/// Units of each matrix of a batched product.
pub(super) const MATRIX: u64 = 30;
/// Units for each tensor of a list, and each pair of a list: a call of libtorch, some microseconds.
pub(crate) const TENSOR: u64 = 2000;
/// Units of each number drawn.
pub(crate) const UNIFORM: u64 = 4;
pub(crate) const NORMAL: u64 = 20;
pub(crate) const PERMUTATION: u64 = 60;
/// Units of a sort that is not along the last dimension, for each element.
pub(super) const ACROSS: u64 = 120;
/// Units of `topk` for each element, besides those of the levels of k.
pub(super) const TOPK: u64 = 12;

/// Units of a search in `count` sorted values: above 2^18 most of its looks miss the cache.
pub(super) fn search(count: u64) -> u64 {
    levels(count) * if count > 1 << 18 { 34 } else { 8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_a_binary_search() {
        assert_eq!([0, 1, 2, 3, 4, 1000, 1 << 20].map(levels), [1, 1, 2, 2, 3, 10, 21]);
    }

    #[test]
    fn a_mask_becomes_integers_and_floats_stay_what_they_are() {
        let sizes = |charge: Charge, kind| charge.result(&[kind]);
        assert_eq!([Kind::Bool, Kind::Int64, Kind::Float, Kind::Double].map(|kind| sizes(LINEAR, kind)), [8, 8, 4, 8]);
        assert_eq!([Kind::Bool, Kind::Float].map(|kind| sizes(SORTED, kind)), [9, 12]);
        assert_eq!((sizes(MASK, Kind::Double), sizes(WHICH, Kind::Bool), sizes(CAST, Kind::Double)), (1, 8, 0));
    }
}
