//! The losses on pairs and triplets once more, from the formulas, in plain loops over numbers.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::slow::Matrix;

/// What a loss compares.
pub(crate) struct Found {
    pub(crate) positive: Vec<(usize, usize)>,
    pub(crate) negative: Vec<(usize, usize)>,
    pub(crate) triplets: Vec<[usize; 3]>,
    /// What a miner found; none without a miner.
    pub(crate) tuples: Option<Vec<Vec<usize>>>,
}

/// What a slow formula is told.
pub(crate) struct Case<'a> {
    pub(crate) params: &'a Json,
    pub(crate) x: &'a Matrix,
    /// The embeddings that a weight without gradient is taken at.
    pub(crate) at: &'a Matrix,
    pub(crate) labels: &'a [i64],
    pub(crate) found: &'a Found,
}

pub(crate) type Formula = fn(&Case) -> f64;

/// Strategies, with parameters that they are tried with.
pub(crate) const FORMULAS: [(&str, &str, Formula); 27] = [
    ("circle", r#"{ "margin": 0.4, "gamma": 80, "reducer": "average-non-zero" }"#, circle),
    ("circle", r#"{ "margin": 0.2, "gamma": 8, "reducer": "mean" }"#, circle),
    (
        "lifted-structure",
        r#"{ "distance": "euclidean", "negative-margin": 0.7, "positive-margin": 0.2 }"#,
        lifted_structure,
    ),
    (
        "lifted-structure",
        r#"{ "distance": "cosine", "negative-margin": 0.1, "positive-margin": 0.9 }"#,
        lifted_structure,
    ),
    (
        "generalized-lifted",
        r#"{ "distance": "euclidean", "negative-margin": 0.7, "positive-margin": 0.2 }"#,
        generalized,
    ),
    ("generalized-lifted", r#"{ "distance": "cosine", "negative-margin": 0.1, "positive-margin": 0.9 }"#, generalized),
    ("n-pairs", r#"{ "distance": "dot", "normalize": true }"#, n_pairs),
    ("n-pairs", r#"{ "distance": "dot", "normalize": false }"#, n_pairs),
    ("n-pairs", r#"{ "distance": "euclidean" }"#, n_pairs),
    ("angular", r#"{ "degrees": 30, "normalize-negatives": false }"#, angular),
    ("angular", r#"{ "degrees": 45, "normalize-negatives": true }"#, angular),
    ("margin", r#"{ "distance": "euclidean", "beta": 0.9, "margin": 0.3 }"#, margin),
    ("margin", r#"{ "distance": "cosine", "beta": 0.2, "margin": 0.3 }"#, margin),
    ("margin", r#"{ "distance": "euclidean", "beta": 1.1, "margin": 0.2, "nu": 0.3, "learn-beta": "one" }"#, margin),
    (
        "margin",
        r#"{ "distance": "euclidean", "beta": 1.1, "margin": 0.2, "nu": 0.3, "learn-beta": "per-class" }"#,
        margin,
    ),
    ("nca", r#"{ "distance": "squared-euclidean", "scale": 3 }"#, nca),
    ("nca", r#"{ "distance": "squared-euclidean", "scale": 25 }"#, nca),
    ("nca", r#"{ "distance": "cosine", "scale": 5 }"#, nca),
    ("tuplet-margin", r#"{ "degrees": 20, "scale": 10 }"#, tuplet_margin),
    ("intra-pair-variance", r#"{ "distance": "cosine", "positive-epsilon": 0.1, "negative-epsilon": 0.2 }"#, variance),
    (
        "intra-pair-variance",
        r#"{ "distance": "euclidean", "positive-epsilon": 0.1, "negative-epsilon": 0.2 }"#,
        variance,
    ),
    (
        "ranked-list",
        r#"{ "margin": 0.3, "alpha": 1.4, "imbalance": 0.3, "positive-temperature": 2, "negative-temperature": 4 }"#,
        ranked_list,
    ),
    ("snr-contrastive", r#"{ "positive-margin": 0, "negative-margin": 1, "normalize": true }"#, snr),
    (
        "snr-contrastive",
        r#"{ "positive-margin": 0.1, "negative-margin": 3, "mean-weight": 0.2, "normalize": false }"#,
        snr,
    ),
    (
        "threshold-consistent-margin",
        r#"{ "positive-margin": 0.9, "negative-margin": 0.5, "positive-weight": 1, "negative-weight": 1 }"#,
        consistent,
    ),
    (
        "threshold-consistent-margin",
        r#"{ "positive-margin": 0.6, "negative-margin": -0.2, "positive-weight": 2, "negative-weight": 0.5 }"#,
        consistent,
    ),
    ("vicreg", r#"{ "invariance": 25, "variance": 25, "covariance": 1, "epsilon": 0.0001 }"#, vicreg),
];

/// A parameter; 0 when it is not given.
pub(crate) fn number(params: &Json, name: &str) -> f64 {
    params.get(name).map_or(0.0, |value| value.as_f64().unwrap())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(crate) fn unit(a: &[f64]) -> Vec<f64> {
    a.iter().map(|x| x / dot(a, a).sqrt()).collect()
}

pub(crate) fn cosine(a: &[f64], b: &[f64]) -> f64 {
    dot(&unit(a), &unit(b))
}

pub(crate) fn squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / (values.len() as f64).max(1.0)
}

fn average_non_zero(values: &[f64]) -> f64 {
    mean(&values.iter().copied().filter(|x| *x > 0.0).collect::<Vec<_>>())
}

/// The logarithm of the sum of exponentials; 0 of none.
fn log_sum(exponents: &[f64]) -> f64 {
    if exponents.is_empty() { 0.0 } else { exponents.iter().map(|x| x.exp()).sum::<f64>().ln() }
}

fn softplus(x: f64) -> f64 {
    if x > 30.0 { x } else { x.exp().ln_1p() }
}

impl Case<'_> {
    /// Larger is farther.
    fn farness(&self, i: usize, j: usize) -> f64 {
        let normalize = self.params.get("normalize").is_none_or(|it| it.as_bool().unwrap());
        let prepared = |i: usize| if normalize { unit(&self.x[i]) } else { self.x[i].clone() };
        let (a, b) = (prepared(i), prepared(j));
        match self.params["distance"].as_str().unwrap() {
            "euclidean" => squared(&a, &b).sqrt(),
            "squared-euclidean" => squared(&a, &b),
            _ => -dot(&a, &b),
        }
    }

    /// A limit in the unit of `farness`.
    fn limit(&self, name: &str) -> f64 {
        let sign = if self.params["distance"] == "cosine" { -1.0 } else { 1.0 };
        sign * number(self.params, name)
    }

    fn cosine(&self, i: usize, j: usize) -> f64 {
        cosine(&self.x[i], &self.x[j])
    }

    fn same(&self, i: usize, j: usize) -> bool {
        self.labels[i] == self.labels[j]
    }

    /// Of each pair, in the order of the list.
    fn over(pairs: &[(usize, usize)], of: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        pairs.iter().map(|&(i, j)| of(i, j)).collect()
    }

    /// How often each image is in the tuples, divided by the largest count.
    pub(crate) fn importance(&self) -> Vec<f64> {
        let Some(tuples) = &self.found.tuples else { return vec![1.0; self.x.len()] };
        let count = |i: usize| tuples.iter().flatten().filter(|&&j| j == i).count() as f64;
        let counts: Vec<f64> = (0..self.x.len()).map(count).collect();
        let largest = counts.iter().fold(0.0, |a: f64, b| a.max(*b));
        counts.iter().map(|count| count / largest).collect()
    }
}

fn of_anchor(pairs: &[(usize, usize)], anchor: usize) -> BTreeSet<usize> {
    pairs.iter().filter(|pair| pair.0 == anchor).map(|pair| pair.1).collect()
}

fn circle(case: &Case) -> f64 {
    let (m, gamma) = (number(case.params, "margin"), number(case.params, "gamma"));
    let fixed = |i: usize, j: usize| cosine(&case.at[i], &case.at[j]);
    let losses = (0..case.x.len()).map(|i| {
        let pull = |&j: &usize| -gamma * (1.0 + m - fixed(i, j)).max(0.0) * (case.cosine(i, j) - 1.0 + m);
        let push = |&j: &usize| gamma * (fixed(i, j) + m).max(0.0) * (case.cosine(i, j) - m);
        let pulls: Vec<f64> = of_anchor(&case.found.positive, i).iter().map(pull).collect();
        let pushes: Vec<f64> = of_anchor(&case.found.negative, i).iter().map(push).collect();
        if pulls.is_empty() || pushes.is_empty() { 0.0 } else { softplus(log_sum(&pulls) + log_sum(&pushes)) }
    });
    let losses: Vec<f64> = losses.collect();
    if case.params["reducer"] == "mean" { mean(&losses) } else { average_non_zero(&losses) }
}

fn lifted_structure(case: &Case) -> f64 {
    let margin = case.limit("negative-margin");
    mean(&Case::over(&case.found.positive, |a, p| {
        let both = case.found.negative.iter().filter(|pair| pair.0 == a || pair.0 == p);
        let push = log_sum(&both.map(|&(i, n)| margin - case.farness(i, n)).collect::<Vec<_>>());
        (push + case.farness(a, p) - case.limit("positive-margin")).max(0.0).powi(2) / 2.0
    }))
}

fn generalized(case: &Case) -> f64 {
    let losses = (0..case.x.len()).map(|i| {
        let pull = |&j: &usize| case.farness(i, j) - case.limit("positive-margin");
        let push = |&j: &usize| case.limit("negative-margin") - case.farness(i, j);
        let pulls: Vec<f64> = of_anchor(&case.found.positive, i).iter().map(pull).collect();
        let pushes: Vec<f64> = of_anchor(&case.found.negative, i).iter().map(push).collect();
        (log_sum(&pulls) + log_sum(&pushes)).max(0.0)
    });
    mean(&losses.collect::<Vec<_>>())
}

fn n_pairs(case: &Case) -> f64 {
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    for &(a, p) in &case.found.positive {
        if pairs.iter().all(|pair| !case.same(pair.0, a)) {
            pairs.push((a, p));
        }
    }
    let loss = |a: usize, p: usize| {
        let all: Vec<f64> = pairs.iter().map(|pair| -case.farness(a, pair.1)).collect();
        log_sum(&all) + case.farness(a, p)
    };
    mean(&Case::over(&pairs, loss))
}

fn angular(case: &Case) -> f64 {
    let square = number(case.params, "degrees").to_radians().tan().powi(2);
    let normalize = case.params["normalize-negatives"].as_bool().unwrap();
    let loss = |a: usize, p: usize| {
        let sum: Vec<f64> = unit(&case.x[a]).iter().zip(unit(&case.x[p])).map(|(a, p)| a + p).collect();
        let exponents = (0..case.x.len()).filter(|&n| !case.same(a, n)).map(|n| {
            let negative = if normalize { unit(&case.x[n]) } else { case.x[n].clone() };
            4.0 * square * dot(&sum, &negative) - 2.0 * (1.0 + square) * case.cosine(a, p)
        });
        exponents.map(f64::exp).sum::<f64>().ln_1p()
    };
    mean(&Case::over(&case.found.positive, loss))
}

fn margin(case: &Case) -> f64 {
    margin_at(case, number(case.params, "beta"))
}

/// `margin` with another boundary than that of the parameters.
pub(crate) fn margin_at(case: &Case, beta: f64) -> f64 {
    let (m, triplets) = (number(case.params, "margin"), &case.found.triplets);
    let boundary = if case.params["distance"] == "cosine" { -beta } else { beta };
    let hinges = triplets.iter().flat_map(|&[a, p, n]| {
        [case.farness(a, p) - boundary + m, boundary - case.farness(a, n) + m].map(|hinge| hinge.max(0.0))
    });
    let hinges: Vec<f64> = hinges.collect();
    let active = hinges.iter().filter(|hinge| **hinge > 0.0).count() as f64;
    let learned = match case.params.get("learn-beta").map(|it| it.as_str().unwrap()) {
        Some("one") => beta,
        Some("per-class") => beta * triplets.len() as f64 / active,
        _ => 0.0,
    };
    average_non_zero(&hinges) + number(case.params, "nu") * learned
}

fn nca(case: &Case) -> f64 {
    let (scale, importance) = (number(case.params, "scale"), case.importance());
    let images = 0..case.x.len();
    let mut losses = Vec::new();
    for i in images.clone() {
        let logits = |keep: &dyn Fn(usize) -> bool| {
            images.clone().filter(|&j| j != i && keep(j)).map(|j| -scale * case.farness(i, j)).collect::<Vec<_>>()
        };
        let of_class = logits(&|j| case.same(i, j));
        if !of_class.is_empty() {
            losses.push((log_sum(&logits(&|_| true)) - log_sum(&of_class)) * importance[i]);
        }
    }
    mean(&losses)
}

fn tuplet_margin(case: &Case) -> f64 {
    let (angle, scale) = (number(case.params, "degrees").to_radians(), number(case.params, "scale"));
    mean(&Case::over(&case.found.positive, |a, p| {
        let positive = (case.cosine(a, p).acos() - angle).cos();
        let negatives = case.found.negative.iter().filter(|pair| pair.0 == a);
        negatives.map(|&(_, n)| (scale * (case.cosine(a, n) - positive)).exp()).sum::<f64>().ln_1p()
    }))
}

fn variance(case: &Case) -> f64 {
    let (positive, negative) = (number(case.params, "positive-epsilon"), number(case.params, "negative-epsilon"));
    let sign = if case.params["distance"] == "cosine" { -1.0 } else { 1.0 };
    // Positive pairs may be farther than their mean by a share of its size, negative pairs nearer.
    let hinges = |pairs: &[(usize, usize)], direction: f64, epsilon: f64| {
        let all = Case::over(pairs, |i, j| case.farness(i, j));
        let limit = mean(&all) * (1.0 + sign * direction * epsilon);
        mean(&all.iter().map(|d| (direction * (d - limit)).max(0.0).powi(2)).collect::<Vec<_>>())
    };
    hinges(&case.found.positive, 1.0, positive) + hinges(&case.found.negative, -1.0, negative)
}

fn ranked_list(case: &Case) -> f64 {
    let [margin, alpha, imbalance] = ["margin", "alpha", "imbalance"].map(|name| number(case.params, name));
    let images = 0..case.x.len();
    let distance = |i: usize, j: usize| squared(&unit(&case.x[i]), &unit(&case.x[j])).sqrt();
    let weighted = |violations: Vec<f64>, temperature: f64| {
        let above: Vec<f64> = violations.into_iter().filter(|v| *v > 0.0).collect();
        let weights: Vec<f64> = above.iter().map(|v| (temperature * v).exp()).collect();
        dot(&weights, &above) / (weights.iter().sum::<f64>() + 1e-5 * case.x.len() as f64)
    };
    let loss = |i: usize| {
        let (same, others): (Vec<usize>, Vec<usize>) = images.clone().partition(|&j| case.same(i, j));
        let pull = same.iter().filter(|&&j| j != i).map(|&j| distance(i, j) - (alpha - margin)).collect();
        let push = others.iter().map(|&j| alpha - distance(i, j)).collect();
        let pull = weighted(pull, number(case.params, "positive-temperature"));
        (1.0 - imbalance) * pull + imbalance * weighted(push, number(case.params, "negative-temperature"))
    };
    mean(&images.clone().map(loss).collect::<Vec<_>>())
}

fn snr(case: &Case) -> f64 {
    let normalize = case.params["normalize"].as_bool().unwrap();
    let rows: Matrix = case.x.iter().map(|row| if normalize { unit(row) } else { row.clone() }).collect();
    let spread = |row: &[f64]| mean(&row.iter().map(|x| (x - mean(row)).powi(2)).collect::<Vec<_>>());
    let ratio = |i: usize, j: usize| {
        let noise: Vec<f64> = rows[i].iter().zip(&rows[j]).map(|(a, b)| a - b).collect();
        spread(&noise) / spread(&rows[i])
    };
    let (positive, negative) = (number(case.params, "positive-margin"), number(case.params, "negative-margin"));
    let pull = Case::over(&case.found.positive, |i, j| (ratio(i, j) - positive).max(0.0));
    let push = Case::over(&case.found.negative, |i, j| (negative - ratio(i, j)).max(0.0));
    let sums: Vec<f64> = case.x.iter().map(|row| row.iter().sum::<f64>().abs()).collect();
    average_non_zero(&pull) + average_non_zero(&push) + number(case.params, "mean-weight") * mean(&sums)
}

fn consistent(case: &Case) -> f64 {
    let limit = |name: &str| number(case.params, name);
    let pull = Case::over(&case.found.positive, |i, j| (limit("positive-margin") - case.cosine(i, j)).max(0.0));
    let push = Case::over(&case.found.negative, |i, j| (case.cosine(i, j) - limit("negative-margin")).max(0.0));
    limit("positive-weight") * average_non_zero(&pull) + limit("negative-weight") * average_non_zero(&push)
}

fn vicreg(case: &Case) -> f64 {
    let [invariance, variance, covariance] =
        ["invariance", "variance", "covariance"].map(|name| number(case.params, name));
    let (size, dimension) = (case.x.len() as f64, case.x[0].len());
    let column = |k: usize| case.x.iter().map(|row| row[k]).collect::<Vec<_>>();
    let centred = |k: usize| column(k).iter().map(|x| x - mean(&column(k))).collect::<Vec<_>>();
    let covary = |k: usize, l: usize| dot(&centred(k), &centred(l)) / (size - 1.0);
    let near = mean(&Case::over(&case.found.positive, |i, j| squared(&case.x[i], &case.x[j]) / dimension as f64));
    let deviation = |k: usize| (covary(k, k) + number(case.params, "epsilon")).sqrt();
    let spread = mean(&(0..dimension).map(|k| (1.0 - deviation(k)).max(0.0)).collect::<Vec<_>>());
    let others = (0..dimension).flat_map(|k| (0..dimension).filter(move |&l| l != k).map(move |l| (k, l)));
    let mixed: f64 = others.map(|(k, l)| covary(k, l).powi(2)).sum();
    invariance * near + variance * spread + covariance * 2.0 * mixed / dimension as f64
}
