//! The loss `multi-threshold` against its formula in plain loops over triplets, and where it is another loss.

mod edges;

use std::collections::BTreeMap;

use lossmith_plugin::{Input, Metric, Role, Slot, Tuples};
use serde_json::{Value as Json, json};
use tch::{Kind, Tensor};

use crate::fixture::{epoch, numbers, slot};
use crate::golden::difference;
use crate::slow::{self, Matrix};
use crate::transfers::{of, tensor};

const PACKAGE: &str = "lossmith-losses";

/// Thresholds for one, two and four slices.
const THRESHOLDS: [&[f64]; 3] = [&[0.3], &[0.9, 0.2], &[0.1, 0.5, 0.8, 1.4]];

/// Both reducers.
const REDUCERS: [&str; 2] = ["mean", "average-non-zero"];

/// Images with their classes.
#[derive(Clone)]
struct Images {
    rows: Matrix,
    labels: Vec<i64>,
}

impl Images {
    /// Rows of `dimension` numbers without pattern, between -1 and 1.
    fn random(labels: &[i64], dimension: usize) -> Self {
        let mut state = 20_240_607_u64;
        let mut number = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        };
        let rows = labels.iter().map(|_| (0..dimension).map(|_| number()).collect()).collect();
        Self { rows, labels: labels.to_vec() }
    }

    fn input(&self, kind: Kind, thresholds: &[f64], tuples: Option<Tuples>) -> Input {
        Input {
            embeddings: Some(tensor(&self.rows, kind).set_requires_grad(true)),
            labels: Some(Tensor::from_slice(&self.labels)),
            class_count: self.labels.iter().max().unwrap() + 1,
            slice_count: thresholds.len() as i64,
            thresholds: thresholds.to_vec(),
            tuples,
            ..Input::default()
        }
    }

    /// All (anchor, positive, negative).
    fn triplets(&self) -> Vec<[usize; 3]> {
        let (labels, mut triplets) = (&self.labels, Vec::new());
        for a in 0..labels.len() {
            for p in (0..labels.len()).filter(|&p| p != a && labels[p] == labels[a]) {
                for n in (0..labels.len()).filter(|&n| labels[n] != labels[a]) {
                    triplets.push([a, p, n]);
                }
            }
        }
        triplets
    }
}

/// Classes of three; classes of nine, four, two and one. A slice has six dimensions or more: with fewer some images are
/// so near to each other that `|a|^2 + |b|^2 - 2ab` loses the digits that are compared here.
fn images() -> [Images; 2] {
    let imbalanced = [0, 1, 0, 0, 2, 0, 0, 1, 0, 0, 1, 0, 2, 1, 0, 3];
    [Images::random(&[0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3], 24), Images::random(&imbalanced, 24)]
}

/// The loss as it is asked for.
#[derive(Clone, Copy)]
struct Asked<'a> {
    thresholds: &'a [f64],
    mining: &'a str,
    dual: &'a str,
    bound: f64,
    reducer: &'a str,
}

/// What it should give.
struct Expected {
    loss: f64,
    gradient: Vec<f64>,
    metrics: BTreeMap<String, f64>,
}

/// `[sum of signed distances + constant]_+`.
struct Hinge {
    pairs: Vec<(f64, usize, usize)>,
    value: f64,
}

impl<'a> Asked<'a> {
    fn new(thresholds: &'a [f64], mining: &'a str) -> Self {
        Self { thresholds, mining, dual: "none", bound: 0.7, reducer: "mean" }
    }

    fn slot(&self, kind: Kind) -> Slot {
        let Self { mining, dual, bound, reducer, .. } = self;
        let params = json!({ "mining": mining, "dual": dual, "bound": bound, "reducer": reducer });
        slot(PACKAGE, Role::Loss, "multi-threshold", params, of(kind))
    }

    /// The triplets of a slice that count.
    fn chosen(&self, d: &Matrix, threshold: f64, all: &[[usize; 3]]) -> Vec<[usize; 3]> {
        let semi_hard = |&[a, p, n]: &[usize; 3]| d[a][n] > d[a][p] && d[a][n] < d[a][p] + threshold;
        let hardest = |anchor: usize| {
            let triplets = || all.iter().filter(move |triplet| triplet[0] == anchor);
            let farness = |&i: &usize, &j: &usize| d[anchor][i].total_cmp(&d[anchor][j]);
            let farthest = triplets().map(|&[_, p, _]| p).max_by(farness)?;
            Some([anchor, farthest, triplets().map(|&[.., n]| n).min_by(farness)?])
        };
        match self.mining {
            "all" => all.to_vec(),
            "semi-hard" => all.iter().copied().filter(semi_hard).collect(),
            _ => (0..d.len()).filter_map(hardest).collect(),
        }
    }

    /// The terms of a triplet.
    fn hinges(&self, d: &Matrix, threshold: f64, [a, p, n]: [usize; 3]) -> Vec<Hinge> {
        let hinge = |constant: f64, pairs: &[(f64, usize, usize)]| {
            let value = pairs.iter().map(|&(sign, i, j)| sign * d[i][j]).sum::<f64>() + constant;
            Hinge { pairs: pairs.to_vec(), value: value.max(0.0) }
        };
        let ordinary = hinge(threshold, &[(1.0, a, p), (-1.0, a, n)]);
        let other = hinge(threshold, &[(1.0, a, p), (-1.0, p, n)]);
        match self.dual {
            "exchange" => vec![ordinary, other],
            "swap" => vec![if d[p][n] < d[a][n] { other } else { ordinary }],
            "absolute" => vec![ordinary, hinge(-self.bound, &[(1.0, a, p)])],
            _ => vec![ordinary],
        }
    }

    /// By the formula; the triplets are chosen in each slice, or given.
    fn expected(&self, images: &Images, given: Option<&[[usize; 3]]>) -> Expected {
        let (size, count) = (images.rows.len(), self.thresholds.len());
        let (dimension, all) = (images.rows[0].len(), images.triplets());
        let width = dimension / count;
        let (mut loss, mut gradient, mut metrics) = (0.0, vec![0.0; size * dimension], BTreeMap::new());
        for (slice, &threshold) in self.thresholds.iter().enumerate() {
            let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
            let parts: Vec<&[f64]> = images.rows.iter().map(|row| &row[slice * width..][..width]).collect();
            let unit: Matrix = parts.iter().map(|x| x.iter().map(|y| y / norm(x).max(1e-12)).collect()).collect();
            let minus = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<f64>>();
            let d: Matrix = unit.iter().map(|a| unit.iter().map(|b| norm(&minus(a, b))).collect()).collect();

            let chosen = given.map_or_else(|| self.chosen(&d, threshold, &all), <[_]>::to_vec);
            let terms: Vec<Vec<Hinge>> = chosen.iter().map(|&it| self.hinges(&d, threshold, it)).collect();
            let mut slope = vec![vec![0.0; size]; size];
            for term in 0..terms.first().map_or(0, Vec::len) {
                let above: Vec<&Hinge> = terms.iter().map(|hinges| &hinges[term]).filter(|it| it.value > 0.0).collect();
                let divisor = if self.reducer == "mean" { terms.len() } else { above.len() };
                let share = 1.0 / (divisor.max(1) * count) as f64;
                loss += share * above.iter().map(|hinge| hinge.value).sum::<f64>();
                above.iter().flat_map(|hinge| &hinge.pairs).for_each(|&(sign, i, j)| slope[i][j] += share * sign);
            }
            let mut towards = vec![vec![0.0; width]; size];
            for (i, j) in (0..size).flat_map(|i| (0..size).map(move |j| (i, j))).filter(|&(i, j)| d[i][j] > 0.0) {
                for (at, difference) in minus(&unit[i], &unit[j]).into_iter().enumerate() {
                    towards[i][at] += slope[i][j] * difference / d[i][j];
                    towards[j][at] -= slope[i][j] * difference / d[i][j];
                }
            }
            for i in 0..size {
                let along: f64 = towards[i].iter().zip(&unit[i]).map(|(x, y)| x * y).sum();
                for at in 0..width {
                    gradient[i * dimension + slice * width + at] =
                        (towards[i][at] - along * unit[i][at]) / norm(parts[i]);
                }
            }

            let mean: Vec<f64> = (0..width).map(|at| unit.iter().map(|x| x[at]).sum::<f64>() / size as f64).collect();
            let spread = unit.iter().map(|x| norm(&minus(x, &mean)).powi(2)).sum::<f64>() / size as f64;
            let judged = if self.mining == "semi-hard" && given.is_none() { all.len() } else { chosen.len() };
            let active = terms.iter().filter(|hinges| hinges[0].value > 0.0).count() as f64 / judged.max(1) as f64;
            metrics.extend([(format!("active.{slice}"), active), (format!("spread.{slice}"), spread)]);
        }
        Expected { loss, gradient, metrics }
    }

    /// Asserts that the component computes the formula.
    fn check(&self, images: &Images, tuples: Option<&Tuples>) -> Expected {
        let given = tuples.map(listed);
        let expected = self.expected(images, given.as_deref());
        let Self { thresholds, mining, dual, reducer, .. } = self;
        let from = if tuples.is_some() { "a miner" } else { mining };
        for (kind, tolerance) in [(Kind::Double, 1e-9), (Kind::Float, 1e-5)] {
            let what = format!("{thresholds:?} {from} {dual} {reducer} on {} images in {kind:?}", images.rows.len());
            let mut slot = self.slot(kind);
            let (loss, gradient) =
                outcome(&mut slot, images.input(kind, thresholds, tuples.map(Tuples::shallow_clone)));
            let close = |found: &[f64], expected: &[f64], of: &str| {
                let worst = difference(found, expected);
                assert!(worst <= tolerance, "{of} of {what} differs by {worst:e}");
            };
            close(&numbers(&loss), &[expected.loss], "the value");
            close(&numbers(&gradient), &expected.gradient, "the gradient");
            let metrics = metrics(&mut slot);
            assert_eq!(metrics.keys().collect::<Vec<_>>(), expected.metrics.keys().collect::<Vec<_>>(), "{what}");
            for (name, value) in &expected.metrics {
                assert!((metrics[name] - value).abs() <= tolerance, "{name} of {what}: {}, not {value}", metrics[name]);
            }
        }
        expected
    }
}

/// Value and gradient.
fn outcome(slot: &mut Slot, input: Input) -> (Tensor, Tensor) {
    let leaf = input.embeddings.as_ref().unwrap().shallow_clone();
    let loss = slot.loss(input, &epoch(0)).unwrap();
    loss.backward();
    (loss, leaf.grad())
}

/// The metrics that a slot reported.
pub(crate) fn metrics(slot: &mut Slot) -> BTreeMap<String, f64> {
    let number = |metric| match metric {
        Metric::Number(number) => number,
        Metric::Tensor(tensor) => tensor.double_value(&[]),
    };
    slot.take_report().metrics.into_iter().map(|(name, metric)| (name, number(metric))).collect()
}

/// Tuples as triplets; positive and negative pairs of one anchor are joined.
fn listed(tuples: &Tuples) -> Vec<[usize; 3]> {
    let lists: Vec<Vec<usize>> =
        tuples.parts().iter().map(|part| numbers(part).into_iter().map(|x| x as usize).collect()).collect();
    if let Tuples::Triplets(_) = tuples {
        return (0..lists[0].len()).map(|i| [lists[0][i], lists[1][i], lists[2][i]]).collect();
    }
    let joined = (0..lists[0].len()).flat_map(|i| (0..lists[2].len()).map(move |j| (i, j)));
    joined.filter(|&(i, j)| lists[0][i] == lists[2][j]).map(|(i, j)| [lists[0][i], lists[1][i], lists[3][j]]).collect()
}

/// What a miner finds on the whole embedding.
fn mined(images: &Images, kind: Kind, miner: &str, params: Json) -> Tuples {
    let mut input = images.input(kind, &[1.0], None);
    input.embeddings = input.embeddings.map(|x| x.detach());
    slot("lossmith-miners", Role::Miner, miner, params, of(kind)).mine(input, &epoch(0)).unwrap()
}

#[test]
fn each_mining_with_each_reducer_is_the_sum_over_triplets_in_one_two_and_four_slices() {
    for images in images() {
        for thresholds in THRESHOLDS {
            for mining in ["batch-hard", "semi-hard", "all"] {
                for reducer in REDUCERS {
                    let expected = Asked { reducer, ..Asked::new(thresholds, mining) }.check(&images, None);
                    assert!(expected.loss > 0.0 && expected.gradient.iter().any(|x| x.abs() > 1e-4));
                }
            }
        }
    }
}

#[test]
fn each_dual_judges_the_third_pair_of_the_hardest_triplets() {
    let mut nearer = 0;
    for images in images() {
        for thresholds in THRESHOLDS {
            for reducer in REDUCERS {
                let [none, exchange, swap, absolute] = ["none", "exchange", "swap", "absolute"].map(|dual| {
                    Asked { dual, reducer, ..Asked::new(thresholds, "batch-hard") }.check(&images, None).loss
                });
                assert!(exchange > none && absolute > none && (swap >= none || reducer != "mean"));
                nearer += usize::from(swap > none);
            }
        }
    }
    assert!(nearer > 0, "no positive was nearer to the negative than the anchor");
}

#[test]
fn what_a_miner_found_is_shared_by_all_slices() {
    let mut turn = 0;
    for images in images() {
        let found = [
            mined(&images, Kind::Double, "batch-hard", json!({})),
            mined(&images, Kind::Double, "triplet", json!({ "margin": 0.2 })),
            mined(&images, Kind::Double, "triplet", json!({ "margin": 0.4, "kind": "semi-hard" })),
            mined(&images, Kind::Double, "batch-easy-hard", json!({ "positive": "hard", "negative": "all" })),
        ];
        assert!(matches!(found[3], Tuples::Pairs(_)));
        for (tuples, thresholds) in found.iter().flat_map(|tuples| THRESHOLDS.map(|thresholds| (tuples, thresholds))) {
            // `mining` is not used; it and the reducer change from case to case.
            for dual in ["none", "exchange", "swap", "absolute"] {
                let (reducer, mining) = (REDUCERS[turn % 2], ["batch-hard", "semi-hard", "all"][turn % 3]);
                Asked { dual, reducer, ..Asked::new(thresholds, mining) }.check(&images, Some(tuples));
                turn += 1;
            }
            turn += 1;
        }
    }
}

#[test]
fn the_formula_has_the_gradient_that_differences_give() {
    for dual in ["none", "exchange", "swap", "absolute"] {
        for (mining, reducer) in
            ["batch-hard", "semi-hard", "all"].into_iter().zip(["mean", "average-non-zero", "mean"])
        {
            let (images, asked) = (&images()[1], Asked { dual, reducer, ..Asked::new(THRESHOLDS[1], mining) });
            let loss = |rows: &Matrix| asked.expected(&Images { rows: rows.clone(), ..images.clone() }, None).loss;
            let worst = difference(&asked.expected(images, None).gradient, &slow::gradient(&images.rows, loss));
            assert!(worst < 1e-6, "{dual} {mining}: {worst:e}");
        }
    }
}

#[test]
fn an_anchor_without_a_positive_is_left_out() {
    // The last image is the only one of its class: a negative of all others, and no anchor.
    let images = Images::random(&[0, 0, 1, 1, 2], 4);
    for mining in ["batch-hard", "all"] {
        let expected = Asked::new(&[2.0, 2.0], mining).check(&images, None);
        // With such a threshold all triplets are above 0; an anchor that counted would not be.
        assert_eq!([expected.metrics["active.0"], expected.metrics["active.1"]], [1.0, 1.0], "{mining}");
    }
}
