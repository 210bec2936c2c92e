//! Transfers, their losses and balances once more, from the formulas, in plain loops over numbers.

use serde_json::Value as Json;

pub(crate) type Matrix = Vec<Vec<f64>>;

/// What a strategy is told.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) student: Matrix,
    pub(crate) teacher: Matrix,
    pub(crate) labels: Vec<i64>,
}

/// What a transfer gives.
pub(crate) struct Pairs {
    pub(crate) values: Matrix,
    pub(crate) divisor: f64,
    /// Pull and push of a relaxed loss; rows of teacher and student of a divergence.
    pub(crate) parts: Option<[Matrix; 2]>,
}

impl Pairs {
    pub(crate) fn total(&self) -> f64 {
        self.values.iter().flatten().sum::<f64>() / self.divisor
    }
}

pub(crate) type Transfer = fn(&Case, &Json) -> Pairs;

/// The transfers, with the parameters that they are tried with.
pub(crate) const TRANSFERS: [(&str, &str, Transfer); 14] = [
    ("relaxed-contrastive", r#"{ "sigma": 1, "delta": 1 }"#, relaxed_contrastive),
    ("relaxed-contrastive", r#"{ "sigma": 0.3, "delta": 1.4 }"#, relaxed_contrastive),
    ("relaxed-multi-similarity", r#"{ "sigma": 1, "delta": 1, "alpha": 1, "beta": 2 }"#, relaxed_multi_similarity),
    ("relaxed-multi-similarity", r#"{ "sigma": 2, "delta": 0.8, "alpha": 3, "beta": 5 }"#, relaxed_multi_similarity),
    ("contextual-contrastive", r#"{ "sigma": 3, "delta": 1, "neighbours": 5 }"#, contextual_contrastive),
    ("contextual-contrastive", r#"{ "sigma": 1, "delta": 1.2, "neighbours": 2 }"#, contextual_contrastive),
    ("contextual-contrastive", r#"{ "sigma": 1, "delta": 1, "neighbours": 1 }"#, contextual_contrastive),
    ("rkd-distance", "{}", rkd_distance),
    ("relative-teacher", "{}", relative_teacher),
    ("absolute-teacher", "{}", absolute_teacher),
    ("similarity-preserving", "{}", similarity_preserving),
    ("pkt", "{}", pkt),
    ("row-softmax", r#"{ "temperature": 1 }"#, row_softmax),
    ("row-softmax", r#"{ "temperature": 0.2 }"#, row_softmax),
];

fn number(params: &Json, name: &str) -> f64 {
    params[name].as_f64().unwrap()
}

fn matrix(size: usize, entry: impl Fn(usize, usize) -> f64) -> Matrix {
    (0..size).map(|i| (0..size).map(|j| entry(i, j)).collect()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

fn scaled(row: &[f64], factor: f64) -> Vec<f64> {
    row.iter().map(|x| x * factor).collect()
}

fn unit(rows: &Matrix) -> Matrix {
    rows.iter().map(|row| scaled(row, 1.0 / dot(row, row).sqrt())).collect()
}

fn distances(rows: &Matrix) -> Matrix {
    matrix(rows.len(), |i, j| distance(&rows[i], &rows[j]))
}

fn cosines(rows: &Matrix) -> Matrix {
    let rows = unit(rows);
    matrix(rows.len(), |i, j| dot(&rows[i], &rows[j]))
}

/// Rows that sum to 1.
fn shares(rows: Matrix) -> Matrix {
    rows.iter().map(|row| scaled(row, 1.0 / row.iter().sum::<f64>())).collect()
}

pub(crate) fn similarities(teacher: &Matrix, sigma: f64) -> Matrix {
    let distances = distances(&unit(teacher));
    matrix(teacher.len(), |i, j| (-distances[i][j].powi(2) / sigma).exp())
}

/// Distances divided by the mean of their row.
fn relative(student: &Matrix) -> Matrix {
    let (size, distances) = (student.len(), distances(student));
    matrix(size, |i, j| distances[i][j] / (distances[i].iter().sum::<f64>() / size as f64))
}

fn relaxed(pull: Matrix, push: Matrix, divisor: f64) -> Pairs {
    let values = matrix(pull.len(), |i, j| pull[i][j] + push[i][j]);
    Pairs { values, divisor, parts: Some([pull, push]) }
}

fn contrastive(case: &Case, w: &Matrix, delta: f64, divisor: f64) -> Pairs {
    let (size, r) = (w.len(), relative(&case.student));
    let off = |i: usize, j: usize, x: f64| if i == j { 0.0 } else { x };
    let pull = matrix(size, |i, j| off(i, j, w[i][j] * r[i][j].powi(2)));
    let push = matrix(size, |i, j| off(i, j, (1.0 - w[i][j]) * (delta - r[i][j]).max(0.0).powi(2)));
    relaxed(pull, push, divisor)
}

fn relaxed_contrastive(case: &Case, params: &Json) -> Pairs {
    let w = similarities(&case.teacher, number(params, "sigma"));
    contrastive(case, &w, number(params, "delta"), w.len() as f64)
}

fn relaxed_multi_similarity(case: &Case, params: &Json) -> Pairs {
    relaxed_multi_similarity_near(case, params, &case.student)
}

/// `relaxed-multi-similarity` with shares and derivatives taken at the student `at`: what stands still in its gradient.
pub(crate) fn relaxed_multi_similarity_near(case: &Case, params: &Json, at: &Matrix) -> Pairs {
    let [sigma, delta, alpha, beta] = ["sigma", "delta", "alpha", "beta"].map(|name| number(params, name));
    let (w, r, moved) = (similarities(&case.teacher, sigma), relative(at), relative(&case.student));
    let size = w.len();
    // The term of a row, shared out by its summands, and how it moves with each relative distance.
    let spread = |scale: f64, sign: f64, summand: &dyn Fn(usize, usize) -> f64| {
        let sum = |i: usize| (0..size).filter(|&j| j != i).map(|j| summand(i, j)).sum::<f64>();
        matrix(size, |i, j| {
            let share = (1.0 + sum(i)).ln() / scale * summand(i, j) / sum(i);
            let derivative = sign * summand(i, j) / (1.0 + sum(i));
            if i == j { 0.0 } else { share + derivative * (moved[i][j] - r[i][j]) }
        })
    };
    let pull = spread(alpha, 1.0, &|i, j| w[i][j] * (alpha * r[i][j]).exp());
    let push = spread(beta, -1.0, &|i, j| (1.0 - w[i][j]) * (beta * (delta - r[i][j])).exp());
    relaxed(pull, push, size as f64)
}

fn contextual_contrastive(case: &Case, params: &Json) -> Pairs {
    let neighbours = number(params, "neighbours") as usize;
    let w = similarities(&case.teacher, number(params, "sigma"));
    let size = w.len();
    // Nearest first, itself at the head.
    let ranked: Vec<Vec<usize>> = (0..size)
        .map(|i| {
            let mut others: Vec<usize> = (0..size).filter(|&j| j != i).collect();
            others.sort_by(|&a, &b| w[i][b].total_cmp(&w[i][a]));
            [vec![i], others].concat()
        })
        .collect();
    let near = |i: usize, j: usize| ranked[i][..neighbours].contains(&j);
    let reciprocal: Vec<Vec<usize>> =
        (0..size).map(|i| (0..size).filter(|&j| near(i, j) && near(j, i)).collect()).collect();
    let common = matrix(size, |i, j| {
        let shared = reciprocal[i].iter().filter(|k| reciprocal[j].contains(k)).count();
        if reciprocal[i].contains(&j) { shared as f64 / reciprocal[i].len() as f64 } else { 0.0 }
    });
    let half = (neighbours / 2).max(1);
    let expanded = matrix(size, |i, j| ranked[i][..half].iter().map(|&h| common[h][j]).sum::<f64>() / half as f64);
    let w = matrix(size, |i, j| (w[i][j] + (expanded[i][j] + expanded[j][i]) / 2.0) / 2.0);
    contrastive(case, &w, number(params, "delta"), (size * (size - 1)) as f64)
}

fn smooth_l1(x: f64) -> f64 {
    if x.abs() < 1.0 { x * x / 2.0 } else { x.abs() - 0.5 }
}

fn without_parts(values: Matrix) -> Pairs {
    let divisor = (values.len() * values.len()) as f64;
    Pairs { values, divisor, parts: None }
}

fn rkd_distance(case: &Case, _: &Json) -> Pairs {
    let psi = |rows: &Matrix| {
        let distances = distances(rows);
        let positive: Vec<f64> = distances.iter().flatten().copied().filter(|d| *d > 0.0).collect();
        let mean = positive.iter().sum::<f64>() / positive.len() as f64;
        matrix(rows.len(), |i, j| distances[i][j] / mean)
    };
    let (student, teacher) = (psi(&case.student), psi(&unit(&case.teacher)));
    without_parts(matrix(student.len(), |i, j| smooth_l1(student[i][j] - teacher[i][j])))
}

fn relative_teacher(case: &Case, _: &Json) -> Pairs {
    let (student, teacher) = (distances(&unit(&case.student)), distances(&unit(&case.teacher)));
    without_parts(matrix(student.len(), |i, j| (student[i][j] - teacher[i][j]).powi(2)))
}

fn absolute_teacher(case: &Case, _: &Json) -> Pairs {
    let (student, teacher) = (unit(&case.student), unit(&case.teacher));
    let values = matrix(student.len(), |i, j| if i == j { distance(&student[i], &teacher[i]) } else { 0.0 });
    Pairs { values, divisor: student.len() as f64, parts: None }
}

fn similarity_preserving(case: &Case, _: &Json) -> Pairs {
    let similar = |rows: &Matrix| unit(&matrix(rows.len(), |i, j| dot(&rows[i], &rows[j])));
    let (student, teacher) = (similar(&case.student), similar(&case.teacher));
    without_parts(matrix(student.len(), |i, j| (student[i][j] - teacher[i][j]).powi(2)))
}

fn pkt(case: &Case, _: &Json) -> Pairs {
    let rows = |embeddings: &Matrix| {
        let cosines = cosines(embeddings);
        shares(matrix(embeddings.len(), |i, j| (cosines[i][j] + 1.0) / 2.0))
    };
    let (t, s) = (rows(&case.teacher), rows(&case.student));
    let values = matrix(t.len(), |i, j| t[i][j] * ((t[i][j] + 1e-7) / (s[i][j] + 1e-7)).ln());
    Pairs { values, divisor: (t.len() * t.len()) as f64, parts: Some([t, s]) }
}

fn row_softmax(case: &Case, params: &Json) -> Pairs {
    let temperature = number(params, "temperature");
    let rows = |embeddings: &Matrix| {
        let cosines = cosines(embeddings);
        shares(matrix(embeddings.len(), |i, j| (cosines[i][j] / temperature).exp()))
    };
    let (t, s) = (rows(&case.teacher), rows(&case.student));
    let values = matrix(t.len(), |i, j| t[i][j] * (t[i][j] / s[i][j]).ln());
    Pairs { values, divisor: t.len() as f64 / temperature.powi(2), parts: Some([t, s]) }
}

/// `rkd-angle`.
pub(crate) fn rkd_angle(case: &Case, params: &Json) -> f64 {
    let cosines = |rows: &Matrix, i: usize, j: usize, k: usize| {
        let arm = |j: usize| rows[j].iter().zip(&rows[i]).map(|(a, b)| a - b).collect::<Vec<_>>();
        let (a, b) = (arm(j), arm(k));
        let lengths = (dot(&a, &a) * dot(&b, &b)).sqrt();
        if lengths == 0.0 { 0.0 } else { dot(&a, &b) / lengths }
    };
    let (size, teacher) = (case.student.len(), unit(&case.teacher));
    let mut total = 0.0;
    for (i, a) in case.labels.iter().enumerate() {
        for (j, b) in case.labels.iter().enumerate() {
            for (k, c) in case.labels.iter().enumerate() {
                let weight = match (a == b, a == c, b == c) {
                    (true, true, true) => "all-same",
                    (false, false, false) => "all-different",
                    _ => "two-same",
                };
                let difference = cosines(&case.student, i, j, k) - cosines(&teacher, i, j, k);
                total += number(params, weight) * smooth_l1(difference);
            }
        }
    }
    total / (size as f64).powi(3)
}

/// `dark-rank`.
pub(crate) fn dark_rank(case: &Case, params: &Json) -> f64 {
    let [alpha, beta, length] = ["alpha", "beta", "length"].map(|name| number(params, name));
    let (student, teacher) = (distances(&unit(&case.student)), distances(&unit(&case.teacher)));
    let size = student.len();
    let of_an_image = |i: usize| {
        let mut ranking: Vec<usize> = (0..size).filter(|&j| j != i).collect();
        ranking.sort_by(|&a, &b| teacher[i][a].total_cmp(&teacher[i][b]));
        let scores: Vec<f64> = ranking[..length as usize].iter().map(|&j| -alpha * student[i][j].powf(beta)).collect();
        let certain = |rank: usize| scores[rank] - scores[rank..].iter().map(|s| s.exp()).sum::<f64>().ln();
        (0..scores.len()).map(certain).sum::<f64>()
    };
    -(0..size).map(of_an_image).sum::<f64>() / size as f64
}

/// `fit-net` with the map `w`, D' x D.
pub(crate) fn fit_net(case: &Case, w: &Matrix) -> f64 {
    let squares =
        case.student.iter().zip(&case.teacher).flat_map(|(student, teacher)| {
            w.iter().zip(teacher).map(|(row, target)| (dot(row, student) - target).powi(2))
        });
    squares.sum::<f64>() / case.teacher.concat().len() as f64
}

/// `attention` of feature maps of `places` places and any number of channels, flat.
pub(crate) fn attention(student: &Matrix, teacher: &Matrix, places: usize) -> f64 {
    let map = |image: &Vec<f64>| {
        let channels = image.len() / places;
        let mean =
            |place: usize| (0..channels).map(|c| image[c * places + place].powi(2)).sum::<f64>() / channels as f64;
        (0..places).map(mean).collect::<Vec<_>>()
    };
    let maps = |images: &Matrix| unit(&images.iter().map(map).collect());
    let (student, teacher) = (maps(student).concat(), maps(teacher).concat());
    distance(&student, &teacher).powi(2) / student.len() as f64
}

/// How much each pair is intra: by the labels, or with `sigma` by the teacher.
pub(crate) fn intra(case: &Case, sigma: Option<f64>) -> Matrix {
    let soft = sigma.map(|sigma| similarities(&case.teacher, sigma));
    matrix(case.labels.len(), |i, j| match &soft {
        _ if i == j => 0.0,
        Some(soft) => soft[i][j],
        None => f64::from(u8::from(case.labels[i] == case.labels[j])),
    })
}

/// The sum of `f` over all pairs.
fn over_pairs(size: usize, f: impl Fn(usize, usize) -> f64) -> f64 {
    matrix(size, f).concat().iter().sum()
}

/// The balance `sum`.
pub(crate) fn sum(pairs: &Pairs, m: &Matrix, alpha: f64) -> f64 {
    over_pairs(m.len(), |i, j| {
        let (intra, rest) = (m[i][j], 1.0 - m[i][j]);
        (alpha * intra + rest) * pairs.values[i][j]
    }) / pairs.divisor
}

/// The balance `mean`.
pub(crate) fn mean(pairs: &Pairs, m: &Matrix, lambda: f64) -> f64 {
    let size = m.len();
    let of = |weight: &dyn Fn(usize, usize) -> f64| {
        let weights = over_pairs(size, weight);
        if weights == 0.0 { 0.0 } else { over_pairs(size, |i, j| weight(i, j) * pairs.values[i][j]) / weights }
    };
    let inter = |i: usize, j: usize| if i == j { 0.0 } else { 1.0 - m[i][j] };
    let images = (0..size).map(|i| pairs.values[i][i]).sum::<f64>() / pairs.divisor;
    lambda * of(&|i, j| m[i][j]) + (1.0 - lambda) * of(&inter) + images
}

/// The balance `pull-push`.
pub(crate) fn pull_push(pairs: &Pairs, [pull, push]: [f64; 2]) -> f64 {
    let [pulls, pushes] = pairs.parts.as_ref().unwrap();
    over_pairs(pulls.len(), |i, j| pull * pulls[i][j] + push * pushes[i][j]) / pairs.divisor
}

/// The terms of the chain rule for the rows of a divergence, each summed over rows: the divergence of the groups
/// itself, I and E, then that inside each group times its share.
pub(crate) fn chain(pairs: &Pairs, m: &Matrix) -> [f64; 4] {
    let [t, s] = pairs.parts.as_ref().unwrap();
    let size = t.len();
    let membership = |group: usize, i: usize, j: usize| match (group, i == j) {
        (0, itself) => f64::from(u8::from(itself)),
        (_, true) => 0.0,
        (1, false) => m[i][j],
        (_, false) => 1.0 - m[i][j],
    };
    let mut terms = [0.0; 4];
    for i in 0..size {
        for group in 0..3 {
            let share = |rows: &Matrix| (0..size).map(|j| membership(group, i, j) * rows[i][j]).sum::<f64>();
            let (p, q) = (share(t), share(s));
            if p == 0.0 {
                continue;
            }
            terms[0] += p * (p / q).ln();
            for j in (0..size).filter(|&j| membership(group, i, j) > 0.0) {
                let inside = [t, s].map(|rows| membership(group, i, j) * rows[i][j]);
                terms[1 + group] += p * (inside[0] / p) * ((inside[0] / p) / (inside[1] / q)).ln();
            }
        }
    }
    terms
}

/// The gradient of `f` with respect to `rows`, by central differences.
pub(crate) fn gradient(rows: &Matrix, f: impl Fn(&Matrix) -> f64) -> Vec<f64> {
    let step = 1e-5;
    let mut gradient = Vec::new();
    for i in 0..rows.len() {
        for j in 0..rows[i].len() {
            let at = |shift: f64| {
                let mut rows = rows.clone();
                rows[i][j] += shift;
                f(&rows)
            };
            gradient.push((at(step) - at(-step)) / (2.0 * step));
        }
    }
    gradient
}
