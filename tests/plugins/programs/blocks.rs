//! Matrices that are never made as a whole: calls that are recorded from shapes alone, and run a few rows at a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use lossmith_plugin::{Cause, Input, Limits, Progress, Role, Setting, Way};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use super::fused::{Case, assert_near, cases};
use super::with;
use crate::fixture::{batch, epoch, slot};

/// Standard losses that need memory of an element for each pair of images, and why.
const WHOLE: [&str; 10] = [
    // Their shapes, or how often a loop runs, depend on the labels, which the plugin is not given with shapes alone.
    "loss angular",
    "loss multi-threshold",
    "loss n-pairs",
    "loss smooth-ap",
    "loss triplet",
    // Sorted, counted or joined as a whole.
    "loss dark-rank",
    "loss fast-ap",
    "loss histogram",
    "loss ranked-list",
    // The angles of all triplets.
    "loss rkd-angle",
];

/// No matrix is made as a whole.
fn blocks(float: Kind) -> Setting {
    Setting { limits: Arc::new(Limits { matrix_bytes: 0, ..Limits::default() }), ..with(8, float) }
}

#[test]
fn all_give_nearly_what_single_operations_give() {
    for case in cases() {
        let [mut one, mut single] = [blocks(Kind::Double), with(0, Kind::Double)].map(|setting| case.slot(setting));
        for number in 0..5 {
            let (found, expected) =
                (case.call(&mut one, number, Kind::Double), case.call(&mut single, number, Kind::Double));
            let what = format!("{}, call {number}", case.name());
            assert_near(&found, &expected, &what);
        }
    }
}

#[test]
fn a_slot_that_begins_in_between_gives_the_same_bits() {
    for case in cases() {
        let mut whole = case.slot(blocks(Kind::Float));
        let mut state = None;
        for number in 0..5 {
            let mut begun = case.slot(blocks(Kind::Float));
            if let Some(state) = state {
                *begun.state_mut() = state;
            }
            let (found, expected) =
                (case.call(&mut begun, number, Kind::Float), case.call(&mut whole, number, Kind::Float));
            assert_eq!(found, expected, "{}, call {number}", case.name());
            state = Some(whole.state().copy().unwrap());
        }
    }
}

fn large(images: i64, dimension: i64, float: Kind) -> Input {
    let options = (float, Device::Cpu);
    Input {
        embeddings: Some(
            (Tensor::arange(images * dimension, options) * 0.7)
                .sin()
                .reshape([images, dimension])
                .set_requires_grad(true),
        ),
        labels: Some(Tensor::arange(images, (Kind::Int64, Device::Cpu)).remainder(16)),
        class_count: 16,
        slice_count: 1,
        ..Input::default()
    }
}

/// With all that a loss can ask for.
fn complete(images: i64) -> Input {
    let options = (Kind::Float, Device::Cpu);
    let map = || Tensor::arange(images * 18, options).cos().reshape([images, 2, 3, 3]);
    Input {
        thresholds: vec![0.5],
        teacher: Some(Tensor::arange(images * 6, options).cos().reshape([images, 6])),
        feature_map: Some(map().set_requires_grad(true)),
        teacher_feature_map: Some(map()),
        ..large(images, 8, Kind::Float)
    }
}

#[test]
fn losses_of_pairs_need_no_matrix() {
    let bytes = |Case { package, role, strategy, .. }: &Case, images: i64| {
        let mut slot = slot(package, *role, strategy, json!({}), blocks(Kind::Float));
        // Those with parameters of their own make them in the first call.
        for _ in 0..2 {
            let made = slot.loss(complete(images), &epoch(0));
            assert!(made.is_ok(), "{strategy}: {made:?}");
        }
        slot.outline().map(|outline| outline.bytes)
    };
    let mut whole = BTreeSet::new();
    for case in cases().iter().filter(|case| case.role == Role::Loss) {
        // Twice as many images need twice as much, and four times as much where there is a matrix of their pairs.
        let linear = bytes(case, 128).zip(bytes(case, 256)).is_some_and(|(half, all)| all < 3 * half);
        if !linear {
            whole.insert(format!("{} {}", case.role, case.strategy));
        }
    }
    let expected = WHOLE.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(whole, expected);
}

#[test]
fn a_batch_whose_matrix_fits_in_no_memory_is_computed() {
    // In 32 bits a matrix of its pairs takes 400 MB; all that the call may have is 40.
    let limits = Limits { tensor_bytes: 40 << 20, ..Limits::default() };
    for strategy in ["contrastive", "multi-similarity", "sup-con"] {
        let setting = Setting { limits: Arc::new(limits.clone()), ..with(8, Kind::Float) };
        let mut slot = slot("lossmith-losses", Role::Loss, strategy, json!({}), setting);
        let loss = slot.loss(large(10_000, 4, Kind::Float), &Progress::default()).unwrap();
        assert_eq!(slot.way(), Way::Recorded, "{strategy}");
        loss.backward();
        assert!(slot.probe_mut().cost.tensor_bytes < limits.tensor_bytes);
    }
    // Without programs it is refused before memory is taken.
    let single = Limits { programs: 0, ..limits };
    let setting = Setting { limits: Arc::new(single), ..with(0, Kind::Float) };
    let mut slot = slot("lossmith-losses", Role::Loss, "contrastive", json!({}), setting);
    let refused = slot.loss(large(10_000, 4, Kind::Float), &Progress::default()).err().unwrap();
    assert!(matches!(*refused.cause, Cause::Limit { limit: "tensor-bytes", .. }), "{refused}");
}

#[test]
fn threads_do_not_matter_where_rows_are_long() {
    let threads = tch::get_num_threads();
    let results = [1, 2, 3].map(|threads| {
        tch::set_num_threads(threads);
        let mut slot = slot("lossmith-losses", Role::Loss, "sup-con", json!({}), blocks(Kind::Float));
        let input = large(5_000, 4, Kind::Float);
        let embeddings = input.embeddings.as_ref().unwrap().shallow_clone();
        let loss = slot.loss(input, &Progress::default()).unwrap();
        loss.backward();
        (crate::fixture::bits(&loss), crate::fixture::bits(&embeddings.grad()))
    });
    tch::set_num_threads(threads);
    assert!(results.iter().all(|result| *result == results[0]));
}

#[test]
fn a_plugin_that_reads_values_is_asked_once_without_them() {
    let mut slot = slot(
        "lossmith-test-operations",
        Role::Loss,
        "changes",
        json!({ "what": "step", "count": 1 }),
        blocks(Kind::Double),
    );
    for step in 0..3 {
        let progress = Progress { epochs: 1, step, steps_per_epoch: 4, ..Progress::default() };
        drop(slot.loss(batch(6, 4, Kind::Double), &progress).unwrap());
        assert!(matches!(slot.way(), Way::Unrecordable(_)));
    }
}
