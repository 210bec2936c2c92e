//! Slow formulas of the losses with proxies, of their regularizers, and of losses on embeddings alone.

use std::f64::consts::PI;

use serde_json::{Value as Json, json};

use crate::slow::Matrix;

/// The loss of each image, from its cosines or distances to the weight vectors: parameters, embeddings, weight vectors,
/// classes.
pub(super) type Formula = fn(&Json, &Matrix, &Matrix, &[i64]) -> Vec<f64>;

fn number(params: &Json, name: &str, default: f64) -> f64 {
    params.get(name).map_or(default, |value| value.as_f64().unwrap())
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(a, b)| a * b).sum()
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

fn cosine(x: &[f64], y: &[f64]) -> f64 {
    dot(x, y) / (norm(x) * norm(y))
}

fn square_distance(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn unit(x: &[f64]) -> Vec<f64> {
    x.iter().map(|a| a / norm(x)).collect()
}

pub(super) fn mean(list: &[f64]) -> f64 {
    list.iter().sum::<f64>() / list.len() as f64
}

fn cross_entropy(logits: &[f64], label: usize) -> f64 {
    logits.iter().map(|logit| logit.exp()).sum::<f64>().ln() - logits[label]
}

/// Each image with its class.
fn images<'a>(x: &'a Matrix, labels: &'a [i64]) -> impl Iterator<Item = (&'a Vec<f64>, usize)> {
    x.iter().zip(labels.iter().map(|label| *label as usize))
}

pub(super) fn proxy_nca(params: &Json, x: &Matrix, w: &Matrix, labels: &[i64]) -> Vec<f64> {
    let excludes = params.get("exclude-positive").is_some();
    let loss = |x: &[f64], label: usize| {
        let likeness = |w: &Vec<f64>| (-number(params, "scale", 3.0) * square_distance(&unit(x), &unit(w))).exp();
        let others = w.iter().enumerate().filter(|(class, _)| !excludes || *class != label);
        -(likeness(&w[label]) / others.map(|(_, w)| likeness(w)).sum::<f64>()).ln()
    };
    images(x, labels).map(|(x, label)| loss(x, label)).collect()
}

pub(super) fn proxy_nca_plus_plus(params: &Json, x: &Matrix, w: &Matrix, labels: &[i64]) -> Vec<f64> {
    let temperature = number(params, "temperature", 1.0 / 9.0);
    let logits = |x: &[f64]| w.iter().map(|w| -square_distance(&unit(x), &unit(w)) / temperature).collect::<Vec<_>>();
    images(x, labels).map(|(x, label)| cross_entropy(&logits(x), label)).collect()
}

pub(super) fn soft_triple(params: &Json, x: &Matrix, w: &Matrix, labels: &[i64]) -> Vec<f64> {
    let [lambda, gamma, margin] = ["lambda", "gamma", "margin"].map(|name| number(params, name, 0.0));
    let loss = |x: &[f64], label: usize| {
        let similarity = |centers: &[Vec<f64>]| {
            let weights: Vec<f64> = centers.iter().map(|w| (cosine(x, w) / gamma).exp()).collect();
            let sum = centers.iter().zip(&weights).map(|(w, weight)| weight * cosine(x, w)).sum::<f64>();
            sum / weights.iter().sum::<f64>()
        };
        let mut logits: Vec<f64> = w.chunks(3).map(|centers| lambda * similarity(centers)).collect();
        logits[label] -= lambda * margin;
        cross_entropy(&logits, label)
    };
    images(x, labels).map(|(x, label)| loss(x, label)).collect()
}

/// With several centers for each class the nearest one counts.
pub(super) fn arc_face(params: &Json, x: &Matrix, w: &Matrix, labels: &[i64]) -> Vec<f64> {
    let margin = number(params, "margin-degrees", 28.6) * PI / 180.0;
    let centers = w.len() / (labels.iter().max().unwrap() + 1) as usize;
    let loss = |x: &[f64], label: usize| {
        let nearest = |centers: &[Vec<f64>]| centers.iter().map(|w| cosine(x, w)).fold(f64::NEG_INFINITY, f64::max);
        let mut cosines: Vec<f64> = w.chunks(centers).map(nearest).collect();
        let angle = cosines[label].acos();
        cosines[label] =
            if angle + margin <= PI { (angle + margin).cos() } else { angle.cos() - margin * margin.sin() };
        let scale = number(params, "scale", 64.0);
        cross_entropy(&cosines.iter().map(|cosine| scale * cosine).collect::<Vec<_>>(), label)
    };
    images(x, labels).map(|(x, label)| loss(x, label)).collect()
}

pub(super) fn cos_face(params: &Json, x: &Matrix, w: &Matrix, labels: &[i64]) -> Vec<f64> {
    let [margin, scale] = ["margin", "scale"].map(|name| number(params, name, 0.0));
    let loss = |x: &[f64], label: usize| {
        let mut logits: Vec<f64> = w.iter().map(|w| scale * cosine(x, w)).collect();
        logits[label] -= scale * margin;
        cross_entropy(&logits, label)
    };
    images(x, labels).map(|(x, label)| loss(x, label)).collect()
}

pub(super) fn sphere_face(params: &Json, x: &Matrix, w: &Matrix, labels: &[i64]) -> Vec<f64> {
    let (margin, scale) = (number(params, "margin", 4.0), number(params, "scale", 1.0));
    let loss = |x: &[f64], label: usize| {
        let mut cosines: Vec<f64> = w.iter().map(|w| cosine(x, w)).collect();
        let angle = cosines[label].acos();
        let turns = (margin * angle / PI).floor();
        cosines[label] = (-1.0_f64).powf(turns) * (margin * angle).cos() - 2.0 * turns;
        cross_entropy(&cosines.iter().map(|cosine| scale * norm(x) * cosine).collect::<Vec<_>>(), label)
    };
    images(x, labels).map(|(x, label)| loss(x, label)).collect()
}

pub(super) fn normalized_softmax(params: &Json, x: &Matrix, w: &Matrix, labels: &[i64]) -> Vec<f64> {
    let temperature = number(params, "temperature", 0.05);
    let logits = |x: &[f64]| w.iter().map(|w| cosine(x, w) / temperature).collect::<Vec<_>>();
    images(x, labels).map(|(x, label)| cross_entropy(&logits(x), label)).collect()
}

pub(super) fn center(params: &Json, x: &Matrix, w: &Matrix, labels: &[i64]) -> Vec<f64> {
    let normalizes = params.get("normalize").is_some();
    let loss = |x: &[f64], label: usize| {
        let x = if normalizes { unit(x) } else { x.to_vec() };
        square_distance(&x, &w[label]) / 2.0
    };
    images(x, labels).map(|(x, label)| loss(x, label)).collect()
}

/// The penalty of weight vectors.
pub(super) fn penalty(params: &Json, w: &Matrix, centers: usize) -> f64 {
    let pairs = |rows: &[Vec<f64>], f: &dyn Fn(&[f64], &[f64]) -> f64| {
        let mut found = Vec::new();
        for (i, a) in rows.iter().enumerate() {
            found.extend(rows[i + 1..].iter().map(|b| f(a, b)));
        }
        found
    };
    let value = match params.get("regularizer").map_or("none", |name| name.as_str().unwrap()) {
        "lp" => {
            let p = number(params, "regularizer-p", 2.0);
            let of = |w: &Vec<f64>| w.iter().map(|a| a.abs().powf(p)).sum::<f64>().powf(1.0 / p);
            mean(&w.iter().map(of).collect::<Vec<_>>())
        }
        "center-invariant" => {
            let squares: Vec<f64> = w.iter().map(|w| dot(w, w)).collect();
            mean(&squares.iter().map(|square| (square - mean(&squares)).powi(2) / 4.0).collect::<Vec<_>>())
        }
        "regular-face" => {
            let nearest = |i: usize| {
                let others = (0..w.len()).filter(|&j| j != i).map(|j| cosine(&w[i], &w[j]));
                others.fold(f64::NEG_INFINITY, f64::max)
            };
            mean(&(0..w.len()).map(nearest).collect::<Vec<_>>())
        }
        "sparse-centers" => {
            let distance = |a: &[f64], b: &[f64]| square_distance(&unit(a), &unit(b)).sqrt();
            mean(&w.chunks(centers).flat_map(|centers| pairs(centers, &distance)).collect::<Vec<_>>()) / 2.0
        }
        _ => 0.0,
    };
    number(params, "regularizer-weight", 1.0) * value
}

/// A loss on embeddings alone.
pub(super) fn of_embeddings(strategy: &str, params: &Json, x: &Matrix) -> f64 {
    match strategy {
        "lp-norm" => {
            let p = number(params, "p", 2.0);
            let of = |x: &Vec<f64>| x.iter().map(|a| a.abs().powf(p)).sum::<f64>().powf(1.0 / p);
            mean(&x.iter().map(of).collect::<Vec<_>>())
        }
        "zero-mean" => mean(&x.iter().map(|x| x.iter().sum::<f64>().abs()).collect::<Vec<_>>()),
        _ => penalty(&json!({ "regularizer": "center-invariant" }), x, 1),
    }
}
