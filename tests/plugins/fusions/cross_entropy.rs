//! The loss `cross-entropy` against its formula.

use std::collections::BTreeMap;

use lossmith_plugin::{Input, Params, Role, Slot, StateParameter, Value};
use serde_json::{Value as Json, json};
use tch::{Kind, Tensor};

use super::{dot, rows, unit};
use crate::fixture::{bits, epoch, numbers, plugin, slot};
use crate::multi_threshold::metrics;
use crate::slow::Matrix;
use crate::transfers::{assert_close, assert_finite, of, tensor};

const PACKAGE: &str = "lossmith-proxies";
const LABELS: [i64; 6] = [0, 3, 1, 1, 0, 2];

fn loss_slot(params: Json, kind: Kind) -> Slot {
    slot(PACKAGE, Role::Loss, "cross-entropy", params, of(kind))
}

fn input(rows: &Matrix, class_count: i64, kind: Kind) -> Input {
    Input {
        embeddings: Some(tensor(rows, kind).set_requires_grad(true)),
        labels: Some(Tensor::from_slice(&LABELS)),
        class_count,
        slice_count: 1,
        ..Input::default()
    }
}

/// Loss, gradients of embeddings, `W` and `b`, and accuracy.
struct Expected {
    loss: f64,
    gradients: [Vec<f64>; 3],
    accuracy: f64,
}

fn expected(rows: &Matrix, weights: &Matrix, bias: &[f64], normalize: bool, smoothing: f64) -> Expected {
    let (size, classes) = (rows.len() as f64, weights.len());
    let (mut loss, mut right) = (0.0, 0.0);
    let (mut of_rows, mut of_weights, mut of_bias) =
        (Vec::new(), vec![vec![0.0; rows[0].len()]; classes], vec![0.0; classes]);
    for (row, &label) in rows.iter().zip(&LABELS) {
        let x = if normalize { unit(row) } else { row.clone() };
        let logits: Vec<f64> = weights.iter().zip(bias).map(|(w, b)| dot(w, &x) + b).collect();
        let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
        let mut towards = vec![0.0; row.len()];
        for class in 0..classes {
            let hit = f64::from(u8::from(class as i64 == label));
            let target = (1.0 - smoothing) * hit + smoothing / classes as f64;
            loss -= target * (logits[class] - sum.ln()) / size;
            let slope = (logits[class].exp() / sum - target) / size;
            of_bias[class] += slope;
            for at in 0..row.len() {
                of_weights[class][at] += slope * x[at];
                towards[at] += slope * weights[class][at];
            }
        }
        if normalize {
            let along = dot(&towards, &x);
            let length = dot(row, row).sqrt();
            towards.iter_mut().zip(&x).for_each(|(towards, x)| *towards = (*towards - along * x) / length);
        }
        of_rows.extend(towards);
        let best = (0..classes).reduce(|best, class| if logits[class] > logits[best] { class } else { best });
        right += f64::from(u8::from(best == Some(label as usize))) / size;
    }
    Expected { loss, gradients: [of_rows, of_weights.concat(), of_bias], accuracy: right }
}

#[test]
fn cross_entropy_is_its_formula_in_value_and_gradients() {
    let rows = rows(5);
    let number = |i: usize| ((i * 13 + 4) % 29) as f64 / 12.0 - 1.1;
    // The fifth class has no image.
    let weights: Matrix = (0..5).map(|class| (0..5).map(|at| number(5 * class + at)).collect()).collect();
    let bias: Vec<f64> = (0..5).map(|class| number(class + 40)).collect();
    let mut accuracies = Vec::new();
    for (kind, tolerance) in [(Kind::Double, 1e-9), (Kind::Float, 1e-5)] {
        for (normalize, smoothing) in [(false, 0.0), (true, 0.0), (false, 0.1), (true, 0.35)] {
            let mut slot = loss_slot(json!({ "normalize": normalize, "label-smoothing": smoothing }), kind);
            let given = [("W", tensor(&weights, kind)), ("b", Tensor::from_slice(&bias).to_kind(kind))]
                .map(|(name, value)| (name, value.set_requires_grad(true)));
            for (name, tensor) in &given {
                let kept = StateParameter { tensor: tensor.shallow_clone(), learning_rate_multiplier: 1.0 };
                slot.state_mut().parameters.insert((*name).into(), kept);
            }
            let input = input(&rows, 5, kind);
            let leaf = input.embeddings.as_ref().unwrap().shallow_clone();
            let loss = slot.loss(input, &epoch(0)).unwrap();
            loss.backward();
            let expected = expected(&rows, &weights, &bias, normalize, smoothing);
            let what = format!("normalize {normalize}, smoothing {smoothing} in {kind:?}");
            assert_close(&numbers(&loss), &[expected.loss], tolerance, &what);
            let found = [&leaf, &given[0].1, &given[1].1].map(|leaf| numbers(&leaf.grad()));
            for (found, expected) in found.iter().zip(&expected.gradients) {
                assert_close(found, expected, tolerance, &format!("a gradient of {what}"));
            }
            let accuracy = metrics(&mut slot);
            assert_eq!(accuracy.keys().collect::<Vec<_>>(), ["accuracy"]);
            assert!((accuracy["accuracy"] - expected.accuracy).abs() < 1e-6, "{what}");
            accuracies.push(expected.accuracy);
        }
    }
    assert!(accuracies.iter().any(|x| *x > 0.0) && accuracies.iter().all(|x| *x < 1.0), "{accuracies:?}");
}

#[test]
fn the_classifier_has_its_documented_shapes_and_start() {
    let rows: Matrix = (0..6).map(|i| (0..50).map(|j| ((i * 50 + j) as f64 * 0.7).sin()).collect()).collect();
    let start = |multiplier: Option<f64>| {
        let params = multiplier.map_or(json!({}), |it| json!({ "learning-rate-multiplier": it }));
        let mut slot = loss_slot(params, Kind::Double);
        drop(slot.loss(input(&rows, 40, Kind::Double), &epoch(0)).unwrap());
        slot
    };
    let (slot, again) = (start(None), start(Some(3.5)));
    let parameters = &slot.state().parameters;
    assert_eq!(parameters.keys().collect::<Vec<_>>(), ["W", "b"]);
    assert_eq!(parameters["W"].tensor.size(), [40, 50]);
    assert_eq!(numbers(&parameters["b"].tensor), [0.0; 40]);
    let weights = numbers(&parameters["W"].tensor);
    let mean = weights.iter().sum::<f64>() / 2000.0;
    let variance = dot(&weights, &weights) / 2000.0 * 50.0;
    // Five standard errors.
    assert!(mean.abs() < 5.0 / (2000.0 * 50.0_f64).sqrt() && (variance - 1.0).abs() < 5.0 * 0.001_f64.sqrt());
    assert_eq!(bits(&again.state().parameters["W"].tensor), bits(&parameters["W"].tensor));
    for name in ["W", "b"] {
        assert_eq!(parameters[name].learning_rate_multiplier, 1.0);
        assert_eq!(again.state().parameters[name].learning_rate_multiplier, 3.5);
    }
}

#[test]
fn embeddings_of_zeros_give_a_finite_cross_entropy() {
    for (kind, normalize) in [(Kind::Double, true), (Kind::Float, true), (Kind::Double, false), (Kind::Float, false)] {
        let input = input(&vec![vec![0.0; 4]; 6], 4, kind);
        let leaf = input.embeddings.as_ref().unwrap().shallow_clone();
        let loss = loss_slot(json!({ "normalize": normalize }), kind).loss(input, &epoch(0)).unwrap();
        // All logits are 0.
        assert!((loss.double_value(&[]) - 4.0_f64.ln()).abs() < 1e-6);
        assert_finite(&loss, &leaf, "zeros");
    }
}

#[test]
fn a_smoothing_outside_its_range_is_refused() {
    for value in [-0.1, 1.0] {
        let given = BTreeMap::from([("label-smoothing".to_owned(), Value::Number(value))]);
        let error = Params::new(plugin(PACKAGE).strategy(Role::Loss, "cross-entropy").unwrap(), &given).unwrap_err();
        assert!(error.to_string().contains("at least 0 and below 1"), "{error}");
    }
}
