//! Plugins whose operations change from call to call.

use std::collections::BTreeMap;
use std::sync::Arc;

use lossmith_plugin::{Cause, Input, Limits, Progress, Role, Setting, Slot, Way};
use serde_json::json;
use tch::{Kind, Tensor};

use super::{Made, Seen, letter, seen, with};
use crate::fixture::{batch, slot};

const PACKAGE: &str = "lossmith-test-operations";

fn changes(what: &str, count: i64, setting: Setting) -> Slot {
    slot(PACKAGE, Role::Loss, "changes", json!({ "what": what, "count": count }), setting)
}

fn at(epoch: u64, step: u64) -> Progress {
    Progress { epoch, epochs: 100, step, steps_per_epoch: 4, ..Progress::default() }
}

/// A batch of its own for each call.
fn moved(size: i64, call: u64) -> Input {
    let input = batch(size, 4, Kind::Double);
    let embeddings = input.embeddings.as_ref().map(|x| (x.detach() + 0.1 * call as f64).set_requires_grad(true));
    Input { embeddings, ..input }
}

fn loss(slot: &mut Slot, input: &Input, progress: &Progress) -> Seen {
    seen(slot, input, progress, |slot, input, progress| slot.loss(input, progress).map(Made::Value))
}

/// Makes the same calls with programs and without. How those with were made, a letter each.
fn ways(what: &str, count: i64, limits: Limits, calls: &[(Input, Progress)]) -> String {
    let limits = Arc::new(Limits { fuse: false, ..limits });
    let mut on = changes(what, count, Setting { limits: Arc::clone(&limits), ..with(8, Kind::Double) });
    let mut off = changes(what, count, with(0, Kind::Double));
    let mut ways = String::new();
    for (number, (input, progress)) in calls.iter().enumerate() {
        let (found, expected) = (loss(&mut on, input, progress), loss(&mut off, input, progress));
        assert_eq!(found, expected, "{what}, call {number}");
        assert_eq!(off.way(), Way::Plain);
        ways.push(letter(on.way()));
    }
    ways
}

/// So many calls, one in each epoch.
fn epochs(count: u64) -> Vec<(Input, Progress)> {
    (0..count).map(|call| (moved(6, call), at(call, call))).collect()
}

/// So many calls in one epoch.
fn steps(count: u64) -> Vec<(Input, Progress)> {
    (0..count).map(|call| (moved(6, call), at(0, call))).collect()
}

#[test]
fn what_stays_the_same_is_replayed() {
    for what in ["nothing", "draws", "gradient", "integers", "itself", "labels"] {
        assert_eq!(ways(what, 1, Limits::default(), &steps(5)), "rRRRR", "{what}");
    }
}

#[test]
fn a_buffer_or_a_parameter_that_is_new_is_not_recorded() {
    for what in ["buffer", "parameter"] {
        assert_eq!(ways(what, 1, Limits::default(), &steps(5)), "urRRR", "{what}");
    }
}

#[test]
fn a_value_that_is_read_in_one_call_of_ten_ends_that_recording_alone() {
    // Each epoch is another answer, and asked for again only in the second call of it.
    let twice = |(input, progress): (Input, Progress)| [(input.shallow_clone(), progress.clone()), (input, progress)];
    let calls: Vec<_> = epochs(11).into_iter().flat_map(twice).collect();
    assert_eq!(ways("reads-at-times", 1, Limits::default(), &calls), format!("{}uurR", "rR".repeat(9)));
    assert_eq!(ways("step", 1, Limits::default(), &steps(3)), "uuu");
}

#[test]
fn a_value_that_is_read_in_the_last_step_of_an_epoch_is_read_in_no_other() {
    let calls: Vec<_> = (0..9).map(|step| (moved(6, step), at(step / 4, step))).collect();
    assert_eq!(ways("last-step", 1, Limits::default(), &calls), "rRRuRRRuR");
    // Where an epoch has no known length, each step is the last one.
    let unknown = |(input, progress)| (input, Progress { steps_per_epoch: 0, ..progress });
    let calls: Vec<_> = steps(2).into_iter().map(unknown).collect();
    assert_eq!(ways("last-step", 1, Limits::default(), &calls), "uu");
}

#[test]
fn a_program_is_for_one_size_of_the_largest_class() {
    let labelled = |labels: [i64; 6]| {
        let input = Input { labels: Some(Tensor::from_slice(&labels)), class_count: 6, ..moved(6, 0) };
        (input, at(0, 0))
    };
    let batches = [[0, 0, 1, 1, 2, 2], [3, 1, 3, 5, 4, 4], [0, 1, 0, 2, 0, 1], [1, 1, 0, 0, 3, 2], [4, 5, 5, 5, 4, 0]];
    assert_eq!(ways("largest-class", 1, Limits::default(), &batches.map(labelled)), "rRrRR");
}

#[test]
fn operations_may_change_with_the_epoch_the_metrics_and_the_shapes() {
    let calls: Vec<_> = (0..12).map(|call| (moved(6, call), at(call / 3, call))).collect();
    for what in ["epoch", "shapes"] {
        assert_eq!(ways(what, 1, Limits::default(), &calls), "rRR".repeat(4), "{what}");
    }
    let metrics = |value: f64| Arc::new(BTreeMap::from([("validation/recall-at-1".to_owned(), value)]));
    let told = |metrics| Progress { metrics, ..at(0, 0) };
    let calls = [told(Arc::default()), told(metrics(0.5)), told(metrics(0.25)), told(metrics(0.5)), at(0, 7)];
    let calls = calls.map(|progress| (moved(6, 0), progress));
    assert_eq!(ways("metric", 1, Limits::default(), &calls), "rrrRR");
}

#[test]
fn a_bounded_number_of_programs_is_kept() {
    let sizes = |sizes: &[i64]| -> Vec<_> { sizes.iter().map(|size| (moved(*size, 0), at(0, 0))).collect() };
    let limits = |programs| Limits { programs, ..Limits::default() };
    // The least recently used is forgotten first.
    assert_eq!(ways("nothing", 1, limits(2), &sizes(&[3, 6, 3, 9, 3, 6, 9])), "rrRrRrr");
    assert_eq!(ways("nothing", 1, limits(1), &sizes(&[3, 6, 3, 3])), "rrrR");
    assert_eq!(ways("nothing", 1, limits(0), &sizes(&[3, 3])), "--");
    let each: Vec<i64> = (1..40).collect();
    assert_eq!(ways("nothing", 1, limits(8), &sizes(&each)), "r".repeat(39));
}

#[test]
fn gradients_and_strides_belong_to_what_a_program_is_for() {
    let input = moved(6, 0);
    let without = Input { embeddings: input.embeddings.as_ref().map(Tensor::detach), ..input.shallow_clone() };
    let wide = Tensor::arange(24, (Kind::Double, tch::Device::Cpu)).reshape([4, 6]);
    let strided = Input { embeddings: Some(wide.transpose(0, 1)), ..input.shallow_clone() };
    let calls = [&input, &without, &strided, &input, &without, &strided].map(|x| (x.shallow_clone(), at(0, 0)));
    assert_eq!(ways("nothing", 1, Limits::default(), &calls), "rrrRRR");
    let calls = [(without.shallow_clone(), at(0, 0)), (without, at(0, 1))];
    assert_eq!(tch::no_grad(|| ways("draws", 1, Limits::default(), &calls)), "rR");
}

#[test]
fn a_long_program_is_kept_up_to_its_limit() {
    for (count, expected) in [(10_000, "uu"), (4096, "rR"), (4097, "uu")] {
        assert_eq!(ways("long", count, Limits::default(), &steps(2)), expected, "{count}");
    }
    let limits = Limits { program_operations: 20_000, ..Limits::default() };
    assert_eq!(ways("long", 10_000, limits, &steps(2)), "rR");
}

#[test]
fn what_a_program_keeps_is_bounded() {
    for (what, most) in [("constants", 1 << 20), ("questions", 4095), ("metrics", 4096)] {
        assert_eq!(ways(what, most, Limits::default(), &steps(2)), "rR", "{what}");
        assert_eq!(ways(what, most + 8, Limits::default(), &steps(2)), "uu", "{what}");
    }
}

#[test]
fn the_fault_of_a_replay_is_that_of_the_plugin_with_its_line() {
    let mut slot = changes("labels", 1, with(8, Kind::Double));
    let input = moved(6, 0);
    let good = loss(&mut slot, &input, &at(0, 0));
    assert!(good.result.is_ok());
    // A class that the plugin has no room for.
    let labels = input.labels.as_ref().map(|labels| labels + 9);
    let bad = Input { labels, ..input.shallow_clone() };
    let error = slot.loss(bad, &at(0, 1)).unwrap_err();
    assert_eq!(slot.way(), Way::Plain);
    let Cause::Operation { operation: "bincount", place: Some(place), .. } = &*error.cause else {
        panic!("{error}");
    };
    let (file, line) = place.source.as_ref().unwrap();
    assert!(file.ends_with("programs.rs") && *line > 1, "{file}:{line}");
    // It goes on as before.
    assert_eq!(loss(&mut slot, &input, &at(0, 2)), good);
    // A value that is not finite is no result either way.
    let mut slot = changes("infinite", 1, with(8, Kind::Double));
    assert!(slot.loss(moved(6, 0), &at(0, 0)).is_ok());
    let zeros = Tensor::zeros([6, 4], (Kind::Double, tch::Device::Cpu)).set_requires_grad(true);
    let refused = slot.loss(Input { embeddings: Some(zeros), ..input }, &at(0, 1)).unwrap_err();
    assert!(matches!(*refused.cause, Cause::Result(lossmith_plugin::ResultFault::NotFinite(_))), "{refused}");
}

#[test]
fn a_call_that_is_looked_at_is_made_by_the_plugin() {
    let mut slot = changes("gradient", 1, with(8, Kind::Double));
    let mut call = |stopped| {
        slot.probe_mut().stopped = stopped;
        drop(slot.loss(moved(6, 0), &at(0, 0)).unwrap());
        (slot.way(), std::mem::take(&mut slot.probe_mut().stopped))
    };
    assert_eq!(call(lossmith_plugin::Stopped::Computed).0, Way::Recorded);
    let (way, kept) = call(lossmith_plugin::Stopped::Kept(Vec::new()));
    assert_eq!(way, Way::Plain);
    assert!(matches!(kept, lossmith_plugin::Stopped::Kept(values) if values.len() == 1));
    assert_eq!(call(lossmith_plugin::Stopped::Computed).0, Way::Replayed);
}

#[test]
fn limits_of_reports_hold_in_replays() {
    let mut slot = changes(
        "draws",
        1,
        Setting {
            limits: Arc::new(Limits { metric_names: 2, metrics: 2, ..Limits::default() }),
            ..with(8, Kind::Double)
        },
    );
    drop(slot.loss(moved(6, 0), &at(0, 0)).unwrap());
    drop(slot.loss(moved(6, 0), &at(0, 1)).unwrap());
    // Two metrics that both calls reported, and a line of each.
    let report = slot.take_report();
    assert_eq!((report.metrics.len(), report.lines.len(), slot.way()), (2, 2, Way::Replayed));
}
