//! The gradient of a graph, as further nodes of it.

use std::collections::HashMap;

use crate::graph::{Binary, Graph, Id, Node, Op, Reduction, Unary, View};

/// Nodes for the gradients of `inputs`: each the sum, over `outputs`, of the derivative of the output times what stands
/// beside it, a node of its shape. None where no output depends on the input.
pub(crate) fn gradient(graph: &mut Graph, outputs: &[(Id, Id)], inputs: &[Id]) -> Vec<Option<Id>> {
    let mut depends = vec![false; graph.len()];
    for id in graph.ids() {
        let node = graph.node(id);
        let stopped = matches!(
            node.op,
            Op::Unary(
                Unary::Stop | Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round | Unary::Not | Unary::IsFinite
            ) | Op::Binary(
                Binary::Eq
                    | Binary::Ne
                    | Binary::Lt
                    | Binary::Le
                    | Binary::Gt
                    | Binary::Ge
                    | Binary::And
                    | Binary::Or
                    | Binary::Xor
            ) | Op::Reduce(Reduction::ArgMax | Reduction::ArgMin)
        );
        let through = node.inputs.iter().any(|input| depends[input.index()]);
        depends[id.index()] = inputs.contains(&id) || (through && !stopped);
    }
    let mut reverse = Reverse { graph, depends, gradients: HashMap::new() };
    for &(output, given) in outputs {
        if reverse.depends[output.index()] {
            reverse.add(output, given);
        }
    }
    let ids: Vec<Id> = outputs
        .iter()
        .map(|&(output, _)| output)
        .max()
        .map_or_else(Vec::new, |last| reverse.graph.ids().filter(|&id| id <= last).rev().collect());
    for id in ids {
        if inputs.contains(&id) {
            continue;
        }
        if let Some(given) = reverse.gradients.remove(&id) {
            reverse.of_node(id, given);
        }
    }
    inputs.iter().map(|input| reverse.gradients.get(input).copied()).collect()
}

struct Reverse<'a> {
    graph: &'a mut Graph,
    depends: Vec<bool>,
    gradients: HashMap<Id, Id>,
}

impl Reverse<'_> {
    /// Adds to the gradient of a node, whose shape may be broadcast in `given`.
    fn add(&mut self, id: Id, given: Id) {
        if !self.depends[id.index()] {
            return;
        }
        let graph = &mut *self.graph;
        let shape = graph.shape(id).to_vec();
        let given = graph.sum_to(given, &shape);
        match self.gradients.get(&id).copied() {
            None => {
                self.gradients.insert(id, given);
            }
            Some(before) => {
                let negative = |graph: &Graph, x: Id| match graph.node(x) {
                    Node { op: Op::Unary(Unary::Neg), inputs, .. } => Some(inputs[0]),
                    _ => None,
                };
                // What cancels leaves nothing.
                if negative(graph, given) == Some(before) || negative(graph, before) == Some(given) {
                    self.gradients.remove(&id);
                } else {
                    let sum = graph.binary(Binary::Add, before, given);
                    self.gradients.insert(id, sum);
                }
            }
        }
    }

    fn mul(&mut self, a: Id, b: Id) -> Id {
        self.graph.binary(Binary::Mul, a, b)
    }

    fn of_node(&mut self, id: Id, given: Id) {
        let Node { op, inputs, .. } = self.graph.node(id).clone();
        let input = |place: usize| inputs[place];
        match op {
            Op::Input(_) | Op::Constant(_) | Op::Positions => {}
            Op::Unary(op) => {
                let local = self.of_unary(op, input(0), id, given);
                if let Some(local) = local {
                    self.add(input(0), local);
                }
            }
            Op::Binary(op) => self.of_binary(op, input(0), input(1), id, given),
            Op::Choose => {
                let zero = self.graph.constant(0.0);
                if self.depends[input(1).index()] {
                    let first = self.graph.choose(input(0), given, zero);
                    self.add(input(1), first);
                }
                if self.depends[input(2).index()] {
                    let second = self.graph.choose(input(0), zero, given);
                    self.add(input(2), second);
                }
            }
            Op::Reduce(op) => self.of_reduction(op, input(0), id, given),
            Op::Product { left, right } => {
                let (a, b) = (input(0), input(1));
                if self.depends[a.index()] {
                    let of_a = match left {
                        false => self.graph.product(given, b, false, !right),
                        true => self.graph.product(b, given, right, true),
                    };
                    self.add(a, of_a);
                }
                if self.depends[b.index()] {
                    // The gradient comes first, so that it need not exist as a whole.
                    let of_b = self.graph.product(given, a, true, left);
                    let of_b = if right { of_b } else { self.turned(of_b) };
                    self.add(b, of_b);
                }
            }
            Op::View(view) => self.of_view(&view, input(0), given),
            Op::Embed(view) => {
                let shape = self.graph.shape(input(0)).to_vec();
                let part = match view {
                    View::Narrow { dim, start } => self.graph.narrow(given, dim, start, shape[dim]),
                    View::Diagonal => self.graph.diagonal(given),
                    View::Reshape | View::Permute(_) | View::Expand => return,
                };
                self.add(input(0), part);
            }
        }
    }

    fn turned(&mut self, x: Id) -> Id {
        let rank = self.graph.shape(x).len();
        let mut dims: Vec<usize> = (0..rank).collect();
        dims.swap(rank - 2, rank - 1);
        self.graph.permute(x, &dims)
    }

    fn of_view(&mut self, view: &View, x: Id, given: Id) {
        let shape = self.graph.shape(x).to_vec();
        let of_x = match view {
            View::Reshape => self.graph.reshape(given, &shape),
            View::Permute(dims) => {
                let mut inverse = vec![0; dims.len()];
                for (place, &dim) in dims.iter().enumerate() {
                    inverse[dim] = place;
                }
                self.graph.permute(given, &inverse)
            }
            // The sum is made where it is added.
            View::Expand => given,
            View::Narrow { .. } | View::Diagonal => self.graph.embed(view.clone(), given, &shape),
        };
        self.add(x, of_x);
    }

    fn of_reduction(&mut self, op: Reduction, x: Id, result: Id, given: Id) {
        let of_x = match op {
            Reduction::ArgMax | Reduction::ArgMin => return,
            Reduction::Sum => {
                let shape = self.graph.shape(x).to_vec();
                self.graph.expand(given, &shape)
            }
            Reduction::Max | Reduction::Min => {
                let equal = self.graph.binary(Binary::Eq, x, result);
                let count = self.graph.reduce(Reduction::Sum, equal);
                let share = self.graph.binary(Binary::Div, given, count);
                self.mul(equal, share)
            }
            Reduction::FirstMax | Reduction::FirstMin => {
                let which = if op == Reduction::FirstMax { Reduction::ArgMax } else { Reduction::ArgMin };
                let place = self.graph.reduce(which, x);
                let columns = self.graph.shape(x).last().copied().unwrap_or(1);
                let positions = self.graph.positions(columns);
                let here = self.graph.binary(Binary::Eq, positions, place);
                let zero = self.graph.constant(0.0);
                self.graph.choose(here, given, zero)
            }
        };
        self.add(x, of_x);
    }

    fn of_binary(&mut self, op: Binary, a: Id, b: Id, result: Id, given: Id) {
        let (to_a, to_b) = (self.depends[a.index()], self.depends[b.index()]);
        match op {
            Binary::Add => {
                self.add(a, given);
                self.add(b, given);
            }
            Binary::Sub => {
                self.add(a, given);
                if to_b {
                    let minus = self.graph.unary(Unary::Neg, given);
                    self.add(b, minus);
                }
            }
            Binary::Mul => {
                if to_a {
                    let of_a = self.mul(given, b);
                    self.add(a, of_a);
                }
                if to_b {
                    let of_b = self.mul(given, a);
                    self.add(b, of_b);
                }
            }
            Binary::Div => {
                let share = self.graph.binary(Binary::Div, given, b);
                self.add(a, share);
                if to_b {
                    let of_b = self.mul(share, result);
                    let of_b = self.graph.unary(Unary::Neg, of_b);
                    self.add(b, of_b);
                }
            }
            Binary::Pow => {
                if to_a {
                    let less = self.graph.scalar(Binary::Sub, b, 1.0);
                    let power = self.graph.binary(Binary::Pow, a, less);
                    let slope = self.mul(b, power);
                    // As libtorch: of the power 0 nothing, also at 0.
                    let (none, zero) = (self.graph.scalar(Binary::Eq, b, 0.0), self.graph.constant(0.0));
                    let slope = self.graph.choose(none, zero, slope);
                    let of_a = self.mul(given, slope);
                    self.add(a, of_a);
                }
                if to_b {
                    let logarithm = self.graph.unary(Unary::Log, a);
                    let slope = self.mul(result, logarithm);
                    let (at_zero, zero) = (self.graph.scalar(Binary::Eq, a, 0.0), self.graph.constant(0.0));
                    let slope = self.graph.choose(at_zero, zero, slope);
                    let of_b = self.mul(given, slope);
                    self.add(b, of_b);
                }
            }
            Binary::Minimum | Binary::Maximum => {
                let than = if op == Binary::Minimum { Binary::Lt } else { Binary::Gt };
                let half = self.graph.scalar(Binary::Mul, given, 0.5);
                let (equal, zero) = (self.graph.binary(Binary::Eq, a, b), self.graph.constant(0.0));
                let shared = self.graph.choose(equal, half, zero);
                for (place, other) in [(a, b), (b, a)] {
                    if self.depends[place.index()] {
                        let wins = self.graph.binary(than, place, other);
                        let of_place = self.graph.choose(wins, given, shared);
                        self.add(place, of_place);
                    }
                }
            }
            Binary::Eq
            | Binary::Ne
            | Binary::Lt
            | Binary::Le
            | Binary::Gt
            | Binary::Ge
            | Binary::And
            | Binary::Or
            | Binary::Xor => {}
        }
    }

    /// The derivative at `x` times `given`; `result` is the function's value.
    fn of_unary(&mut self, op: Unary, x: Id, result: Id, given: Id) -> Option<Id> {
        let graph = &mut *self.graph;
        let square = |graph: &mut Graph, x: Id| graph.binary(Binary::Mul, x, x);
        let one_minus = |graph: &mut Graph, x: Id| {
            let one = graph.constant(1.0);
            graph.binary(Binary::Sub, one, x)
        };
        let root_of_one_and = |graph: &mut Graph, x: Id, sign: f64, added: f64| {
            let square = graph.binary(Binary::Mul, x, x);
            let square = graph.scalar(Binary::Mul, square, sign);
            let sum = graph.scalar(Binary::Add, square, added);
            graph.unary(Unary::Sqrt, sum)
        };
        let slope = match op {
            Unary::Neg => return Some(graph.unary(Unary::Neg, given)),
            Unary::Copy => return Some(given),
            Unary::Abs => graph.unary(Unary::Sign, x),
            Unary::Exp => result,
            Unary::Expm1 => graph.scalar(Binary::Add, result, 1.0),
            Unary::Log => return Some(graph.binary(Binary::Div, given, x)),
            Unary::Log1p => {
                let below = graph.scalar(Binary::Add, x, 1.0);
                return Some(graph.binary(Binary::Div, given, below));
            }
            Unary::Sqrt => {
                let twice = graph.scalar(Binary::Mul, result, 2.0);
                return Some(graph.binary(Binary::Div, given, twice));
            }
            Unary::Reciprocal => {
                let square = square(graph, result);
                graph.unary(Unary::Neg, square)
            }
            Unary::Tanh => {
                let square = square(graph, result);
                one_minus(graph, square)
            }
            Unary::Sigmoid => {
                let rest = one_minus(graph, result);
                graph.binary(Binary::Mul, result, rest)
            }
            Unary::LogSigmoid => {
                let minus = graph.unary(Unary::Neg, x);
                graph.unary(Unary::Sigmoid, minus)
            }
            Unary::Sin => graph.unary(Unary::Cos, x),
            Unary::Cos => {
                let sine = graph.unary(Unary::Sin, x);
                graph.unary(Unary::Neg, sine)
            }
            Unary::Tan => {
                let square = square(graph, result);
                graph.scalar(Binary::Add, square, 1.0)
            }
            Unary::Asin | Unary::Acos => {
                let root = root_of_one_and(graph, x, -1.0, 1.0);
                let share = graph.binary(Binary::Div, given, root);
                return Some(if op == Unary::Asin { share } else { graph.unary(Unary::Neg, share) });
            }
            Unary::Atan => {
                let square = square(graph, x);
                let below = graph.scalar(Binary::Add, square, 1.0);
                return Some(graph.binary(Binary::Div, given, below));
            }
            Unary::Sinh => graph.unary(Unary::Cosh, x),
            Unary::Cosh => graph.unary(Unary::Sinh, x),
            Unary::Asinh | Unary::Acosh => {
                let added = if op == Unary::Asinh { 1.0 } else { -1.0 };
                let root = root_of_one_and(graph, x, 1.0, added);
                return Some(graph.binary(Binary::Div, given, root));
            }
            Unary::Atanh => {
                let square = square(graph, x);
                let below = one_minus(graph, square);
                return Some(graph.binary(Binary::Div, given, below));
            }
            Unary::Erf => {
                let square = square(graph, x);
                let minus = graph.unary(Unary::Neg, square);
                let bell = graph.unary(Unary::Exp, minus);
                graph.scalar(Binary::Mul, bell, std::f64::consts::FRAC_2_SQRT_PI)
            }
            Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round | Unary::IsFinite | Unary::Not | Unary::Stop => {
                return None;
            }
        };
        Some(self.mul(given, slope))
    }
}
