//! Losses whose distances and reducers are not held elsewhere, against slow formulas: each distance with each reducer,
//! each reducer with what a miner found, with a memory, and on images.

use std::collections::BTreeSet;

use lossmith_plugin::{Input, Role, StateParameter, Tuples};
use serde_json::{Value as Json, json};
use tch::{Kind, Tensor};

use crate::catalogue::formulas::{Case, Formula, Found, cosine, number, squared, unit};
use crate::catalogue::{self, found};
use crate::fixture::{epoch, numbers, slot};
use crate::pairs::{self, DISTANCES, farness, reduced, reducers, with};
use crate::slow::{Matrix, gradient};
use crate::transfers::{assert_close, case, input, of, tensor};

const PACKAGE: &str = "lossmith-losses";

/// Distances of all to all; a similarity counts negative.
fn distances(case: &Case) -> Matrix {
    case.x.iter().map(|x| case.x.iter().map(|y| farness(case.params, x, y)).collect()).collect()
}

/// A limit in the unit of `distances`.
fn limit(case: &Case, name: &str) -> f64 {
    let similarity = matches!(case.params["distance"].as_str().unwrap(), "cosine" | "dot");
    number(case.params, name) * if similarity { -1.0 } else { 1.0 }
}

/// The partners of an anchor, each once.
fn partners(pairs: &[(usize, usize)], anchor: usize) -> BTreeSet<usize> {
    pairs.iter().filter(|pair| pair.0 == anchor).map(|pair| pair.1).collect()
}

fn multi_similarity(case: &Case) -> f64 {
    let (d, base) = (distances(case), limit(case, "base"));
    let (alpha, beta) = (number(case.params, "alpha"), number(case.params, "beta"));
    let loss = |i: usize| {
        let pull = partners(&case.found.positive, i).iter().map(|&p| (alpha * (d[i][p] - base)).exp()).sum::<f64>();
        let push = partners(&case.found.negative, i).iter().map(|&n| (-beta * (d[i][n] - base)).exp()).sum::<f64>();
        (i, pull.ln_1p() / alpha + push.ln_1p() / beta)
    };
    reduced(case.params, &(0..d.len()).map(loss).collect::<Vec<_>>(), case.labels)
}

fn nt_xent(case: &Case) -> f64 {
    let (d, temperature) = (distances(case), number(case.params, "temperature"));
    let losses = case.found.positive.iter().map(|&(a, p)| {
        let negatives = case.found.negative.iter().filter(|pair| pair.0 == a);
        (a, negatives.map(|&(_, n)| ((d[a][p] - d[a][n]) / temperature).exp()).sum::<f64>().ln_1p())
    });
    reduced(case.params, &losses.collect::<Vec<_>>(), case.labels)
}

fn sup_con(case: &Case) -> f64 {
    let (d, temperature) = (distances(case), number(case.params, "temperature"));
    let loss = |i: usize| {
        let positives = partners(&case.found.positive, i);
        let all = positives.iter().copied().chain(partners(&case.found.negative, i));
        let logarithm = all.map(|j| (-d[i][j] / temperature).exp()).sum::<f64>().ln();
        let sum = positives.iter().map(|&p| logarithm + d[i][p] / temperature).sum::<f64>();
        (i, sum / (positives.len() as f64).max(1.0))
    };
    reduced(case.params, &(0..d.len()).map(loss).collect::<Vec<_>>(), case.labels)
}

fn angular(case: &Case) -> f64 {
    let square = number(case.params, "degrees").to_radians().tan().powi(2);
    let losses = case.found.positive.iter().map(|&(a, p)| {
        let negatives = (0..case.x.len()).filter(|&n| case.labels[n] != case.labels[a]);
        let exponents = negatives.map(|n| {
            let to_negative = [a, p].map(|i| unit(&case.x[i]).iter().zip(&case.x[n]).map(|(x, y)| x * y).sum::<f64>());
            4.0 * square * (to_negative[0] + to_negative[1]) - 2.0 * (1.0 + square) * cosine(&case.x[a], &case.x[p])
        });
        (a, exponents.map(f64::exp).sum::<f64>().ln_1p())
    });
    reduced(case.params, &losses.collect::<Vec<_>>(), case.labels)
}

fn margin(case: &Case) -> f64 {
    let (d, boundary, margin) = (distances(case), limit(case, "beta"), number(case.params, "margin"));
    let hinges = case.found.triplets.iter().flat_map(|&[a, p, n]| {
        [d[a][p] - boundary + margin, boundary - d[a][n] + margin].map(|hinge| (a, hinge.max(0.0)))
    });
    let hinges: Vec<(usize, f64)> = hinges.collect();
    let active = hinges.iter().filter(|hinge| hinge.1 > 0.0).count() as f64;
    let learned = number(case.params, "beta") * case.found.triplets.len() as f64 / active;
    reduced(case.params, &hinges, case.labels) + number(case.params, "nu") * learned
}

/// Losses that have a distance, with parameters that go with it.
fn of_distance(distance: &str) -> [(&'static str, Json, Formula); 4] {
    let near = match distance {
        "cosine" | "dot" => 0.2,
        _ => 1.0,
    };
    [
        ("multi-similarity", json!({ "alpha": 2.0, "beta": 5.0, "base": near }), multi_similarity),
        ("nt-xent", json!({ "temperature": 0.5 }), nt_xent),
        ("sup-con", json!({ "temperature": 0.5 }), sup_con),
        ("margin", json!({ "beta": near, "margin": 0.3 }), margin),
    ]
}

#[test]
fn each_distance_goes_with_each_reducer() {
    for distance in DISTANCES {
        for (strategy, own, formula) in of_distance(distance) {
            for (place, reducer) in reducers().into_iter().enumerate() {
                let limits = json!({ "reducer-low": 0.3, "reducer-high": 2.5 });
                let shared = json!({ "distance": distance, "p": 3.0, "normalize": place % 2 == 0 });
                let params = with(with(with(own.clone(), shared), reducer), limits);
                pairs::assert_equal(strategy, &params, |x, labels| {
                    formula(&Case { params: &params, x, at: x, labels, found: &found(labels, "none") })
                });
            }
        }
    }
}

#[test]
fn each_reducer_goes_with_what_a_miner_found() {
    let [similarity, of_pairs, of_anchors, of_hinges] = of_distance("cosine");
    let own = json!({ "nu": 0.3, "learn-beta": "per-class", "beta": 0.2, "margin": 0.3 });
    let learning = ("margin", own, margin as Formula);
    let angles = ("angular", json!({ "degrees": 30.0 }), angular as Formula);
    for (strategy, own, formula) in [similarity, of_pairs, of_anchors, of_hinges, learning, angles] {
        // Losses of pairs and anchors are larger than hinges.
        let limits = match strategy {
            "margin" => json!({ "reducer-low": 0.2, "reducer-high": 0.6 }),
            "multi-similarity" => json!({ "reducer-low": 0.9, "reducer-high": 1.5 }),
            _ => json!({ "reducer-low": 1.0, "reducer-high": 2.5 }),
        };
        let mut values = Vec::new();
        for reducer in reducers() {
            let mut params = with(with(own.clone(), reducer), limits.clone());
            let x = case("lcg16x8_imbalanced");
            let slow = with(params.clone(), json!({ "distance": "cosine" }));
            let found = found(&x.labels, "pairs");
            let at = &x.student;
            values.push(formula(&Case { params: &slow, x: at, at, labels: &x.labels, found: &found }));
            // It has no distance.
            if strategy != "angular" {
                params = slow;
            }
            catalogue::assert_equal(PACKAGE, strategy, &params.to_string(), formula);
        }
        // Else a reducer that is ignored would not be seen. Losses of anchors have no other mean by anchor.
        let [mean, sum, _, threshold, _, weighted, divided] = values[..] else { panic!("{}", values.len()) };
        for other in [sum, threshold, weighted, divided] {
            assert!((other - mean).abs() > 1e-6 * mean.abs(), "{strategy}: {values:?}");
        }
    }
}

#[test]
fn a_memory_is_compared_and_reduced_like_the_batch() {
    let x = case("lcg16x8_imbalanced");
    let labels = &x.labels;
    // The memory holds the same images, with themselves among them.
    let all = || (0..labels.len()).flat_map(|i| (0..labels.len()).map(move |j| (i, j)));
    let (positive, negative): (Vec<_>, Vec<_>) = all().partition(|&(i, j)| labels[i] == labels[j]);
    let join = |&(a, p): &(usize, usize)| negative.iter().filter(move |pair| pair.0 == a).map(move |&(_, n)| [a, p, n]);
    let triplets = positive.iter().flat_map(join).collect();
    let with_memory = Found { triplets, negative: negative.clone(), positive: positive.clone(), tuples: None };
    for (strategy, own, formula) in of_distance("squared-euclidean") {
        for reducer in reducers() {
            let params = with(with(own.clone(), json!({ "distance": "squared-euclidean" })), reducer);
            let given = with(params.clone(), json!({ "memory-size": 16 }));
            let mut slot = slot(PACKAGE, Role::Loss, strategy, given, of(Kind::Double));
            let _ = slot.loss(input(&x, Kind::Double), &epoch(0)).unwrap();
            let loss = slot.loss(input(&x, Kind::Double), &epoch(0)).unwrap();
            let at = &x.student;
            let value = |found: &Found| formula(&Case { params: &params, x: at, at, labels, found });
            let expected = value(&found(labels, "none")) + value(&with_memory);
            assert_close(&numbers(&loss), &[expected], 1e-9, &format!("{strategy} {params}"));
        }
    }
}

/// The value of a loss and its gradients by the embeddings and by its trainable parameters, which are given.
fn outcome(
    package: &str,
    strategy: &str,
    params: &Json,
    tuples: Option<Tuples>,
    given: &[(&str, &Tensor)],
) -> Vec<Vec<f64>> {
    let mut slot = slot(package, Role::Loss, strategy, params.clone(), of(Kind::Double));
    for (name, tensor) in given {
        let tensor = tensor.copy().set_requires_grad(true);
        slot.state_mut().parameters.insert((*name).into(), StateParameter { tensor, learning_rate_multiplier: 1.0 });
    }
    let input = Input { tuples, ..input(&case("lcg16x8_imbalanced"), Kind::Double) };
    let embeddings = input.embeddings.as_ref().unwrap().shallow_clone();
    let loss = slot.loss(input, &epoch(0)).unwrap_or_else(|error| panic!("{strategy} {params}: {error}"));
    loss.backward();
    let of_given = given.iter().map(|(name, _)| numbers(&slot.state().parameters[*name].tensor.grad()));
    [numbers(&loss), numbers(&embeddings.grad())].into_iter().chain(of_given).collect()
}

/// Weight vectors without a pattern, one in each row.
fn weights(rows: usize, dimension: usize) -> Matrix {
    let entry = |i: usize| (1.7 * (i * i) as f64 + 0.4).sin();
    (0..rows).map(|row| (0..dimension).map(|column| entry(row * dimension + column)).collect()).collect()
}

#[test]
fn cross_entropy_reduces_the_losses_of_all_images() {
    let x = case("lcg16x8_imbalanced");
    let (w, b) = (weights(4, 8), weights(1, 4));
    let smoothing = 0.2;
    let formula = |params: &Json, x: &Matrix, w: &Matrix, b: &Matrix, labels: &[i64]| {
        let loss = |(place, x): (usize, &Vec<f64>)| {
            let logit = |(w, b): (&Vec<f64>, &f64)| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + b;
            let logits: Vec<f64> = w.iter().zip(&b[0]).map(logit).collect();
            let all = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
            let mean = logits.iter().sum::<f64>() / logits.len() as f64;
            let right = logits[labels[place] as usize];
            (place, all - (1.0 - smoothing) * right - smoothing * mean)
        };
        reduced(params, &x.iter().enumerate().map(loss).collect::<Vec<_>>(), labels)
    };
    let index = |list: &[i64]| Tensor::from_slice(list);
    for reducer in reducers() {
        let limits = json!({ "label-smoothing": smoothing, "reducer-low": 1.0, "reducer-high": 2.0 });
        let params = with(reducer, limits);
        let given = [("W", &tensor(&w, Kind::Double)), ("b", &tensor(&b, Kind::Double).reshape([4]))];
        // What a miner found changes nothing.
        for tuples in [None, Some(Tuples::Triplets([index(&[0, 0, 2]), index(&[2, 3, 0]), index(&[1, 1, 4])]))] {
            let found = outcome("lossmith-proxies", "cross-entropy", &params, tuples, &given);
            let (at, labels, what) = (&x.student, &x.labels, params.to_string());
            assert_close(&found[0], &[formula(&params, at, &w, &b, labels)], 1e-9, &what);
            assert_close(&found[1], &gradient(at, |x| formula(&params, x, &w, &b, labels)), 1e-5, &what);
            assert_close(&found[2], &gradient(&w, |w| formula(&params, at, w, &b, labels)), 1e-5, &what);
            assert_close(&found[3], &gradient(&b, |b| formula(&params, at, &w, b, labels)), 1e-5, &what);
        }
    }
}

#[test]
fn proxy_anchor_goes_with_each_distance() {
    let x = case("lcg16x8_imbalanced");
    let w = weights(4, 8);
    let formula = |params: &Json, x: &Matrix, w: &Matrix, labels: &[i64]| {
        let sign = if matches!(params["distance"].as_str().unwrap(), "cosine" | "dot") { -1.0 } else { 1.0 };
        let (alpha, margin) = (number(params, "alpha"), number(params, "margin"));
        let logarithm = |class: usize, own: bool| {
            let images = x.iter().zip(labels).filter(|(_, label)| (**label == class as i64) == own);
            let exponents = images.map(|(x, _)| match own {
                true => alpha * (farness(params, x, &w[class]) - sign * margin),
                false => -alpha * (farness(params, x, &w[class]) + sign * margin),
            });
            exponents.map(f64::exp).sum::<f64>().ln_1p()
        };
        (0..w.len()).map(|class| logarithm(class, true) + logarithm(class, false)).sum::<f64>() / w.len() as f64
    };
    for (place, distance) in DISTANCES.into_iter().enumerate() {
        let params =
            json!({ "distance": distance, "p": 3.0, "normalize": place % 2 == 0, "alpha": 4.0, "margin": -0.6 });
        let given = [("proxies", &tensor(&w, Kind::Double))];
        let found = outcome("lossmith-proxies", "proxy-anchor", &params, None, &given);
        let (at, labels, what) = (&x.student, &x.labels, params.to_string());
        assert_close(&found[0], &[formula(&params, at, &w, labels)], 1e-9, &what);
        assert_close(&found[1], &gradient(at, |x| formula(&params, x, &w, labels)), 1e-5, &what);
        assert_close(&found[2], &gradient(&w, |w| formula(&params, at, w, labels)), 1e-5, &what);
    }
}

#[test]
fn equal_norm_reduces_the_losses_of_the_images() {
    let x = case("lcg16x8_imbalanced");
    let formula = |params: &Json, x: &Matrix, labels: &[i64]| {
        let squares: Vec<f64> = x.iter().map(|x| squared(x, &vec![0.0; x.len()])).collect();
        let mean = squares.iter().sum::<f64>() / squares.len() as f64;
        let losses = squares.iter().map(|square| (square - mean).powi(2) / 4.0);
        reduced(params, &losses.enumerate().collect::<Vec<_>>(), labels)
    };
    for reducer in reducers() {
        let found = outcome("lossmith-regularizers", "equal-norm", &reducer, None, &[]);
        let (at, labels, what) = (&x.student, &x.labels, reducer.to_string());
        assert_close(&found[0], &[formula(&reducer, at, labels)], 1e-9, &what);
        assert_close(&found[1], &gradient(at, |x| formula(&reducer, x, labels)), 1e-5, &what);
    }
}

/// `multi-threshold` over triplets that are given, or chosen in each slice.
fn multi_threshold(params: &Json, thresholds: &[f64], x: &Matrix, labels: &[i64], given: Option<&[[usize; 3]]>) -> f64 {
    let width = x[0].len() / thresholds.len();
    let all = found(labels, "none").triplets;
    let of_slice = |(slice, threshold): (usize, &f64)| {
        let rows: Matrix = x.iter().map(|x| unit(&x[slice * width..][..width])).collect();
        let d = |i: usize, j: usize| squared(&rows[i], &rows[j]).sqrt();
        // The farthest positive and the nearest negative of an anchor: no other one costs more.
        let cost = |&[a, p, n]: &[usize; 3]| d(a, p) - d(a, n) + threshold;
        let hardest = |a: usize| {
            let of_anchor = all.iter().filter(|triplet| triplet[0] == a);
            of_anchor.max_by(|left, right| cost(left).total_cmp(&cost(right))).copied()
        };
        let chosen: Vec<[usize; 3]> = match (given, params["mining"].as_str().unwrap()) {
            (Some(given), _) => given.to_vec(),
            (None, "all") => all.clone(),
            (None, "semi-hard") => {
                all.iter().copied().filter(|it| cost(it) > 0.0 && d(it[0], it[2]) > d(it[0], it[1])).collect()
            }
            (None, _) => (0..x.len()).filter_map(hardest).collect(),
        };
        let first: Vec<(usize, f64)> = chosen.iter().map(|it| (it[0], cost(it).max(0.0))).collect();
        let second = chosen.iter().map(|&[a, p, n]| (a, (d(a, p) - d(p, n) + threshold).max(0.0)));
        match params["dual"] == "exchange" {
            true => reduced(params, &first, labels) + reduced(params, &second.collect::<Vec<_>>(), labels),
            false => reduced(params, &first, labels),
        }
    };
    thresholds.iter().enumerate().map(of_slice).sum::<f64>() / thresholds.len() as f64
}

#[test]
fn multi_threshold_reduces_the_triplets_of_each_slice() {
    let x = case("lcg16x8_imbalanced");
    // No two distances are so near to each other that a difference would go over the edge of the semi-hard triplets.
    let (at, labels) = (&weights(16, 12), &x.labels);
    let given: Vec<[usize; 3]> = found(labels, "none").triplets.into_iter().step_by(5).collect();
    let index = |part: usize| Tensor::from_slice(&given.iter().map(|it| it[part] as i64).collect::<Vec<_>>());
    for thresholds in [vec![0.7], vec![0.5, 1.1]] {
        for (mining, dual, mined) in [
            ("batch-hard", "none", false),
            ("batch-hard", "exchange", false),
            ("semi-hard", "none", false),
            ("all", "none", false),
            ("batch-hard", "none", true),
            ("batch-hard", "exchange", true),
        ] {
            for reducer in reducers() {
                let params = with(reducer, json!({ "mining": mining, "dual": dual }));
                let what = format!("{params}, {thresholds:?}, mined: {mined}");
                let tuples = mined.then(|| Tuples::Triplets([0, 1, 2].map(index)));
                let slice_count = thresholds.len() as i64;
                let embeddings = tensor(at, Kind::Double).set_requires_grad(true);
                let input = Input {
                    embeddings: Some(embeddings.shallow_clone()),
                    tuples,
                    slice_count,
                    thresholds: thresholds.clone(),
                    ..input(&x, Kind::Double)
                };
                let mut slot = slot(PACKAGE, Role::Loss, "multi-threshold", params.clone(), of(Kind::Double));
                let loss = slot.loss(input, &epoch(0)).unwrap_or_else(|error| panic!("{what}: {error}"));
                loss.backward();
                let formula =
                    |x: &Matrix| multi_threshold(&params, &thresholds, x, labels, mined.then_some(given.as_slice()));
                assert_close(&numbers(&loss), &[formula(at)], 1e-9, &what);
                let slope = gradient(at, formula);
                assert_close(&numbers(&embeddings.grad()), &slope, 1e-5, &format!("the gradient of {what}"));
            }
        }
    }
}
