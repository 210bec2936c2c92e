//! A plain interpreter of graphs, one array after the other, and a backend without a library.

use lossmith_program::{Backend, Binary, Graph, Id, Multiply, Node, Op, Reduction, Unary, View};

/// Matrix products by their definition, and so many threads.
pub(crate) struct Plain {
    pub(crate) threads: usize,
}

impl Backend<f64> for Plain {
    fn multiply(&self, product: &Multiply, a: &[f64], b: &[f64], c: &mut [f64]) {
        let Multiply { rows, columns, inner, .. } = *product;
        for row in 0..rows {
            for column in 0..columns {
                let sum: f64 = (0..inner)
                    .map(|k| {
                        let left = if product.a_transposed {
                            a[k * product.a_leading + row]
                        } else {
                            a[row * product.a_leading + k]
                        };
                        let right = if product.b_transposed {
                            b[column * product.b_leading + k]
                        } else {
                            b[k * product.b_leading + column]
                        };
                        left * right
                    })
                    .sum();
                let before = if product.add { c[row * columns + column] } else { 0.0 };
                c[row * columns + column] = before + sum;
            }
        }
    }

    fn parallel(&self, jobs: usize, job: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for thread in 0..self.threads {
                scope.spawn(move || (thread..jobs).step_by(self.threads).for_each(job));
            }
        });
    }
}

/// Values of nodes.
pub(crate) struct Values {
    arrays: Vec<Vec<f64>>,
}

fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for dim in (1..shape.len()).rev() {
        strides[dim - 1] = strides[dim] * shape[dim];
    }
    strides
}

fn position(mut place: usize, shape: &[usize]) -> Vec<usize> {
    let mut position = vec![0; shape.len()];
    for dim in (0..shape.len()).rev() {
        position[dim] = place % shape[dim];
        place /= shape[dim];
    }
    position
}

/// The element of an array of shape `from` at a position of a shape to which it broadcasts.
fn at(array: &[f64], from: &[usize], position: &[usize]) -> f64 {
    let skipped = position.len() - from.len();
    let place: usize = strides(from)
        .iter()
        .zip(from)
        .zip(&position[skipped..])
        .map(|((stride, &size), &index)| if size == 1 { 0 } else { stride * index })
        .sum();
    array[place]
}

impl Values {
    /// All nodes of a graph whose inputs are these.
    pub(crate) fn of(graph: &Graph, ids: &[Id], inputs: &[Vec<f64>]) -> Self {
        let mut values = Self { arrays: Vec::new() };
        for &id in ids {
            let array = values.node(graph, graph.node(id), inputs);
            values.arrays.push(array);
        }
        values
    }

    pub(crate) fn get(&self, place: usize) -> &[f64] {
        &self.arrays[place]
    }

    fn node(&self, graph: &Graph, node: &Node, inputs: &[Vec<f64>]) -> Vec<f64> {
        let Node { op, inputs: operands, shape } = node;
        let count: usize = shape.iter().product();
        let index = |place: usize| graph.place(operands[place]);
        let array = |place: usize| &self.arrays[index(place)];
        let of = |place: usize| graph.shape(operands[place]);
        let each = |f: &dyn Fn(&[usize]) -> f64| (0..count).map(|place| f(&position(place, shape))).collect();
        match op {
            Op::Input(number) => inputs[*number].clone(),
            Op::Constant(bits) => vec![f64::from_bits(*bits)],
            Op::Positions => (0..count).map(|place| place as f64).collect(),
            Op::Unary(op) => array(0).iter().map(|&x| unary(*op, x)).collect(),
            Op::Binary(op) => each(&|p| binary(*op, at(array(0), of(0), p), at(array(1), of(1), p))),
            Op::Choose => each(&|p| {
                if at(array(0), of(0), p) != 0.0 { at(array(1), of(1), p) } else { at(array(2), of(2), p) }
            }),
            Op::Reduce(op) => {
                let columns = *of(0).last().unwrap();
                array(0).chunks(columns).map(|row| reduce(*op, row)).collect()
            }
            Op::Product { left, right } => each(&|p| {
                let rank = p.len();
                let inner = of(0)[if *left { rank - 2 } else { rank - 1 }];
                (0..inner)
                    .map(|k| {
                        let (mut a, mut b) = (p.to_vec(), p.to_vec());
                        (a[rank - 2], a[rank - 1]) = if *left { (k, p[rank - 2]) } else { (p[rank - 2], k) };
                        (b[rank - 2], b[rank - 1]) = if *right { (p[rank - 1], k) } else { (k, p[rank - 1]) };
                        at(array(0), of(0), &a) * at(array(1), of(1), &b)
                    })
                    .sum()
            }),
            Op::View(view) => each(&|p| array(0)[source(view, p, of(0), shape)]),
            Op::Embed(view) => {
                let mut all = vec![0.0; count];
                for (place, &x) in array(0).iter().enumerate() {
                    all[source(view, &position(place, of(0)), shape, of(0))] = x;
                }
                all
            }
        }
    }
}

fn source(view: &View, at: &[usize], from: &[usize], to: &[usize]) -> usize {
    let flat = |position: &[usize]| strides(from).iter().zip(position).map(|(a, b)| a * b).sum::<usize>();
    match view {
        View::Reshape => strides(to).iter().zip(at).map(|(a, b)| a * b).sum(),
        View::Permute(dims) => {
            let mut position = vec![0; at.len()];
            for (place, &dim) in dims.iter().enumerate() {
                position[dim] = at[place];
            }
            flat(&position)
        }
        View::Expand => {
            let skipped = at.len() - from.len();
            let position: Vec<usize> =
                at[skipped..].iter().zip(from).map(|(&index, &size)| if size == 1 { 0 } else { index }).collect();
            flat(&position)
        }
        View::Narrow { dim, start } => {
            let mut position = at.to_vec();
            position[*dim] += start;
            flat(&position)
        }
        View::Diagonal => {
            let mut position = at.to_vec();
            position.push(*at.last().unwrap());
            flat(&position)
        }
    }
}

fn unary(op: Unary, x: f64) -> f64 {
    let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
    match op {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Sign => truth(x > 0.0) - truth(x < 0.0),
        Unary::Exp => x.exp(),
        Unary::Expm1 => x.exp_m1(),
        Unary::Log => x.ln(),
        Unary::Log1p => x.ln_1p(),
        Unary::Sqrt => x.sqrt(),
        Unary::Reciprocal => 1.0 / x,
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Unary::LogSigmoid => -(-x).exp().ln_1p(),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Tan => x.tan(),
        Unary::Asin => x.asin(),
        Unary::Acos => x.acos(),
        Unary::Atan => x.atan(),
        Unary::Sinh => x.sinh(),
        Unary::Cosh => x.cosh(),
        Unary::Asinh => x.asinh(),
        Unary::Acosh => x.acosh(),
        Unary::Atanh => x.atanh(),
        Unary::Erf => libm::erf(x),
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Round => x.round_ties_even(),
        Unary::IsFinite => truth(x.is_finite()),
        Unary::Not => truth(x == 0.0),
        Unary::Stop | Unary::Copy => x,
    }
}

fn binary(op: Binary, a: f64, b: f64) -> f64 {
    let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
    match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Pow => a.powf(b),
        Binary::Minimum => a.min(b),
        Binary::Maximum => a.max(b),
        Binary::Eq => truth(a == b),
        Binary::Ne => truth(a != b),
        Binary::Lt => truth(a < b),
        Binary::Le => truth(a <= b),
        Binary::Gt => truth(a > b),
        Binary::Ge => truth(a >= b),
        Binary::And => truth(a != 0.0 && b != 0.0),
        Binary::Or => truth(a != 0.0 || b != 0.0),
        Binary::Xor => truth((a != 0.0) != (b != 0.0)),
    }
}

fn reduce(op: Reduction, row: &[f64]) -> f64 {
    let first = |better: fn(f64, f64) -> bool| {
        let mut place = 0;
        for (index, &x) in row.iter().enumerate() {
            if better(x, row[place]) {
                place = index;
            }
        }
        place
    };
    match op {
        Reduction::Sum => row.iter().sum(),
        Reduction::Max | Reduction::FirstMax => row[first(|a, b| a > b)],
        Reduction::Min | Reduction::FirstMin => row[first(|a, b| a < b)],
        Reduction::ArgMax => first(|a, b| a > b) as f64,
        Reduction::ArgMin => first(|a, b| a < b) as f64,
    }
}
