//! Programs against a plain interpreter, and their gradients against differences.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use lossmith_program::{Binary, Graph, Id, Program, Reduction, Unary, Wanted};
use support::{Plain, Values};

/// Numbers between -1 and 1 that look random.
fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

struct Case {
    graph: Graph,
    inputs: Vec<Id>,
    output: Id,
    data: Vec<Vec<f64>>,
    /// The first so many inputs have a gradient.
    differentiated: usize,
}

fn elements(graph: &Graph, id: Id) -> usize {
    graph.shape(id).iter().product()
}

impl Case {
    fn plain(&self, data: &[Vec<f64>]) -> Vec<f64> {
        let ids: Vec<Id> = self.graph.all().collect();
        Values::of(&self.graph, &ids, data).get(self.graph.place(self.output)).to_vec()
    }

    fn weights(&self) -> Vec<f64> {
        numbers(elements(&self.graph, self.output), 99)
    }

    fn run(&self, threads: usize, blocked: bool) -> (Vec<f64>, Vec<Vec<f64>>) {
        let places: Vec<usize> = (0..self.differentiated).collect();
        let program = Program::new(
            self.graph.clone(),
            Wanted { inputs: &self.inputs, outputs: &[self.output], differentiated: &places, blocked },
        );
        let backend = Plain { threads };
        let inputs: Vec<&[f64]> = self.data.iter().map(Vec::as_slice).collect();
        let mut value = vec![f64::NAN; elements(&self.graph, self.output)];
        let saved = program.forward(&backend, &inputs, &mut [&mut value]);
        let mut gradients: Vec<Vec<f64>> =
            program.differentiated().iter().map(|&place| vec![f64::NAN; self.data[place].len()]).collect();
        let mut results: Vec<&mut [f64]> = gradients.iter_mut().map(Vec::as_mut_slice).collect();
        program.backward(&backend, &inputs, &saved, &[&self.weights()], &mut results);
        let mut all = vec![Vec::new(); self.differentiated];
        for (&place, gradient) in program.differentiated().iter().zip(gradients) {
            all[place] = gradient;
        }
        (value, all)
    }

    #[track_caller]
    fn check(&self, what: &str) {
        let (value, gradients) = self.run(1, false);
        let expected = self.plain(&self.data);
        for (found, expected) in value.iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-12 * (1.0 + expected.abs()), "{what}: {found} {expected}");
        }
        for (threads, blocked) in [(3, false), (1, true), (2, true)] {
            let (again, others) = self.run(threads, blocked);
            assert_eq!(value, again, "{what}: {threads} threads, blocked {blocked}");
            assert_eq!(gradients, others, "{what}: {threads} threads, blocked {blocked}");
        }
        let weights = self.weights();
        let total = |data: &[Vec<f64>]| -> f64 { self.plain(data).iter().zip(&weights).map(|(a, b)| a * b).sum() };
        for (place, gradient) in gradients.iter().enumerate() {
            let step = 1e-6;
            let count = self.data[place].len();
            for index in (0..count).step_by(count.div_ceil(40)) {
                let [up, down] = [step, -step].map(|step| {
                    let mut data = self.data.clone();
                    data[place][index] += step;
                    total(&data)
                });
                let (slope, found) = ((up - down) / (2.0 * step), gradient.get(index).copied().unwrap_or(0.0));
                assert!((slope - found).abs() < 1e-5 * (1.0 + slope.abs()), "{what}: {place}[{index}] {found} {slope}");
            }
        }
    }
}

fn unit(graph: &mut Graph, x: Id) -> Id {
    let square = graph.binary(Binary::Mul, x, x);
    let sum = graph.reduce(Reduction::Sum, square);
    let norm = graph.unary(Unary::Sqrt, sum);
    graph.binary(Binary::Div, x, norm)
}

/// Cosines of all rows, and where two labels are equal without the diagonal.
fn pairs(size: usize, dimension: usize) -> (Graph, Vec<Id>, Vec<Vec<f64>>, Id, Id) {
    let mut graph = Graph::new();
    let (x, labels) = (graph.input(&[size, dimension]), graph.input(&[size]));
    let unit = unit(&mut graph, x);
    let cosines = graph.product(unit, unit, false, true);
    let (column, row) = (graph.reshape(labels, &[size, 1]), graph.reshape(labels, &[1, size]));
    let equal = graph.binary(Binary::Eq, column, row);
    let positions = graph.positions(size);
    let (down, along) = (graph.reshape(positions, &[size, 1]), graph.reshape(positions, &[1, size]));
    let other = graph.binary(Binary::Ne, down, along);
    let same = graph.binary(Binary::And, equal, other);
    let data = vec![numbers(size * dimension, 1), (0..size).map(|place| (place % 3) as f64).collect()];
    (graph, vec![x, labels], data, cosines, same)
}

#[test]
fn softmax_losses_of_pairs() {
    for (size, dimension) in [(7, 3), (40, 5), (300, 4)] {
        let (mut graph, inputs, data, cosines, same) = pairs(size, dimension);
        let logits = graph.scalar(Binary::Div, cosines, 0.1);
        let low = graph.constant(-1e30);
        let other = graph.unary(Unary::Not, same);
        let filled = graph.choose(other, logits, low);
        let largest = graph.reduce(Reduction::FirstMax, filled);
        let stopped = graph.unary(Unary::Stop, largest);
        let shifted = graph.binary(Binary::Sub, filled, stopped);
        let shares = graph.unary(Unary::Exp, shifted);
        let sum = graph.reduce(Reduction::Sum, shares);
        let logarithm = graph.unary(Unary::Log, sum);
        let all = graph.binary(Binary::Add, stopped, logarithm);
        let losses = graph.binary(Binary::Sub, all, logits);
        let of_positives = graph.binary(Binary::Mul, losses, same);
        let sums = graph.reduce(Reduction::Sum, of_positives);
        let counts = graph.reduce(Reduction::Sum, same);
        let counts = graph.scalar(Binary::Maximum, counts, 1.0);
        let means = graph.binary(Binary::Div, sums, counts);
        let output = graph.sum_all(means);
        Case { graph, inputs, output, data, differentiated: 1 }.check("sup-con");
    }
}

#[test]
fn hinges_of_pairs_averaged_over_those_above_0() {
    let (mut graph, inputs, data, cosines, same) = pairs(50, 6);
    let excess = graph.scalar(Binary::Sub, cosines, 0.3);
    let zero = graph.constant(0.0);
    let (above, different) = (graph.binary(Binary::Gt, excess, zero), graph.unary(Unary::Not, same));
    let active = graph.binary(Binary::And, above, different);
    let hinges = graph.binary(Binary::Mul, excess, active);
    let (sum, count) = (graph.sum_all(hinges), graph.sum_all(active));
    let count = graph.scalar(Binary::Maximum, count, 1.0);
    let output = graph.binary(Binary::Div, sum, count);
    Case { graph, inputs, output, data, differentiated: 1 }.check("hinges");
}

#[test]
fn a_whole_matrix_as_output() {
    let (mut graph, inputs, data, cosines, same) = pairs(20, 6);
    let squares = graph.binary(Binary::Mul, cosines, cosines);
    let weighed = graph.binary(Binary::Mul, squares, same);
    let rows = graph.reduce(Reduction::Max, weighed);
    let output = graph.binary(Binary::Sub, weighed, rows);
    Case { graph, inputs, output, data, differentiated: 1 }.check("matrix");
}

/// Rows are taken in parts.
#[test]
fn long_rows() {
    let (rows, columns, dimension) = (5, 5000, 3);
    let mut graph = Graph::new();
    let (x, y, weights) =
        (graph.input(&[rows, dimension]), graph.input(&[columns, dimension]), graph.input(&[columns, rows]));
    let products = graph.product(x, y, false, true);
    let turned = graph.permute(weights, &[1, 0]);
    let weighed = graph.binary(Binary::Mul, products, turned);
    let largest = graph.reduce(Reduction::FirstMax, weighed);
    let stopped = graph.unary(Unary::Stop, largest);
    let shifted = graph.binary(Binary::Sub, weighed, stopped);
    let shares = graph.unary(Unary::Exp, shifted);
    let sum = graph.reduce(Reduction::Sum, shares);
    let share = graph.binary(Binary::Div, shares, sum);
    let square = graph.binary(Binary::Mul, share, products);
    let sums = graph.reduce(Reduction::Sum, square);
    let output = graph.binary(Binary::Mul, sums, sums);
    let data = vec![numbers(rows * dimension, 11), numbers(columns * dimension, 12), numbers(columns * rows, 13)];
    Case { graph, inputs: vec![x, y, weights], output, data, differentiated: 3 }.check("long rows");
}

#[test]
fn a_product_that_two_passes_need_is_made_twice_in_blocks() {
    let (mut graph, inputs, _, cosines, same) = pairs(200, 4);
    // The second pass needs what the first finds in each row.
    let chosen = graph.binary(Binary::Mul, cosines, same);
    let columns = graph.reduce_over(Reduction::Max, chosen, 0);
    let above = graph.binary(Binary::Sub, cosines, columns);
    let square = graph.binary(Binary::Mul, above, above);
    let output = graph.sum_all(square);
    let wanted = Wanted { inputs: &inputs, outputs: &[output], differentiated: &[0], blocked: true };
    let program = Program::<f64>::new(graph.clone(), wanted);
    let whole = Program::<f64>::new(graph, Wanted { blocked: false, ..wanted });
    assert!(whole.elements() >= program.elements() + 200 * 200, "{} {}", whole.elements(), program.elements());
}

#[test]
fn slices_of_embeddings() {
    let (slices, size, dimension) = (3, 10, 12);
    let mut graph = Graph::new();
    let x = graph.input(&[size, dimension]);
    let parts = graph.reshape(x, &[size, slices, dimension / slices]);
    let parts = graph.permute(parts, &[1, 0, 2]);
    let unit = unit(&mut graph, parts);
    let cosines = graph.product(unit, unit, false, true);
    let thresholds = graph.input(&[slices, 1, 1]);
    let mask = graph.input(&[size, size]);
    let excess = graph.binary(Binary::Sub, cosines, thresholds);
    let sharp = graph.unary(Unary::Sigmoid, excess);
    let chosen = graph.binary(Binary::Mul, sharp, mask);
    let columns = graph.reduce_over(Reduction::Sum, chosen, 1);
    let square = graph.binary(Binary::Mul, columns, columns);
    let output = graph.sum_all(square);
    let data = vec![numbers(size * dimension, 3), numbers(slices, 4), numbers(size * size, 5)];
    Case { graph, inputs: vec![x, thresholds, mask], output, data, differentiated: 3 }.check("slices");
}

#[test]
fn views_and_their_gradients() {
    let mut graph = Graph::new();
    let x = graph.input(&[4, 6]);
    let weights = graph.input(&[6, 3]);
    let turned = graph.permute(x, &[1, 0]);
    let flat = graph.reshape(turned, &[8, 3]);
    let part = graph.narrow(flat, 0, 2, 5);
    let mapped = graph.product(x, weights, false, false);
    let square = graph.product(mapped, mapped, false, true);
    let diagonal = graph.diagonal(square);
    let wide = graph.product(part, mapped, false, true);
    let shifted = graph.binary(Binary::Add, wide, diagonal);
    let columns = graph.reduce_over(Reduction::Max, shifted, 0);
    let all = graph.binary(Binary::Mul, shifted, columns);
    let output = graph.unary(Unary::Tanh, all);
    let data = vec![numbers(24, 6), numbers(18, 7)];
    Case { graph, inputs: vec![x, weights], output, data, differentiated: 2 }.check("views");
}

#[test]
fn functions_of_one_and_two_elements() {
    let ops = [
        Unary::Neg,
        Unary::Abs,
        Unary::Exp,
        Unary::Expm1,
        Unary::Log,
        Unary::Log1p,
        Unary::Sqrt,
        Unary::Reciprocal,
        Unary::Tanh,
        Unary::Sigmoid,
        Unary::LogSigmoid,
        Unary::Sin,
        Unary::Cos,
        Unary::Tan,
        Unary::Asin,
        Unary::Acos,
        Unary::Atan,
        Unary::Sinh,
        Unary::Cosh,
        Unary::Asinh,
        Unary::Atanh,
        Unary::Erf,
    ];
    for op in ops {
        let mut graph = Graph::new();
        let x = graph.input(&[3, 5]);
        let output = graph.unary(op, x);
        let data = vec![numbers(15, 8).iter().map(|x| 0.5 + 0.4 * x).collect()];
        Case { graph, inputs: vec![x], output, data, differentiated: 1 }.check(&format!("{op:?}"));
    }
    for op in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Pow, Binary::Minimum, Binary::Maximum] {
        for (left, right) in
            [(vec![4, 5], vec![4, 5]), (vec![4, 5], vec![5]), (vec![4, 1], vec![5]), (vec![], vec![4, 5])]
        {
            let mut graph = Graph::new();
            let (a, b) = (graph.input(&left), graph.input(&right));
            let output = graph.binary(op, a, b);
            let of = |shape: &[usize], seed| {
                numbers(shape.iter().product(), seed).iter().map(|x| 1.5 + x).collect::<Vec<f64>>()
            };
            let data = vec![of(&left, 9), of(&right, 10)];
            Case { graph, inputs: vec![a, b], output, data, differentiated: 2 }
                .check(&format!("{op:?} {left:?} {right:?}"));
        }
    }
}

#[test]
fn nothing_that_depends_has_no_gradient() {
    let mut graph = Graph::new();
    let x = graph.input(&[3]);
    let output = graph.unary(Unary::Stop, x);
    let program =
        Program::<f64>::new(graph, Wanted { inputs: &[x], outputs: &[output], differentiated: &[0], blocked: false });
    assert!(program.differentiated().is_empty());
    let mut value = [0.0; 3];
    let saved = program.forward(&Plain { threads: 1 }, &[&[1.0, 2.0, 3.0]], &mut [&mut value]);
    assert_eq!(value, [1.0, 2.0, 3.0]);
    program.backward(&Plain { threads: 1 }, &[&[1.0, 2.0, 3.0]], &saved, &[&[1.0; 3]], &mut []);
    assert_eq!(program.saved(), 0);
}
