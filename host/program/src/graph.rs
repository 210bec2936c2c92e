//! A graph of operations on arrays of floats.
//!
//! Invariants: a node comes after its inputs; two nodes with the same operation and inputs are one. A mask is a float
//! that is 0 or 1, and so is every number: integers below 2^24 are exact in 32 bits.

use std::collections::HashMap;

/// A node of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(u32);

impl Id {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A function of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the function of its name in the contract")]
pub enum Unary {
    Neg,
    Abs,
    Sign,
    Exp,
    Expm1,
    Log,
    Log1p,
    Sqrt,
    Reciprocal,
    Tanh,
    Sigmoid,
    LogSigmoid,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Asinh,
    Acosh,
    Atanh,
    Erf,
    Floor,
    Ceil,
    Round,
    IsFinite,
    /// 1 - x of a mask.
    Not,
    /// The same value, through which no gradient flows.
    Stop,
    /// The same value, in memory of its own.
    Copy,
}

/// A function of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the function of its name in the contract")]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Minimum,
    Maximum,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
    Xor,
}

/// A reduction over the last dimension, which stays with size 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// The sum.
    Sum,
    /// The largest; its gradient is shared by all that are as large.
    Max,
    /// The smallest; its gradient is shared by all that are as small.
    Min,
    /// The largest; its gradient goes to the first.
    FirstMax,
    /// The smallest; its gradient goes to the first.
    FirstMin,
    /// The position of the first of the largest.
    ArgMax,
    /// The position of the first of the smallest.
    ArgMin,
}

/// The same elements in another order, or some of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// Another shape of as many elements in the same order.
    Reshape,
    /// The dimensions in another order.
    Permute(Vec<usize>),
    /// Size 1 becomes the size of the result's shape.
    Expand,
    /// `length` positions of a dimension, from `start` on.
    Narrow {
        /// The dimension.
        dim: usize,
        /// The first position.
        start: usize,
    },
    /// The elements whose last two positions are equal, as the last dimension.
    Diagonal,
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// What the caller gives, by its number.
    Input(usize),
    /// A number, as its bits; of no dimension.
    Constant(u64),
    /// 0, 1, 2, ..: one dimension.
    Positions,
    /// Of one array.
    Unary(Unary),
    /// Of two arrays that broadcast.
    Binary(Binary),
    /// The second where the first is not 0, else the third; they broadcast.
    Choose,
    /// Over the last dimension, which stays.
    Reduce(Reduction),
    /// A matrix product of the last two dimensions, of equal dimensions before: `left * right`.
    Product {
        /// The left matrix is read transposed.
        left: bool,
        /// The right matrix is read transposed.
        right: bool,
    },
    /// Another view.
    View(View),
    /// Zeros, with the input where a narrow or diagonal view of the result would be.
    Embed(View),
}

/// A node: an operation of earlier nodes.
#[derive(Clone, Debug)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// What it is of.
    pub inputs: Vec<Id>,
    /// The shape of the result.
    pub shape: Vec<usize>,
}

/// A graph of operations. Each function that makes a node takes nodes of this graph; shapes that do not fit are a fault
/// of the caller, who has computed the same before.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    known: HashMap<(Op, Vec<Id>, Vec<usize>), Id>,
    inputs: usize,
}

/// Rows and columns of a shape: all but the last dimension, and the last; a vector is a column.
pub(crate) fn space(shape: &[usize]) -> (usize, usize) {
    match shape {
        [] => (1, 1),
        [length] => (*length, 1),
        [rows @ .., columns] => (rows.iter().product(), *columns),
    }
}

pub(crate) fn elements(shape: &[usize]) -> usize {
    shape.iter().product()
}

pub(crate) fn broadcast(shapes: &[&[usize]]) -> Vec<usize> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or_default();
    let size = |shape: &[usize], dim: usize| {
        (dim + shape.len()).checked_sub(rank).and_then(|place| shape.get(place)).copied().unwrap_or(1)
    };
    // A size of 0 wins over 1.
    let of_dim = |dim| shapes.iter().map(|shape| size(shape, dim)).find(|&size| size != 1).unwrap_or(1);
    (0..rank).map(of_dim).collect()
}

impl Graph {
    /// A graph without nodes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A node.
    #[must_use]
    pub fn node(&self, id: Id) -> &Node {
        &self.nodes[id.index()]
    }

    /// The shape of a node.
    #[must_use]
    pub fn shape(&self, id: Id) -> &[usize] {
        &self.node(id).shape
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many inputs there are.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// All nodes, in their order.
    pub fn all(&self) -> impl Iterator<Item = Id> + use<> {
        self.ids()
    }

    /// The place of a node in the order of all.
    #[must_use]
    pub fn place(&self, id: Id) -> usize {
        id.index()
    }

    pub(crate) fn ids(&self) -> impl DoubleEndedIterator<Item = Id> + use<> {
        (0..self.nodes.len() as u32).map(Id)
    }

    fn push(&mut self, op: Op, inputs: Vec<Id>, shape: Vec<usize>) -> Id {
        let key = (op, inputs, shape);
        if let Some(&known) = self.known.get(&key) {
            return known;
        }
        let id = Id(self.nodes.len() as u32);
        let (op, inputs, shape) = key.clone();
        self.nodes.push(Node { op, inputs, shape });
        self.known.insert(key, id);
        id
    }

    /// The next input of the caller.
    pub fn input(&mut self, shape: &[usize]) -> Id {
        let number = self.inputs;
        self.inputs += 1;
        self.push(Op::Input(number), Vec::new(), shape.to_vec())
    }

    /// A number.
    pub fn constant(&mut self, value: f64) -> Id {
        self.push(Op::Constant(value.to_bits()), Vec::new(), Vec::new())
    }

    /// The value of a node that is a number.
    #[must_use]
    pub fn number(&self, id: Id) -> Option<f64> {
        match self.node(id).op {
            Op::Constant(bits) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    /// 0, 1, .., `length` - 1.
    pub fn positions(&mut self, length: usize) -> Id {
        self.push(Op::Positions, Vec::new(), vec![length])
    }

    /// A function of each element.
    pub fn unary(&mut self, op: Unary, x: Id) -> Id {
        if let (Unary::Neg, Node { op: Op::Unary(Unary::Neg), inputs, .. }) = (op, self.node(x)) {
            return inputs[0];
        }
        let shape = self.shape(x).to_vec();
        self.push(Op::Unary(op), vec![x], shape)
    }

    /// A function of each two elements.
    pub fn binary(&mut self, op: Binary, a: Id, b: Id) -> Id {
        self.elementwise(Op::Binary(op), vec![a, b])
    }

    /// An operation of operands that broadcast. What was made larger before is not, where that makes no difference.
    fn elementwise(&mut self, op: Op, mut operands: Vec<Id>) -> Id {
        let of = |graph: &Self, operands: &[Id]| {
            let shapes: Vec<&[usize]> = operands.iter().map(|&operand| graph.shape(operand)).collect();
            broadcast(&shapes)
        };
        let shape = of(self, &operands);
        for place in 0..operands.len() {
            let whole = operands[place];
            if let Node { op: Op::View(View::Expand), inputs, .. } = self.node(whole) {
                operands[place] = inputs[0];
                if of(self, &operands) != shape {
                    operands[place] = whole;
                }
            }
        }
        self.push(op, operands, shape)
    }

    /// A function of each element and a number.
    pub fn scalar(&mut self, op: Binary, a: Id, value: f64) -> Id {
        let value = self.constant(value);
        self.binary(op, a, value)
    }

    /// `a` where the mask is not 0, else `b`.
    pub fn choose(&mut self, mask: Id, a: Id, b: Id) -> Id {
        self.elementwise(Op::Choose, vec![mask, a, b])
    }

    /// A reduction over the last dimension, which stays with size 1; of a node with a dimension at least.
    pub fn reduce(&mut self, op: Reduction, x: Id) -> Id {
        let mut shape = self.shape(x).to_vec();
        if let Some(last) = shape.last_mut() {
            *last = 1;
        }
        // A vector is a row here.
        if let [length] = *self.shape(x) {
            let row = self.reshape(x, &[1, length]);
            let reduced = self.push(Op::Reduce(op), vec![row], vec![1, 1]);
            return self.reshape(reduced, &shape);
        }
        self.push(Op::Reduce(op), vec![x], shape)
    }

    /// The sum over all dimensions, of no dimension.
    pub fn sum_all(&mut self, x: Id) -> Id {
        let mut sum = x;
        while let [.., _] = self.shape(sum) {
            let kept = self.reduce(Reduction::Sum, sum);
            let shape = self.shape(kept).to_vec();
            sum = self.reshape(kept, &shape[..shape.len() - 1]);
        }
        sum
    }

    /// A reduction over a dimension, which stays with size 1.
    pub fn reduce_over(&mut self, op: Reduction, x: Id, dim: usize) -> Id {
        let shape = self.shape(x).to_vec();
        let mut reduced = shape.clone();
        reduced[dim] = 1;
        if dim + 1 == shape.len() {
            return self.reduce(op, x);
        }
        let (before, after) = (elements(&shape[..dim]), elements(&shape[dim + 1..]));
        if op == Reduction::Sum && after > 1 {
            // By a product with ones: what is read row by row is added up row by row.
            let matrices = self.reshape(x, &[before, shape[dim], after]);
            let one = self.constant(1.0);
            let ones = self.expand(one, &[before, shape[dim], 1]);
            let sums = self.product(matrices, ones, true, false);
            return self.reshape(sums, &reduced);
        }
        let matrices = self.reshape(x, &[before, shape[dim], after]);
        let turned = self.permute(matrices, &[0, 2, 1]);
        let sums = self.reduce(op, turned);
        self.reshape(sums, &reduced)
    }

    /// Sums over the dimensions along which `shape` broadcasts to that of `x`.
    pub fn sum_to(&mut self, x: Id, shape: &[usize]) -> Id {
        let mut sum = x;
        let rank = self.shape(x).len();
        for dim in (0..rank).rev() {
            let wanted = (dim + shape.len()).checked_sub(rank).map_or(1, |place| shape[place]);
            if wanted == 1 && self.shape(sum)[dim] != 1 {
                sum = self.reduce_over(Reduction::Sum, sum, dim);
            }
        }
        self.reshape(sum, shape)
    }

    /// A matrix product of the last two dimensions, each read transposed or not. The dimensions before are equal.
    pub fn product(&mut self, a: Id, b: Id, left: bool, right: bool) -> Id {
        let (of_a, of_b) = (self.shape(a), self.shape(b));
        let rank = of_a.len();
        let mut shape = of_a.to_vec();
        shape[rank - 2] = of_a[if left { rank - 1 } else { rank - 2 }];
        shape[rank - 1] = of_b[if right { rank - 2 } else { rank - 1 }];
        self.push(Op::Product { left, right }, vec![a, b], shape)
    }

    /// As many elements in the same order.
    pub fn reshape(&mut self, x: Id, shape: &[usize]) -> Id {
        let root = match self.node(x) {
            Node { op: Op::View(View::Reshape), inputs, .. } => inputs[0],
            _ => x,
        };
        if self.shape(root) == shape {
            return root;
        }
        self.push(Op::View(View::Reshape), vec![root], shape.to_vec())
    }

    /// The dimensions in another order: dimension `dims[i]` becomes the i-th.
    pub fn permute(&mut self, x: Id, dims: &[usize]) -> Id {
        if dims.iter().enumerate().all(|(place, &dim)| place == dim) {
            return x;
        }
        let shape = dims.iter().map(|&dim| self.shape(x)[dim]).collect();
        self.push(Op::View(View::Permute(dims.to_vec())), vec![x], shape)
    }

    /// The dimensions of size 1 in a larger size.
    pub fn expand(&mut self, x: Id, shape: &[usize]) -> Id {
        if self.shape(x) == shape {
            return x;
        }
        self.push(Op::View(View::Expand), vec![x], shape.to_vec())
    }

    /// `length` positions of a dimension from `start` on.
    pub fn narrow(&mut self, x: Id, dim: usize, start: usize, length: usize) -> Id {
        let mut shape = self.shape(x).to_vec();
        if shape[dim] == length {
            return x;
        }
        shape[dim] = length;
        self.push(Op::View(View::Narrow { dim, start }), vec![x], shape)
    }

    /// The diagonals of the last two dimensions.
    pub fn diagonal(&mut self, x: Id) -> Id {
        let mut shape = self.shape(x).to_vec();
        let columns = shape.pop().unwrap_or(1);
        if let Some(rows) = shape.last_mut() {
            *rows = columns.min(*rows);
        }
        self.push(Op::View(View::Diagonal), vec![x], shape)
    }

    /// Zeros of a shape with `x` where the view would be.
    pub(crate) fn embed(&mut self, view: View, x: Id, shape: &[usize]) -> Id {
        self.push(Op::Embed(view), vec![x], shape.to_vec())
    }
}
