//! What a strategy is told, what it draws, what it keeps and what it says, in each role.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lossmith_plugin::{Cause, Input, Level, Limits, Metric, Progress, Role, Setting, Slot, State, Tuples};
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
    let params = json!({
        "number": 1.25, "integer": 7, "switch": true, "text": "words", "numbers": [1, 2.5], "distance": "euclidean",
    });
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
    let progress =
        Progress { epoch: 2, epochs: 9, step: 11, steps_per_epoch: 5, metrics: known, ..Progress::default() };
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
        ("largest-class", 3.0),
        ("slice-count", 2.0),
        ("triplets", 0.0),
        ("epoch", 2.0),
        ("epochs", 9.0),
        ("step", 11.0),
        ("steps-per-epoch", 5.0),
        ("last-step-of-epoch", 0.0),
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

/// An instance serves one slot, whose parameters stay.
#[test]
fn parameters_are_read_once_for_an_instance() {
    for number in [0.25, 4.0] {
        let limits = Arc::new(Limits { programs: 0, ..Limits::default() });
        let mut slot =
            slot(OPERATIONS, Role::Loss, "reads", json!({ "number": number }), Setting { limits, ..setting() });
        for call in 0..3 {
            drop(slot.loss(batch(6, 4, Kind::Double), &epoch(call)).unwrap());
            let expected = [("number", number), ("read", 1.0)].map(|(name, value)| (name.to_owned(), value));
            assert_eq!(metrics(&mut slot), BTreeMap::from(expected), "call {call}");
        }
    }
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

/// The strategy whose proxies can grow, with what another slot kept.
fn grown(per_class: i64, migrate: bool, kept: State) -> Slot {
    let params = json!({ "per-class": per_class, "migrate": migrate });
    let mut slot = slot(ROLES, Role::Loss, "grown-proxies", params, setting());
    *slot.state_mut() = kept;
    slot
}

/// What such a slot keeps after a call with one proxy for each of two classes.
fn one_proxy_each() -> State {
    let mut slot = grown(1, true, State::default());
    drop(slot.loss(batch(6, 4, Kind::Double), &epoch(0)).unwrap());
    std::mem::take(slot.state_mut())
}

fn assert_close(found: &[f64], expected: &[f64]) {
    let close = |(found, expected): (&f64, &f64)| (found - expected).abs() < 1e-12;
    assert!(found.len() == expected.len() && found.iter().zip(expected).all(close), "{found:?}, not {expected:?}");
}

#[test]
fn a_parameter_that_was_replaced_goes_on_in_its_new_shape() {
    let (first_input, second_input) = (batch(6, 4, Kind::Double), batch(6, 4, Kind::Double));
    let gradient = |input: &Input| numbers(&input.embeddings.as_ref().unwrap().grad());
    let mut first = grown(1, true, State::default());
    let before = first.loss(first_input.shallow_clone(), &epoch(0)).unwrap();
    before.backward();
    assert_eq!(metrics(&mut first)["rows"], 2.0);
    assert!(first.state().replaced.is_empty(), "a parameter that was made is not replaced");
    let old = first.state().parameters["proxies"].tensor.shallow_clone();
    let old_gradient = numbers(&old.grad());

    let mut second = grown(2, true, std::mem::take(first.state_mut()));
    let after = second.loss(second_input.shallow_clone(), &epoch(1)).unwrap();
    after.backward();
    assert_eq!(metrics(&mut second)["rows"], 4.0, "the new one is seen in the call that made it");
    let parameter = &second.state().parameters["proxies"];
    assert_eq!((parameter.tensor.size(), parameter.learning_rate_multiplier), (vec![4, 4], 10.0));
    assert_eq!(numbers(&parameter.tensor), numbers(&old).repeat(2));
    assert_eq!(numbers(&second.state().buffers["seen"]), [2.0, 2.0]);
    assert_eq!(second.state().replaced, ["proxies"]);
    // Each proxy is there twice: the mean stays, and each has half of the gradient.
    assert_close(&numbers(&after), &numbers(&before));
    assert_close(&gradient(&second_input), &gradient(&first_input));
    let half: Vec<f64> = old_gradient.iter().map(|x| x / 2.0).collect();
    assert!(half.iter().any(|x| x.abs() > 1e-3));
    assert_close(&numbers(&parameter.tensor.grad()), &half.repeat(2));
    assert_eq!(numbers(&old.grad()), old_gradient, "the old one learns no more");

    // Once more, by a call whose predecessor nobody has asked about; then by none.
    let mut third = grown(3, true, std::mem::take(second.state_mut()));
    drop(third.loss(batch(6, 4, Kind::Double), &epoch(2)).unwrap());
    assert_eq!(third.state().parameters["proxies"].tensor.size(), [6, 4]);
    assert_eq!(std::mem::take(&mut third.state_mut().replaced), ["proxies"]);
    drop(third.loss(batch(6, 4, Kind::Double), &epoch(2)).unwrap());
    assert_eq!(numbers(&third.state().buffers["seen"]), [4.0, 4.0, 4.0]);
    assert!(third.state().replaced.is_empty());
}

#[test]
fn a_call_that_fails_after_replacing_leaves_the_old_ones() {
    let mut slot = grown(2, true, one_proxy_each());
    let before = kept(slot.state());
    // Another dimension does not fit the proxies, which are replaced before that is found.
    let error = slot.loss(batch(6, 5, Kind::Double), &epoch(1)).unwrap_err();
    assert!(matches!(*error.cause, Cause::Operation { operation: "cosine-matrix", .. }), "{error}");
    assert_eq!(kept(slot.state()), before);
    assert!(slot.state().replaced.is_empty());

    drop(slot.loss(batch(6, 4, Kind::Double), &epoch(1)).unwrap());
    assert_eq!(slot.state().parameters["proxies"].tensor.size(), [4, 4]);
    assert_eq!(slot.state().replaced, ["proxies"]);
}

#[test]
fn code_that_does_not_replace_fails_on_another_shape() {
    let mut slot = grown(2, false, one_proxy_each());
    let before = kept(slot.state());
    let error = slot.loss(batch(6, 4, Kind::Double), &epoch(1)).unwrap_err();
    assert!(matches!(*error.cause, Cause::Operation { operation: "reshape", .. }), "{error}");
    assert_eq!(kept(slot.state()), before);
}

#[test]
fn only_what_is_there_is_replaced_and_a_parameter_by_floats() {
    for (case, words) in [
        ("state.replace-parameter", "there is no parameter `missing`"),
        ("state.replace-parameter/integer", "the parameter `kept` must be float"),
        ("state.replace-buffer", "there is no buffer `missing`"),
    ] {
        let mut slot = slot(OPERATIONS, Role::Loss, "misuse", json!({ "case": case }), setting());
        let error = slot.loss(batch(4, 6, Kind::Double), &epoch(0)).unwrap_err();
        assert!(
            matches!(&*error.cause, Cause::Operation { message, .. } if message.contains(words)),
            "{case}: {error}"
        );
        assert!(kept(slot.state()).is_empty(), "{case}");
    }
}
