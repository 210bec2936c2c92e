//! What a strategy is told, what it draws, what it keeps and what it says, in each role.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lossmith::plugin::{Cause, Input, Level, Metric, Progress, Role, Setting, Slot, Tuples};
use serde_json::json;
use tch::{Kind, Tensor};

use crate::fixture::{batch, bits, epoch, kept, numbers, setting, slot};

const ROLES: &str = "lossmith-test-roles";
const OPERATIONS: &str = "lossmith-test-operations";

/// The metrics of a report as numbers.
fn metrics(slot: &mut Slot) -> BTreeMap<String, f64> {
    let number = |metric| match metric {
        Metric::Number(number) => number,
        Metric::Tensor(tensor) => {
            assert!(!tensor.requires_grad(), "a metric holds the graph");
            tensor.double_value(&[])
        }
    };
    slot.take_report().metrics.into_iter().map(|(name, metric)| (name, number(metric))).collect()
}

#[test]
fn a_strategy_is_told_its_parameters_the_batch_and_the_progress() {
    let params = json!({ "number": 1.25, "integer": 7, "switch": true, "text": "words", "numbers": [1, 2.5], "distance": "euclidean" });
    let mut slot = slot(OPERATIONS, Role::Loss, "told", params, setting());
    let index = |numbers: &[i64]| Tensor::from_slice(numbers);
    let teacher = batch(6, 5, Kind::Double).embeddings.unwrap().detach();
    let input = Input {
        slice_count: 2,
        thresholds: vec![0.25, 1.5],
        teacher: Some(teacher.shallow_clone()),
        tuples: Some(Tuples::Pairs([index(&[0, 1]), index(&[1, 2]), index(&[3]), index(&[5])])),
        ..batch(6, 4, Kind::Double)
    };
    let embeddings = input.embeddings.as_ref().unwrap().shallow_clone();
    let labels = input.labels.as_ref().unwrap().shallow_clone();
    let known = Arc::new(BTreeMap::from([("validation/recall".to_owned(), 0.625)]));
    let progress = Progress { epoch: 2, epochs: 9, step: 11, steps_per_epoch: 5, metrics: known };
    let loss = slot.loss(input, &progress).unwrap();

    let report = slot.take_report();
    let lines: Vec<_> = report.lines.iter().map(|(level, text)| (*level, text.as_str())).collect();
    assert!(
        matches!(lines.as_slice(), [(Level::Debug, "words"), (Level::Warn, "Euclidean"), (Level::Info, "[0.25, 1.5]")]),
        "{lines:?}"
    );
    let found: BTreeMap<_, _> = report
        .metrics
        .iter()
        .map(|(name, metric)| match metric {
            Metric::Number(number) => (name.as_str(), *number),
            Metric::Tensor(tensor) => (name.as_str(), tensor.double_value(&[])),
        })
        .collect();
    let expected = BTreeMap::from([
        ("number", 1.25),
        ("integer", 7.0),
        ("switch", 1.0),
        ("numbers", 3.5),
        ("size", 6.0),
        ("dimension", 4.0),
        ("class-count", 2.0),
        ("slice-count", 2.0),
        ("triplets", 0.0),
        ("epoch", 2.0),
        ("epochs", 9.0),
        ("step", 11.0),
        ("steps-per-epoch", 5.0),
        ("recall", 0.625),
        ("unknown", -1.0),
        ("tensor", embeddings.square().sum(Kind::Double).double_value(&[])),
    ]);
    assert_eq!(found, expected);

    let buffer = |name: &str| numbers(&slot.state().buffers[name]);
    assert_eq!(buffer("labels"), numbers(&labels));
    assert_eq!(buffer("slice-0"), numbers(&embeddings.narrow(1, 0, 2)));
    assert_eq!(buffer("slice-1"), numbers(&embeddings.narrow(1, 2, 2)));
    assert_eq!(buffer("teacher"), numbers(&teacher));
    assert_eq!(buffer("anchors"), [0.0, 1.0]);
    assert_eq!(buffer("positives"), [1.0, 2.0]);
    assert_eq!(buffer("negative-anchors"), [3.0]);
    assert_eq!(buffer("negatives"), [5.0]);

    // The loss is the mean square times the sum of a parameter of two threes.
    let mean = embeddings.square().mean(Kind::Double).double_value(&[]);
    assert!((loss.double_value(&[]) - 6.0 * mean).abs() < 1e-12);
    loss.backward();
    let parameter = &slot.state().parameters["weight"];
    assert_eq!(parameter.learning_rate_multiplier, 10.0);
    assert!(numbers(&parameter.tensor.grad()).iter().all(|gradient| (gradient - mean).abs() < 1e-12));
}

#[test]
fn triplets_are_told_with_their_anchors_twice() {
    let index = |numbers: &[i64]| Tensor::from_slice(numbers);
    let tuples = Some(Tuples::Triplets([index(&[0, 1]), index(&[1, 2]), index(&[3, 4])]));
    let mut slot = slot(OPERATIONS, Role::Loss, "told", json!({}), setting());
    drop(slot.loss(Input { tuples, ..batch(6, 4, Kind::Double) }, &epoch(0)).unwrap());
    assert_eq!(metrics(&mut slot)["triplets"], 1.0);
    assert_eq!(numbers(&slot.state().buffers["negative-anchors"]), [0.0, 1.0]);
    assert_eq!(numbers(&slot.state().buffers["negatives"]), [3.0, 4.0]);
}

/// What the strategy `draws` draws in a step: the numbers of each distribution.
fn draws(setting: Setting, step: u64) -> BTreeMap<String, Vec<f64>> {
    let mut slot = slot(OPERATIONS, Role::Loss, "draws", json!({}), setting);
    drop(slot.loss(batch(6, 4, Kind::Double), &Progress { step, ..Progress::default() }).unwrap());
    let buffers = &slot.state().buffers;
    buffers.iter().map(|(name, draw)| (name.split('/').next().unwrap().to_owned(), numbers(draw))).collect()
}

#[test]
fn random_numbers_depend_on_seed_step_and_slot_only() {
    let first = draws(setting(), 3);
    assert_eq!(draws(setting(), 3), first);
    let others =
        [draws(setting(), 4), draws(Setting { seed: 2, ..setting() }, 3), draws(Setting { slot: 1, ..setting() }, 3)];
    for other in &others {
        for (name, numbers) in &first {
            assert_ne!(&other[name], numbers, "{name}");
        }
    }
    assert_ne!(first["uniform"], first["uniform-again"], "two draws of one call");
    // 32 bits hold the same numbers.
    assert_eq!(draws(Setting { float: Kind::Float, ..setting() }, 3)["uniform"], first["uniform"]);
}

#[test]
fn random_numbers_have_their_distributions() {
    let draws = draws(setting(), 0);
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    // Of 2000 numbers; each bound is more than five standard errors.
    let uniform = &draws["uniform"];
    assert!(uniform.iter().all(|x| (0.0..1.0).contains(x)));
    assert!((mean(uniform) - 0.5).abs() < 0.035);
    let normal = &draws["normal"];
    let squares: Vec<f64> = normal.iter().map(|x| x * x).collect();
    assert!(mean(normal).abs() < 0.12 && (mean(&squares) - 1.0).abs() < 0.17);
    let integers: BTreeSet<i64> = draws["integers"].iter().map(|x| *x as i64).collect();
    assert_eq!(integers, (-2..3).collect());
    let mut permutation = draws["permutation"].clone();
    assert_ne!(permutation, (0..50).map(f64::from).collect::<Vec<_>>());
    permutation.sort_by(f64::total_cmp);
    assert_eq!(permutation, (0..50).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn a_buffer_lasts_from_call_to_call_and_a_failed_call_leaves_it() {
    let mut slot = slot(ROLES, Role::Loss, "running-mean", json!({ "momentum": 0.75 }), setting());
    let inputs = [batch(6, 4, Kind::Double), batch(9, 4, Kind::Double)];
    let mean = |input: &Input| input.embeddings.as_ref().unwrap().detach().mean_dim(0, false, Kind::Double);
    let [first, second] = [mean(&inputs[0]), mean(&inputs[1])];

    drop(slot.loss(inputs[0].shallow_clone(), &epoch(0)).unwrap());
    assert_eq!(bits(&slot.state().buffers["mean"]), bits(&first));
    let norm = metrics(&mut slot)["mean-norm"];
    assert!((norm - first.norm().double_value(&[])).abs() < 1e-12);

    // Another dimension does not fit the buffer.
    let before = kept(slot.state());
    let error = slot.loss(batch(6, 5, Kind::Double), &epoch(0)).unwrap_err();
    assert!(matches!(*error.cause, Cause::Operation { .. }), "{error}");
    assert_eq!(kept(slot.state()), before);

    drop(slot.loss(inputs[1].shallow_clone(), &epoch(1)).unwrap());
    let expected = first * 0.75 + second * 0.25;
    let worst = (&slot.state().buffers["mean"] - expected).abs().max().double_value(&[]);
    assert!(worst < 1e-15, "{worst}");
}

#[test]
fn state_moves_to_another_slot() {
    let told = || slot(OPERATIONS, Role::Loss, "told", json!({}), setting());
    let mut first = told();
    drop(first.loss(batch(6, 4, Kind::Double), &epoch(0)).unwrap());
    let mut second = told();
    let parameters = std::mem::take(&mut first.state_mut().parameters);
    second.state_mut().parameters = parameters;
    // The parameter is taken as it is, not made again.
    let doubled = tch::no_grad(|| second.state().parameters["weight"].tensor.shallow_clone().g_mul_scalar_(2.0));
    drop(doubled);
    let input = batch(6, 4, Kind::Double);
    let mean = input.embeddings.as_ref().unwrap().square().mean(Kind::Double).double_value(&[]);
    let loss = second.loss(input, &epoch(0)).unwrap();
    assert!((loss.double_value(&[]) - 12.0 * mean).abs() < 1e-12);
}
