//! The fusions of `plugins/fusions` against plain formulas, and the loss that trains a fused embedding,
//! `cross-entropy`.

mod cross_entropy;

use std::collections::BTreeMap;
use std::sync::Arc;

use lossmith_plugin::{Input, ParameterError, Params, Progress, Role, Slot, StateParameter, Value};
use serde_json::{Value as Json, json};
use tch::{Kind, Tensor};

use crate::fixture::{batch, epoch, numbers, plugin, slot};
use crate::slow::{self, Matrix};
use crate::transfers::{assert_close, assert_finite, names, of, refusal, tensor};

const PACKAGE: &str = "lossmith-fusions";

/// Each fusion with parameters that four slices of eight numbers can have.
fn all() -> Vec<(&'static str, Json)> {
    vec![
        ("concatenation", json!({})),
        ("weighted", json!({ "weights": [0.5, 2.0, 0.0, 1.25] })),
        ("learned-weights", json!({})),
        ("dimension-weighted", json!({ "dimensions": [1, 2, 5] })),
        ("attention", json!({ "temperature": 0.5 })),
        ("best-slice", json!({})),
    ]
}

/// Six images with as many numbers, between -1 and 1.
fn rows(dimension: i64) -> Matrix {
    let numbers = numbers(&batch(6, dimension, Kind::Double).embeddings.unwrap());
    numbers.chunks(dimension as usize).map(<[f64]>::to_vec).collect()
}

/// A batch as a fusion is told it: without labels.
fn input(rows: &Matrix, slices: usize, kind: Kind) -> Input {
    let embeddings = Some(tensor(rows, kind).set_requires_grad(true));
    Input { embeddings, class_count: 2, slice_count: slices as i64, ..Input::default() }
}

fn fusion(name: &str, params: Json, kind: Kind) -> Slot {
    slot(PACKAGE, Role::Fusion, name, params, of(kind))
}

/// What a fusion makes of rows in a slot of its own.
fn fused(name: &str, params: Json, rows: &Matrix, slices: usize) -> Vec<f64> {
    numbers(&fusion(name, params, Kind::Double).fuse(input(rows, slices, Kind::Double), &epoch(0)).unwrap())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn unit(x: &[f64]) -> Vec<f64> {
    x.iter().map(|y| y / dot(x, x).sqrt().max(1e-12)).collect()
}

/// The normalised slices of an image.
fn slices(row: &[f64], count: usize) -> Matrix {
    row.chunks(row.len() / count).map(unit).collect()
}

/// The slices of each image behind each other, slice k scaled by the root of the image's weight k.
fn joined(rows: &Matrix, count: usize, weights: impl Fn(&Matrix) -> Vec<f64>) -> Matrix {
    let scaled = |slices: &Matrix| {
        let weighed: Vec<_> = slices.iter().zip(weights(slices)).collect();
        weighed.into_iter().flat_map(|(slice, weight)| slice.iter().map(move |x| x * weight.sqrt())).collect()
    };
    rows.iter().map(|row| scaled(&slices(row, count))).collect()
}

/// K times the softmax.
fn shares(scores: &[f64]) -> Vec<f64> {
    let sum: f64 = scores.iter().map(|x| x.exp()).sum();
    scores.iter().map(|x| scores.len() as f64 * x.exp() / sum).collect()
}

/// Asserts that the squared distances of fused images are the weighted sums of those of their slices.
fn assert_distances(fused: &[f64], rows: &Matrix, weights: &[f64]) {
    let squared = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let fused: Vec<&[f64]> = fused.chunks(fused.len() / rows.len()).collect();
    for (i, j) in (0..rows.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
        let [a, b] = [i, j].map(|image| slices(&rows[image], weights.len()));
        let expected: f64 = (0..weights.len()).map(|k| weights[k] * squared(&a[k], &b[k])).sum();
        assert!((squared(fused[i], fused[j]) - expected).abs() < 1e-12, "{i} {j}");
    }
}

#[test]
fn every_fusion_is_tested_here() {
    assert_eq!(names(PACKAGE, Role::Fusion), all().into_iter().map(|(name, _)| name).collect::<Vec<_>>());
}

#[test]
fn a_concatenation_counts_each_slice_the_same() {
    let rows = rows(8);
    for count in [1, 2, 4] {
        let found = fused("concatenation", json!({}), &rows, count);
        assert_close(&found, &joined(&rows, count, |_| vec![1.0; count]).concat(), 1e-12, "concatenation");
        assert_distances(&found, &rows, &vec![1.0; count]);
    }
}

#[test]
fn given_weights_weigh_squared_distances() {
    let rows = rows(8);
    for weights in [vec![2.5], vec![1.0, 0.0], vec![0.5, 2.0, 0.0, 1.25]] {
        let found = fused("weighted", json!({ "weights": weights }), &rows, weights.len());
        assert_close(&found, &joined(&rows, weights.len(), |_| weights.clone()).concat(), 1e-12, "weighted");
        assert_distances(&found, &rows, &weights);
    }
}

#[test]
fn parts_are_scaled_by_their_share_of_the_dimensions() {
    let rows = rows(8);
    for (count, given, sizes) in [
        (2, json!([1, 2, 5]), vec![1, 2, 5]),
        (4, json!([8]), vec![8]),
        (1, json!([3, 5]), vec![3, 5]),
        (4, json!([]), vec![2; 4]),
        (1, json!([]), vec![8]),
    ] {
        let found = fused("dimension-weighted", json!({ "dimensions": given }), &rows, count);
        let mut expected = Vec::new();
        for row in &rows {
            let mut rest: &[f64] = row;
            for &size in &sizes {
                let (part, behind) = rest.split_at(size);
                expected.extend(unit(part).iter().map(|x| x * size as f64 / 8.0));
                rest = behind;
            }
        }
        assert_close(&found, &expected, 1e-12, &format!("{given} of {count}"));
    }
    let plain = fused("concatenation", json!({}), &rows, 4);
    let quarter: Vec<f64> = plain.iter().map(|x| x / 4.0).collect();
    assert_close(&fused("dimension-weighted", json!({}), &rows, 4), &quarter, 1e-12, "equal slices");
}

/// Asserts that a fusion with a trainable parameter is the concatenation at first, and later the formula with its
/// gradients.
fn assert_learns(
    name: &str,
    params: &Json,
    parameter: &str,
    shape: &[i64],
    weights: impl Fn(&[f64], &Matrix) -> Vec<f64>,
) {
    let (rows, count) = (rows(8), shape[0] as usize);
    let mut slot = fusion(name, params.clone(), Kind::Double);
    let at_first = slot.fuse(input(&rows, count, Kind::Double), &epoch(0)).unwrap();
    let plain = fused("concatenation", json!({}), &rows, count);
    assert_close(&numbers(&at_first), &plain, 1e-14, "the concatenation");
    let known: Vec<_> = slot.state().parameters.keys().cloned().collect();
    assert_eq!(known, [parameter]);
    let kept = &slot.state().parameters[parameter];
    assert_eq!((kept.tensor.size(), kept.learning_rate_multiplier), (shape.to_vec(), 10.0), "{name}");

    let length = shape.iter().product::<i64>();
    let learned: Vec<f64> = (0..length).map(|i| ((i * 7 + 3) % 11) as f64 / 5.0 - 1.0).collect();
    let tensor = Tensor::from_slice(&learned).reshape(shape).set_requires_grad(true);
    let kept = StateParameter { tensor: tensor.shallow_clone(), learning_rate_multiplier: 10.0 };
    slot.state_mut().parameters.insert(parameter.into(), kept);
    let input = input(&rows, count, Kind::Double);
    let leaf = input.embeddings.as_ref().unwrap().shallow_clone();
    let found = slot.fuse(input, &epoch(0)).unwrap();
    let expected = |rows: &Matrix, learned: &[f64]| joined(rows, count, |slices| weights(learned, slices)).concat();
    assert_close(&numbers(&found), &expected(&rows, &learned), 1e-12, name);

    // A sum with a coefficient of its own for each number.
    let coefficients: Vec<f64> = (0..48).map(|i| f64::from((i * 29 + 5) % 48) / 24.0 - 1.0).collect();
    (found.reshape([-1]) * Tensor::from_slice(&coefficients)).sum(Kind::Double).backward();
    let of_rows = slow::gradient(&rows, |rows| dot(&expected(rows, &learned), &coefficients));
    assert_close(&numbers(&leaf.grad()), &of_rows, 1e-6, &format!("the gradient of {name}"));
    let of_learned =
        slow::gradient(&vec![learned.clone()], |learned| dot(&expected(&rows, &learned[0]), &coefficients));
    if count > 1 {
        assert_close(&numbers(&tensor.grad()), &of_learned, 1e-6, &format!("the gradient of {parameter}"));
    } else {
        assert!(numbers(&tensor.grad()).iter().all(|x| x.abs() < 1e-12), "one slice has the weight 1");
    }
}

#[test]
fn learned_weights_begin_as_a_concatenation_and_learn() {
    for count in [1, 2, 4] {
        assert_learns("learned-weights", &json!({}), "logits", &[count], |logits, _| shares(logits));
    }
}

#[test]
fn attention_begins_as_a_concatenation_and_learns() {
    for (count, temperature) in [(1, 1.0), (2, 1.0), (4, 0.3)] {
        let width = 8 / count;
        let params = json!({ "temperature": temperature });
        assert_learns("attention", &params, "queries", &[count, width], |queries, slices| {
            let score = |(slice, query): (&Vec<f64>, &[f64])| dot(slice, query) / temperature;
            shares(&slices.iter().zip(queries.chunks(width as usize)).map(score).collect::<Vec<_>>())
        });
    }
}

#[test]
fn a_multiplier_of_the_learning_rate_is_kept() {
    for (name, parameter) in [("learned-weights", "logits"), ("attention", "queries")] {
        let mut slot = fusion(name, json!({ "learning-rate-multiplier": 2.5 }), Kind::Float);
        drop(slot.fuse(input(&rows(8), 2, Kind::Float), &epoch(0)).unwrap());
        assert_eq!(slot.state().parameters[parameter].learning_rate_multiplier, 2.5);
    }
}

/// The progress of a run that has measured these values of a metric, one for each slice.
fn measured(metric: &str, values: &[f64]) -> Progress {
    let named = values.iter().enumerate().map(|(k, value)| (format!("validation/slice.{k}.{metric}"), *value));
    Progress { metrics: Arc::new(named.collect()), ..epoch(1) }
}

#[test]
fn the_best_slice_is_chosen_where_it_was_measured_and_kept() {
    let rows = rows(8);
    let is = |slot: &mut Slot, progress: &Progress, expected: usize| {
        let found = slot.fuse(input(&rows, 4, Kind::Double), progress).unwrap();
        assert_eq!(found.size(), [6, 2]);
        let slice: Vec<f64> = rows.iter().flat_map(|row| slices(row, 4)[expected].clone()).collect();
        assert_close(&numbers(&found), &slice, 1e-12, &format!("slice {expected}"));
    };
    let mut slot = fusion("best-slice", json!({}), Kind::Double);
    is(&mut slot, &epoch(0), 0);
    assert!(slot.state().buffers.is_empty());
    is(&mut slot, &measured("map-at-r", &[0.25, 0.5, 0.875, 0.75]), 2);
    assert_eq!(numbers(&slot.state().buffers["slice"]), [2.0]);
    is(&mut slot, &epoch(1), 2);
    // Other metrics, or not those of all slices, choose nothing.
    is(&mut slot, &measured("r-precision", &[0.9, 0.1, 0.1, 0.1]), 2);
    is(&mut slot, &measured("map-at-r", &[0.9, 0.1, 0.1]), 2);
    // The first one of equals.
    is(&mut slot, &measured("map-at-r", &[0.5, 0.75, 0.75, 0.75]), 1);
    is(&mut slot, &measured("map-at-r", &[0.5; 4]), 0);
    is(&mut slot, &measured("map-at-r", &[0.1, 0.1, 0.1, 0.2]), 3);
    let mut other = fusion("best-slice", json!({}), Kind::Double);
    *other.state_mut() = slot.state().copy().unwrap();
    is(&mut other, &epoch(2), 3);
    let mut named = fusion("best-slice", json!({ "metric": "recall-at-1" }), Kind::Double);
    is(&mut named, &measured("map-at-r", &[0.1, 0.9, 0.1, 0.1]), 0);
    is(&mut named, &measured("recall-at-1", &[0.1, 0.1, 0.9, 0.1]), 2);
}

#[test]
fn weights_and_dimensions_that_do_not_fit_are_refused() {
    let refused = |name: &str, params: Json, count| {
        refusal(fusion(name, params, Kind::Double).fuse(input(&rows(8), count, Kind::Double), &epoch(0)))
    };
    for (weights, count) in [(vec![], 2), (vec![1.0], 2), (vec![1.0, 2.0, 3.0], 2), (vec![1.0, 2.0], 1)] {
        let text = refused("weighted", json!({ "weights": weights }), count);
        let words = [format!("has {} numbers", weights.len()), format!("`model.slices` is {count}")];
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
    for weights in [vec![0.0], vec![0.0, 0.0]] {
        let text = refused("weighted", json!({ "weights": weights }), weights.len());
        assert!(text.contains("all `weights` are 0"), "{text}");
    }
    for dimensions in [vec![1.0, 2.0], vec![8.0, 1.0], vec![2.5, 5.5], vec![7.0], vec![4.0, 4.0, 4.0]] {
        let text = refused("dimension-weighted", json!({ "dimensions": dimensions }), 2);
        assert!(text.contains("add up to 8") && text.contains(&format!("{dimensions:?}")), "{text}");
    }
    for (name, parameter, value, bound) in [
        ("weighted", "weights", Value::Numbers(vec![1.0, -0.5]), "at least 0"),
        ("dimension-weighted", "dimensions", Value::Numbers(vec![8.0, 0.0]), "at least 1"),
        ("attention", "temperature", Value::Number(0.0), "above 0"),
        ("attention", "learning-rate-multiplier", Value::Number(-1.0), "at least 0"),
        ("learned-weights", "learning-rate-multiplier", Value::Number(-1.0), "at least 0"),
    ] {
        let given = BTreeMap::from([(parameter.to_owned(), value)]);
        let error = Params::new(plugin(PACKAGE).strategy(Role::Fusion, name).unwrap(), &given).unwrap_err();
        assert!(matches!(error, ParameterError::Range { .. }), "{error}");
        assert!([name, parameter, bound].iter().all(|word| error.to_string().contains(word)), "{error}");
    }
}

/// The sum of the squares of what a fusion gives, with finite gradients.
fn assert_finite_fusion(slot: &mut Slot, rows: &Matrix, kind: Kind, what: &str) {
    let input = input(rows, 4, kind);
    let leaf = input.embeddings.as_ref().unwrap().shallow_clone();
    let fused = slot.fuse(input, &epoch(0)).unwrap();
    let coefficients = Tensor::arange(fused.numel() as i64, (kind, tch::Device::Cpu)).view_as(&fused) + 1.0;
    assert_finite(&(fused * coefficients).sum(kind), &leaf, what);
    for (name, parameter) in &slot.state().parameters {
        assert!(numbers(&parameter.tensor.grad()).iter().all(|x| x.is_finite()), "{what}: {name}");
    }
}

#[test]
fn embeddings_of_zeros_give_finite_values_and_gradients() {
    let mut one_image = rows(8);
    one_image[2] = vec![0.0; 8];
    let mut one_slice = rows(8);
    one_slice.iter_mut().for_each(|row| row[2..4].fill(0.0));
    for kind in [Kind::Double, Kind::Float] {
        for rows in [vec![vec![0.0; 8]; 6], one_image.clone(), one_slice.clone()] {
            for (name, params) in all() {
                let mut slot = fusion(name, params, kind);
                assert_finite_fusion(&mut slot, &rows, kind, name);
            }
        }
    }
}

/// A fusion whose parameter has these numbers.
fn learned(name: &str, params: Json, parameter: &str, value: &Tensor) -> Slot {
    let kind = value.kind();
    let tensor = value.copy().set_requires_grad(true);
    let mut slot = fusion(name, params, kind);
    let kept = StateParameter { tensor, learning_rate_multiplier: 1.0 };
    slot.state_mut().parameters.insert(parameter.into(), kept);
    slot
}

#[test]
fn a_learned_weight_that_underflows_has_a_finite_gradient() {
    for (kind, far) in [(Kind::Float, 200.0), (Kind::Double, 1000.0)] {
        let logits = Tensor::from_slice(&[0.0, far, 1.0, 2.0]).to_kind(kind);
        let mut slot = learned("learned-weights", json!({}), "logits", &logits);
        assert_finite_fusion(&mut slot, &rows(8), kind, "learned-weights");
    }
}

#[test]
fn sharp_attention_has_a_finite_gradient() {
    for (kind, temperature) in [(Kind::Float, 0.0025), (Kind::Double, 0.0005)] {
        let queries = Tensor::from_slice(&[0.3, -0.2, 0.1, 0.9, -0.8, 0.5, 0.4, 0.6]).reshape([4, 2]).to_kind(kind);
        let mut slot = learned("attention", json!({ "temperature": temperature }), "queries", &queries);
        assert_finite_fusion(&mut slot, &rows(8), kind, "attention");
    }
}
