//! Operations of a recorded call as nodes of a graph.
//!
//! Floats are themselves; masks are 0 and 1; integers are floats, where they are known to be below 2^24 or are only
//! compared with such numbers. What is not here stays an operation of libtorch.

mod elementwise;
mod reductions;
mod shapes;

use std::collections::BTreeMap;

use lossmith_program::{Binary, Graph, Id, Reduction, Unary};
use tch::Kind;

use crate::dtype::is_float;
use crate::operation::{Choice, Classes, Create, Hinges, Lookup, Op, Order, Product};
use crate::program::{Meta, Program, Step, ValueId};

/// Integers from here on are not all exact in 32 bits.
const EXACT: f64 = 16_777_216.0;

/// A graph that is made of steps.
pub(super) struct Lowering<'a> {
    pub(super) graph: Graph,
    values: &'a [Meta],
    /// Where a plugin asked twice for a tensor, the first value of it.
    first: BTreeMap<ValueId, ValueId>,
    ids: BTreeMap<ValueId, Id>,
    /// Integers that are known to be small: positions, counts and labels.
    small: Vec<bool>,
    /// What comes from outside, in the order of the graph's inputs.
    pub(super) inputs: Vec<(ValueId, Id)>,
}

fn sizes(shape: &[i64]) -> Vec<usize> {
    shape.iter().map(|&size| usize::try_from(size).unwrap_or_default()).collect()
}

impl<'a> Lowering<'a> {
    /// A graph of values of a program; `small` says of which integers it is known that they are.
    pub(super) fn new(program: &'a Program, small: Vec<bool>) -> Self {
        let inputs = &program.inputs;
        let first = inputs.iter().filter_map(|(source, value)| {
            let (_, first) = inputs.iter().find(|(other, _)| other == source)?;
            Some((*value, *first))
        });
        let (values, first) = (&program.values, first.collect());
        Self { graph: Graph::new(), values, first, ids: BTreeMap::new(), small, inputs: Vec::new() }
    }

    /// The node of a value; a new input where it comes from outside.
    pub(super) fn get(&mut self, value: ValueId) -> Option<Id> {
        let value = self.first.get(&value).copied().unwrap_or(value);
        if let Some(&id) = self.ids.get(&value) {
            return Some(id);
        }
        let shape = sizes(&self.meta(value)?.shape);
        let id = self.graph.input(&shape);
        self.ids.insert(value, id);
        self.inputs.push((value, id));
        Some(id)
    }

    fn meta(&self, value: ValueId) -> Option<&'a Meta> {
        self.values.get(value.index())
    }

    fn shape(&self, value: ValueId) -> Option<Vec<usize>> {
        Some(sizes(&self.meta(value)?.shape))
    }

    fn is(&self, value: ValueId, kind: Kind) -> bool {
        self.meta(value).is_some_and(|meta| meta.kind == kind)
    }

    fn is_float(&self, value: ValueId) -> bool {
        self.meta(value).is_some_and(|meta| is_float(meta.kind))
    }

    fn is_small(&self, value: ValueId) -> bool {
        !self.is(value, Kind::Int64) || self.small.get(value.index()).copied().unwrap_or(false)
    }

    fn set_small(&mut self, value: ValueId) {
        if let Some(small) = self.small.get_mut(value.index()) {
            *small = true;
        }
    }

    /// Which integers are known to be small.
    pub(super) fn small(&self) -> &[bool] {
        &self.small
    }

    /// Adds a step; false, and nothing is added that matters, if it has no nodes.
    pub(super) fn add(&mut self, step: &Step) -> bool {
        let made = self.nodes(step);
        match made {
            Some(ids) if ids.len() == step.outputs.len() => {
                self.ids.extend(step.outputs.iter().copied().zip(ids));
                true
            }
            _ => false,
        }
    }

    fn nodes(&mut self, step: &Step) -> Option<Vec<Id>> {
        let Step { op, inputs, outputs, .. } = step;
        let one = |id: Option<Id>| id.map(|id| vec![id]);
        let empty = outputs.iter().chain(inputs).any(|&value| self.shape(value).is_none_or(|shape| shape.contains(&0)));
        let out = *outputs.first()?;
        if empty {
            return None;
        }
        match (op, inputs.as_slice()) {
            (Op::Unary(op), &[x]) => one(self.unary(op, x, out)),
            (Op::Binary(op), &[a, b]) => one(self.binary(op, a, b, out)),
            (Op::Choice(Choice::Where), &[a, b, mask]) if self.is_float(out) && self.is(mask, Kind::Bool) => {
                let [a, b, mask] = [self.get(a)?, self.get(b)?, self.get(mask)?];
                Some(vec![self.graph.choose(mask, a, b)])
            }
            (Op::Reduction(op), &[x]) => one(self.reduction(op, x, out)),
            (Op::Along(op), &[x]) => one(self.along(op, x)),
            (Op::Shape(op), &[x]) => one(self.reshaped(op, x, out)),
            (Op::Split(op), &[x]) => self.split(op, x, outputs),
            (Op::Product(op), &[a, b]) if self.is_float(a) && self.is_float(b) => one(self.product(op, a, b, out)),
            (Op::Hinges(Hinges::HingeSums { limit, above }), &[x, weights]) => {
                self.hinges(x, weights, *limit, *above, outputs)
            }
            (Op::Lookup(Lookup::Gather { dim }), &[x, index]) => one(self.gather(x, index, *dim)),
            (Op::Order(op), &[x]) => self.largest(op, x, outputs),
            (Op::Classes(op), &[labels]) => one(self.classes(op, labels)),
            (Op::Create(op), &[]) => one(self.create(op, out)),
            (Op::Stop(_), &[x]) if self.is_float(x) => {
                let x = self.get(x)?;
                Some(vec![self.graph.unary(Unary::Stop, x)])
            }
            _ => None,
        }
    }

    fn create(&mut self, op: &Create, out: ValueId) -> Option<Id> {
        let shape = self.shape(out)?;
        match op {
            Create::Zeros { .. } => self.filled(0.0, &shape),
            Create::Ones { .. } => {
                self.set_small(out);
                self.filled(1.0, &shape)
            }
            Create::Full { value, .. } => self.filled(*value, &shape),
            Create::Arange { start, end, .. } => {
                if start.abs().max(end.abs()) as f64 > EXACT {
                    return None;
                }
                self.set_small(out);
                let positions = self.graph.positions(*shape.first()?);
                Some(self.graph.scalar(Binary::Add, positions, *start as f64))
            }
            Create::Eye { .. } => Some(self.eye(*shape.first()?)),
            Create::Linspace { .. }
            | Create::FromFloats { .. }
            | Create::FromDoubles { .. }
            | Create::FromIntegers { .. } => None,
        }
    }

    fn filled(&mut self, value: f64, shape: &[usize]) -> Option<Id> {
        let number = self.graph.constant(value);
        Some(self.graph.expand(number, shape))
    }

    /// 1 where row and column are equal: `size` x `size`.
    fn eye(&mut self, size: usize) -> Id {
        let positions = self.graph.positions(size);
        let column = self.graph.reshape(positions, &[size, 1]);
        self.graph.binary(Binary::Eq, column, positions)
    }

    fn classes(&mut self, op: &Classes, labels: ValueId) -> Option<Id> {
        if !self.is_small(labels) {
            return None;
        }
        let row = self.get(labels)?;
        let size = *self.shape(labels)?.first()?;
        let column = self.graph.reshape(row, &[size, 1]);
        match op {
            // It refuses classes that there are not.
            Classes::OneHot { .. } => None,
            Classes::Same => {
                let (same, eye) = (self.graph.binary(Binary::Eq, column, row), self.eye(size));
                Some(self.graph.binary(Binary::Xor, same, eye))
            }
            Classes::Different => Some(self.graph.binary(Binary::Ne, column, row)),
        }
    }

    fn largest(&mut self, op: &Order, x: ValueId, outputs: &[ValueId]) -> Option<Vec<Id>> {
        let (dim, [first, which]) = match op {
            Order::Max { dim, .. } => (*dim, [Reduction::FirstMax, Reduction::ArgMax]),
            Order::Min { dim, .. } => (*dim, [Reduction::FirstMin, Reduction::ArgMin]),
            Order::Sort { .. } | Order::TopK { .. } | Order::Unique => return None,
        };
        let rank = self.shape(x)?.len();
        if !self.is_float(x) || rank == 0 || (dim != -1 && dim + 1 != rank as i64) {
            return None;
        }
        let &[values, places] = outputs else { return None };
        self.set_small(places);
        let x = self.get(x)?;
        let (largest, place) = (self.graph.reduce(first, x), self.graph.reduce(which, x));
        let (of_values, of_places) = (self.shape(values)?, self.shape(places)?);
        Some(vec![self.graph.reshape(largest, &of_values), self.graph.reshape(place, &of_places)])
    }

    /// One element of each row: the sum of what is where the index says.
    fn gather(&mut self, x: ValueId, index: ValueId, dim: i64) -> Option<Id> {
        let (shape, of_index) = (self.shape(x)?, self.shape(index)?);
        let (rank, last) = (shape.len(), shape.last().copied()?);
        let fits = rank > 0
            && (dim == -1 || dim + 1 == rank as i64)
            && self.is_float(x)
            && of_index.len() == rank
            && of_index.last() == Some(&1)
            && of_index.get(..rank - 1) == shape.get(..rank - 1)
            // An index from outside may be no place, which libtorch refuses.
            && self.ids.contains_key(&index)
            && self.inputs.iter().all(|(input, _)| *input != index);
        if !fits {
            return None;
        }
        let (x, index) = (self.get(x)?, self.get(index)?);
        let positions = self.graph.positions(last);
        let (here, zero) = (self.graph.binary(Binary::Eq, positions, index), self.graph.constant(0.0));
        let chosen = self.graph.choose(here, x, zero);
        Some(self.graph.reduce(Reduction::Sum, chosen))
    }

    fn hinges(
        &mut self,
        x: ValueId,
        weights: ValueId,
        limit: f64,
        above: bool,
        outputs: &[ValueId],
    ) -> Option<Vec<Id>> {
        let &[sums, counts] = outputs else { return None };
        let (x, weights) = (self.get(x)?, self.get(weights)?);
        let limit = self.graph.constant(limit);
        let excess =
            if above { self.graph.binary(Binary::Sub, x, limit) } else { self.graph.binary(Binary::Sub, limit, x) };
        let zero = self.graph.constant(0.0);
        let none = self.graph.binary(Binary::Le, excess, zero);
        let active = self.graph.choose(none, zero, weights);
        let active = self.graph.unary(Unary::Stop, active);
        let hinges = self.graph.binary(Binary::Mul, active, excess);
        let (sum, count) = (self.graph.reduce(Reduction::Sum, hinges), self.graph.reduce(Reduction::Sum, active));
        let (of_sums, of_counts) = (self.shape(sums)?, self.shape(counts)?);
        Some(vec![self.graph.reshape(sum, &of_sums), self.graph.reshape(count, &of_counts)])
    }

    fn product(&mut self, op: &Product, a: ValueId, b: ValueId, out: ValueId) -> Option<Id> {
        let (of_a, of_b, shape) = (self.shape(a)?, self.shape(b)?, self.shape(out)?);
        let (mut left, mut right) = (self.get(a)?, self.get(b)?);
        let (same, matmul) = (left == right, *op == Product::Matmul);
        // A vector is a matrix of one row, or one column.
        if matmul && of_a.len() == 1 {
            left = self.graph.reshape(left, &[1, of_a[0]]);
        }
        if matmul && of_b.len() == 1 {
            right = self.graph.reshape(right, &[of_b[0], 1]);
        }
        let of = |graph: &Graph, id: Id| graph.shape(id).to_vec();
        let (left_shape, right_shape) = (of(&self.graph, left), of(&self.graph, right));
        if left_shape.len() < 2 || right_shape.len() < 2 {
            return None;
        }
        let batch = shape.get(..left_shape.len().max(right_shape.len()) - 2)?.to_vec();
        let with_batch = |graph: &mut Graph, id: Id, of: &[usize]| {
            let whole: Vec<usize> = batch.iter().chain(of.get(of.len() - 2..).unwrap_or_default()).copied().collect();
            graph.expand(id, &whole)
        };
        let product = match op {
            Product::Matmul => {
                let left = with_batch(&mut self.graph, left, &left_shape);
                let right = with_batch(&mut self.graph, right, &right_shape);
                self.graph.product(left, right, false, false)
            }
            Product::CosineMatrix => {
                let left = self.unit(left);
                let right = if same { left } else { self.unit(right) };
                let left = with_batch(&mut self.graph, left, &left_shape);
                let right = with_batch(&mut self.graph, right, &right_shape);
                self.graph.product(left, right, false, true)
            }
            Product::DistanceMatrix => {
                let left = with_batch(&mut self.graph, left, &left_shape);
                let right = with_batch(&mut self.graph, right, &right_shape);
                let noise = match self.meta(a)?.kind {
                    Kind::Double => 4.0 * f64::EPSILON,
                    _ => 4.0 * f64::from(f32::EPSILON),
                };
                self.distances(left, right, same, noise)
            }
        };
        Some(self.graph.reshape(product, &shape))
    }

    /// As `euclidean_distances` of the shim.
    fn distances(&mut self, a: Id, b: Id, same: bool, noise: f64) -> Id {
        let graph = &mut self.graph;
        let squares = |graph: &mut Graph, x: Id| {
            let squares = graph.binary(Binary::Mul, x, x);
            graph.reduce(Reduction::Sum, squares)
        };
        let (of_rows, of_columns) = (squares(graph, a), squares(graph, b));
        let mut turned = graph.shape(of_columns).to_vec();
        let rank = turned.len();
        turned.swap(rank - 2, rank - 1);
        let of_columns = graph.reshape(of_columns, &turned);
        let products = graph.product(a, b, false, true);
        let twice = graph.scalar(Binary::Mul, products, -2.0);
        let sum = graph.binary(Binary::Add, of_rows, of_columns);
        let squared = graph.binary(Binary::Add, twice, sum);
        let least = graph.scalar(Binary::Mul, sum, noise);
        let mut none = graph.binary(Binary::Le, squared, least);
        if same {
            let size = graph.shape(squared)[rank - 1];
            let eye = self.eye(size);
            none = self.graph.binary(Binary::Or, none, eye);
        }
        let graph = &mut self.graph;
        let (zero, one) = (graph.constant(0.0), graph.constant(1.0));
        // The inner choice keeps the infinite slope at 0 from meeting the outer one as 0 * inf.
        let above = graph.choose(none, one, squared);
        let root = graph.unary(Unary::Sqrt, above);
        graph.choose(none, zero, root)
    }

    /// Rows of length 1.
    fn unit(&mut self, x: Id) -> Id {
        let norm = self.root_of_squares(x);
        let (small, least) = (self.graph.scalar(Binary::Lt, norm, 1e-12), self.graph.constant(1e-12));
        let norm = self.graph.choose(small, least, norm);
        self.graph.binary(Binary::Div, x, norm)
    }

    /// Euclidean norms of rows, whose gradient at 0 is 0: ... x 1.
    fn root_of_squares(&mut self, x: Id) -> Id {
        let graph = &mut self.graph;
        let squares = graph.binary(Binary::Mul, x, x);
        let sum = graph.reduce(Reduction::Sum, squares);
        let (none, zero, one) = (graph.scalar(Binary::Eq, sum, 0.0), graph.constant(0.0), graph.constant(1.0));
        let above = graph.choose(none, one, sum);
        let root = graph.unary(Unary::Sqrt, above);
        graph.choose(none, zero, root)
    }
}
