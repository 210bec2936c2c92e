//! Attacks on what operations cost, and on what is wrong only after the call: each ends as a named fault of who made
//! it.

use std::sync::Arc;

use lossmith_plugin::{Cause, Input, Limits, Progress, ResultFault, Role, Setting};
use serde_json::{Value, json};
use tch::Kind;

use crate::fixture::{batch, epoch, setting, slot};

/// What a call of the loss comes to.
fn attack(params: Value, limits: Limits) -> Result<(), Box<Cause>> {
    let setting = Setting { limits: Arc::new(limits), ..setting() };
    let mut slot = slot("lossmith-evil", Role::Loss, "attack", params, setting);
    slot.loss(batch(6, 4, Kind::Double), &epoch(0)).map(drop).map_err(|error| error.cause)
}

#[track_caller]
fn reaches(limit: &str, params: Value, limits: Limits) {
    let Err(cause) = attack(params.clone(), limits) else { panic!("{params} ended well") };
    assert!(matches!(*cause, Cause::Limit { limit: found, .. } if found == limit), "{params}: {cause}");
}

/// So large that no machine has the memory: a result that is made before it is asked for fails otherwise.
const ENDLESS: i64 = 1 << 44;

fn sizes_free() -> Limits {
    Limits { tensor_elements: u64::MAX, host_elements: u64::MAX, deadline_ms: u64::MAX / 4, ..Limits::default() }
}

#[test]
fn what_an_operation_makes_is_asked_for_before() {
    let hows = [
        "cumsum-mask",
        "sort",
        "sort-integers",
        "topk",
        "unique",
        "unique-mask",
        "one-hot",
        "searchsorted",
        "nonzero",
        "mask-to-integer",
        "mask-to-float",
        "mask-plus",
        "mask-times-float",
        "add",
        "exp",
        "softplus",
        "smooth-l1",
        "clamp",
        "logical-not",
        "gt",
        "eq",
        "is-finite",
        "where",
        "masked-fill",
        "masked-select",
        "zeros-like",
        "flip",
        "repeat",
        "cat",
        "stack",
        "tril",
        "diag-embed",
        "reshape",
        "softmax",
        "log-softmax",
        "normalize",
        "logsumexp",
        "sum-rows",
        "amax-rows",
        "max-rows",
        "argmax-rows",
        "any-rows",
        "gather",
        "index-select",
        "index-select-rows",
        "at",
        "scatter-add",
        "index-add",
        "index-copy",
        "outer",
        "distances",
        "cosines",
    ];
    for how in hows {
        reaches("tensor-bytes", json!({ "how": how, "n": ENDLESS, "m": 1 << 22 }), sizes_free());
    }
}

#[test]
fn a_mask_becomes_eight_times_as_large_as_a_running_sum() {
    // 60 MB as a mask.
    let limits = |mebibytes: u64| Limits { tensor_bytes: mebibytes << 20, ..Limits::default() };
    reaches("tensor-bytes", json!({ "how": "cumsum-mask", "n": 60_000_000 }), limits(256));
    attack(json!({ "how": "cumsum-mask", "n": 1_000_000 }), limits(256)).unwrap();
}

#[test]
fn one_operation_cannot_exceed_the_deadline() {
    let limits = || Limits { deadline_ms: 2000, tensor_bytes: u64::MAX, host_elements: u64::MAX, ..Limits::default() };
    for (how, n, m) in [
        ("searchsorted-in", 42_000_000, 50_000_000),
        ("sort", 100_000_000, 0),
        ("topk", 200_000_000, 0),
        ("unique", 100_000_000, 0),
        ("gather", 200_000_000, 0),
        ("index-select", 200_000_000, 0),
        ("at", 200_000_000, 0),
        ("index-add-source", 200_000_000, 0),
        ("nonzero", 500_000_000, 0),
        ("bincount", 500_000_000, 0),
        ("matmul-integers", 2000, 500_000),
        ("pow-integers", 100_000_000, 0),
        ("cumsum-mask", 500_000_000, 0),
        ("norm", 1_000_000_000, 0),
    ] {
        reaches("deadline-ms", json!({ "how": how, "n": n, "m": m }), limits());
    }
    // What has time is done.
    for how in ["searchsorted-in", "sort", "topk", "unique", "gather", "at", "index-add-source", "cumsum-mask"] {
        attack(json!({ "how": how, "n": 10_000, "m": 10_000 }), limits()).unwrap();
    }
}

#[test]
fn work_is_charged_by_what_it_takes() {
    let limits = || Limits { host_elements: 100_000_000, ..Limits::default() };
    for (how, n, m) in [
        ("searchsorted-in", 1_000_000, 1_000_000),
        ("sort", 1_000_000, 0),
        ("index-add-source", 4_000_000, 0),
        ("at", 2_000_000, 0),
        ("with-gradients", 100_000, 0),
        ("names", 1000, 100_000),
        ("state-names", 2000, 100_000),
        ("matmul-integers", 1000, 1000),
    ] {
        reaches("host-elements", json!({ "how": how, "n": n, "m": m }), limits());
    }
}

#[test]
fn lists_and_views_of_any_length_are_refused_before_they_are_read() {
    reaches("handles", json!({ "how": "slices", "n": 1 << 29 }), Limits::default());
    reaches("rank", json!({ "how": "sum-dims", "n": 1_000_000 }), Limits::default());
    reaches("rank", json!({ "how": "reshape-list", "n": 1_000_000 }), Limits::default());
    reaches("list-elements", json!({ "how": "permutation", "n": 100_000_000 }), Limits::default());
}

#[test]
fn what_the_backward_pass_needs_is_counted() {
    let limits = || Limits { tensor_bytes: 16 << 20, ..Limits::default() };
    let hows = [
        "graph-sin",
        "graph-exp",
        "graph-times-constant",
        "graph-where",
        "graph-masked-fill",
        "graph-gather",
        "graph-sort",
        "graph-safe-sqrt",
        "graph-pow",
        "graph-matmul",
        "graph-softplus",
    ];
    for how in hows {
        reaches("tensor-bytes", json!({ "how": how, "n": 1000, "m": 100_000 }), limits());
        // A few of them are within it.
        attack(json!({ "how": how, "n": 2, "m": 100_000 }), limits()).unwrap();
    }
}

#[test]
fn memory_without_a_handle_is_counted() {
    let limits = || Limits { tensor_bytes: 16 << 20, handles: 10_000_000, ..Limits::default() };
    for how in ["tuples-hold", "pair-losses-hold", "views-hold", "detached-hold"] {
        reaches("tensor-bytes", json!({ "how": how, "n": 1000, "m": 100_000 }), limits());
    }
    reaches("tensor-bytes", json!({ "how": "slices-hold", "n": 1000, "m": 100_000 }), limits());
}

#[test]
fn a_metric_keeps_one_element_and_not_what_it_was_taken_from() {
    let mut slot =
        slot("lossmith-evil", Role::Loss, "attack", json!({ "how": "metrics-hold", "n": 20, "m": 1000 }), setting());
    drop(slot.loss(batch(6, 4, Kind::Double), &epoch(0)).unwrap());
    let metrics = slot.take_report().metrics;
    assert_eq!(metrics.len(), 20);
    for (_, metric) in metrics {
        let lossmith_plugin::Metric::Tensor(metric) = metric else { unreachable!("a number") };
        // A view of the same memory with more elements than it has is refused.
        assert!(metric.f_as_strided([2], [1], None::<i64>).is_err(), "it has the memory of more elements");
    }
}

#[test]
fn who_made_too_many_tuples_or_a_huge_threshold_is_blamed() {
    let mine = |how: &str, n: i64| {
        let mut slot = slot("lossmith-evil", Role::Miner, "attack", json!({ "how": how, "n": n }), setting());
        slot.mine(batch(12, 4, Kind::Double), &epoch(0)).map(drop).map_err(|error| *error.cause)
    };
    mine("triplets", 1 << 20).unwrap();
    mine("pairs", 1 << 20).unwrap();
    let found = mine("triplets", (1 << 20) + 1);
    assert!(
        matches!(found, Err(Cause::Result(ResultFault::Tuples { found: 1_048_577, different: 1728, .. }))),
        "{found:?}"
    );
    assert!(matches!(mine("pairs", (1 << 20) + 1), Err(Cause::Result(ResultFault::Tuples { different: 144, .. }))));
    assert!(matches!(mine("triplets", 100_000_000), Err(Cause::Limit { limit: "tuples", .. })));

    let threshold = |value: f64| {
        let mut slot = slot("lossmith-evil", Role::Schedule, "attack", json!({ "value": value }), setting());
        slot.thresholds(batch(12, 4, Kind::Double), &epoch(0)).map(drop).map_err(|error| *error.cause)
    };
    threshold(2.0).unwrap();
    for value in [1e308, -1e308, 1e38] {
        assert!(matches!(threshold(value), Err(Cause::Result(ResultFault::Threshold(found))) if found == value));
    }
}

#[test]
fn a_fusion_has_one_shape_and_a_way_back_in_every_call() {
    let fuse = |how: &str, sizes: &[i64], step: u64| {
        let params = json!({ "how": how, "n": 200_000 });
        let mut slot = slot("lossmith-evil", Role::Fusion, "attack", params, setting());
        for (size, step) in sizes.iter().zip(step..) {
            let input = Input { labels: None, ..batch(*size, 6, Kind::Double) };
            slot.fuse(input, &Progress { step, ..epoch(0) }).map(drop).map_err(|error| *error.cause)?;
        }
        Ok(())
    };
    fuse("", &[12, 11, 1], 0).unwrap();
    assert!(matches!(fuse("wide", &[12], 0), Err(Cause::Limit { limit: "fused-columns", wanted: Some(200_000), .. })));
    assert!(matches!(fuse("zero", &[12], 0), Err(Cause::Result(ResultFault::Shape { .. }))));
    for (how, sizes) in [("by-size", [12, 11]), ("by-step", [12, 12])] {
        let found = fuse(how, &sizes, 0);
        assert!(matches!(found, Err(Cause::Result(ResultFault::Columns { .. }))), "{how}: {found:?}");
    }
    for how in ["detach", "constant"] {
        let found = fuse(how, &[12], 0);
        assert!(matches!(found, Err(Cause::Result(ResultFault::NoGradient))), "{how}: {found:?}");
    }
    // At an evaluation there is no gradient.
    tch::no_grad(|| {
        let params = json!({ "how": "" });
        let mut slot = slot("lossmith-evil", Role::Fusion, "attack", params, setting());
        let input = batch(12, 6, Kind::Double);
        let embeddings = input.embeddings.as_ref().map(|x| x.detach());
        drop(slot.fuse(Input { embeddings, labels: None, ..input }, &epoch(0)).unwrap());
    });
}

#[test]
fn transfers_and_balances_that_attack_end_as_their_own_faults() {
    let transfer = |how: &str| {
        let mut slot = slot("lossmith-evil", Role::Transfer, "attack", json!({ "how": how }), setting());
        slot.transfer(batch(6, 4, Kind::Double), &epoch(0)).map_err(|error| *error.cause)
    };
    let found = transfer("part-integer").map(drop);
    let Err(Cause::Operation { operation: "pair-losses.add-part", message, .. }) = &found else { panic!("{found:?}") };
    assert!(message.contains("float"), "{message}");
    let balance = |how: &str| {
        let pairs = transfer("").unwrap();
        let mut slot = slot("lossmith-evil", Role::Balance, "attack", json!({ "how": how }), setting());
        slot.balance(pairs, batch(6, 4, Kind::Double), &epoch(0)).map(drop).map_err(|error| *error.cause)
    };
    balance("").unwrap();
    for how in ["nan", "infinity", "huge", "by-value"] {
        let found = balance(how);
        let infinite = matches!(found, Err(Cause::Result(ResultFault::NotFinite(_))));
        assert!(infinite || how == "huge" && found.is_ok(), "{how}: {found:?}");
    }
    assert!(matches!(balance("detach"), Err(Cause::Result(ResultFault::NoGradient))));
    assert!(matches!(balance("shape"), Err(Cause::Result(ResultFault::NotScalar(_)))));
}
