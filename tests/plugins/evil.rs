//! A plugin that misbehaves: each misbehaviour ends its call with an exact cause, and touches nothing else.

mod costs;
mod harness;
mod names;

use std::sync::Arc;

use lossmith_plugin::{Cause, Limits, ResultFault, Role, Setting, SourceLine};
use serde_json::json;
use wasmtime::Trap;

use crate::fixture::{batch, epoch, setting, slot};
use harness::{Watched, misbehave};

const ALL: [Role; 6] = Role::ALL;

/// Asserts the cause of a misbehaviour in some roles.
macro_rules! ends_with {
    ($roles:expr, $how:expr, $pattern:pat $(if $guard:expr)?) => {
        for role in $roles {
            let cause = misbehave(role, $how);
            let expected = matches!(&cause, $pattern $(if $guard)?);
            assert!(expected, "{role}, {}: {}", $how, format!("{cause:?}").chars().take(500).collect::<String>());
        }
    };
}

/// Asserts the limit that a misbehaviour reaches in some roles.
fn reaches(limit: &str, roles: &[Role], misbehaviours: &[&str]) {
    for how in misbehaviours {
        ends_with!(roles.iter().copied(), how, Cause::Limit { limit: found, .. } if *found == limit);
    }
}

#[test]
fn time_and_memory_of_its_own_are_limited() {
    reaches("fuel", &ALL, &["spin"]);
    reaches("memory-bytes", &ALL, &["grow"]);
    ends_with!(ALL, "recurse", Cause::Trap { trap: Trap::StackOverflow, .. });
}

#[test]
fn what_it_keeps_at_the_host_is_limited() {
    reaches("tensor-bytes", &ALL, &["allocate"]);
    reaches("handles", &ALL, &["handles", "handles-dropped", "tuples"]);
    reaches("state-bytes", &ALL, &["state-buffer", "state-parameter"]);
    reaches("state-bytes", &ALL, &["state-replaced-buffer", "state-replaced-parameter"]);
    reaches("list-elements", &ALL, &["list", "list-in"]);
}

#[test]
fn what_it_says_is_limited() {
    reaches("log-bytes", &ALL, &["log", "log-lines", "log-nothing", "metric-names", "panic-long", "error-long"]);
    reaches("metrics", &ALL, &["metrics"]);
    ends_with!(ALL, "metric-elements", Cause::Operation { operation: "report.metric", .. });
}

#[test]
fn no_operation_makes_a_tensor_of_any_size() {
    let bombs = [
        "zeros",
        "zeros-overflow",
        "arange",
        "linspace",
        "eye",
        "random",
        "permutation",
        "broadcast",
        "where",
        "masked-fill",
        "masked-select",
        "expand",
        "expand-twice",
        "repeat",
        "one-hot",
        "bincount",
        "diag-embed",
        "cat",
        "stack",
        "outer-product",
        "batched-product",
        "distances",
        "batched-cosines",
        "index-select",
        "nonzero",
    ];
    reaches("tensor-elements", &[Role::Loss], &bombs);
    reaches("rank", &ALL, &["rank", "rank-by-unsqueeze"]);
    ends_with!([Role::Loss], "one-hot-by-value", Cause::Operation { operation: "one-hot", .. });
    ends_with!([Role::Loss], "bincount-by-value", Cause::Operation { operation: "bincount", .. });
    ends_with!([Role::Loss], "at", Cause::Operation { operation: "at", .. });
}

#[test]
fn work_of_the_host_is_limited() {
    reaches("host-elements", &ALL, &["matmul", "one-matmul", "reads", "copies", "gradients"]);
}

#[test]
fn handles_are_of_the_call_that_made_them() {
    ends_with!(ALL, "forged", Cause::Abi { .. });
    ends_with!(ALL, "dropped-twice", Cause::Abi { .. });
}

#[test]
fn a_kept_handle_costs_the_plugin_its_instance() {
    let watched = Watched::new();
    let mut slot = slot("lossmith-evil", Role::Loss, "keeps-handles", json!({}), setting());
    for call in 0..3 {
        drop(slot.loss(watched.input(), &epoch(call)).unwrap());
        let (_, metric) = slot.take_report().metrics.remove(0);
        assert!(matches!(metric, lossmith_plugin::Metric::Number(0.0)), "call {call}: {metric:?}");
    }
    watched.assert_freed();
}

#[test]
fn the_number_of_a_kept_handle_names_nothing() {
    // A program would run in place of the second call, without the plugin.
    let setting = Setting { limits: Arc::new(Limits { programs: 0, ..Limits::default() }), ..setting() };
    let mut slot = slot("lossmith-evil", Role::Loss, "keeps-handles", json!({ "how": "number" }), setting);
    let mut call = || slot.loss(batch(6, 4, tch::Kind::Double), &epoch(0)).map_err(|error| error.cause);
    assert!(call().is_ok());
    assert!(matches!(*call().unwrap_err(), Cause::Abi { .. }));
    // A new instance, which knows no number.
    assert!(call().is_ok());
}

#[test]
fn a_panic_shows_its_message_and_place() {
    let line = line_of("../guests/evil/src/common.rs", include_str!("../guests/evil/src/common.rs"), "panic!(\"on ");
    ends_with!(ALL, "panic", Cause::Panic { message, file, line: at }
        if message == "on \u{fffd}[31mpurpose\u{fffd}[0m" && file.ends_with("evil/src/common.rs") && *at == line);
    ends_with!(ALL, "divide", Cause::Panic { message, .. } if message.contains("divide by zero"));
}

#[test]
fn a_trap_names_the_function() {
    ends_with!(ALL, "unreachable", Cause::Trap { trap: Trap::UnreachableCodeReached, place: Some(place) }
        if place.function.contains("trap_without_a_word"));
}

#[test]
fn a_failed_operation_names_itself_the_shapes_and_the_line_of_the_plugin() {
    let text = include_str!("../guests/evil/src/common.rs");
    let line = line_of("common.rs", text, "// The line that the error names.");
    ends_with!(ALL, "shapes",
        Cause::Operation {
            operation: "add", shapes, message, place: Some(SourceLine { function, source: Some((file, at)) })
        }
        if shapes == "float [2, 3] and float [4]" && message.contains("size of tensor")
            && function.contains("add_what_does_not_fit") && file.ends_with("evil/src/common.rs") && *at == line);
}

#[test]
fn a_refusal_is_shown_without_control_characters() {
    ends_with!(ALL, "error", Cause::Refused(text) if text == "the \u{fffd}[31mtext\u{fffd}[0m of the error");
}

#[test]
fn state_cannot_be_bent() {
    ends_with!(ALL, "parameter-twice", Cause::Operation { operation: "state.add-parameter", .. });
    ends_with!(ALL, "buffer-shape", Cause::Operation { operation: "state.set-buffer", .. });
}

#[test]
fn a_parameter_is_read_as_it_was_described() {
    for (strategy, operation) in [("unknown-parameter", "params.text"), ("other-type", "params.number")] {
        let mut slot = slot("lossmith-evil", Role::Loss, strategy, json!({}), setting());
        for _ in 0..2 {
            let cause = slot.loss(batch(6, 4, tch::Kind::Double), &epoch(0)).unwrap_err().cause;
            assert!(
                matches!(&*cause, Cause::Operation { operation: found, .. } if *found == operation),
                "{strategy}: {cause:?}"
            );
        }
    }
}

#[test]
fn a_scalar_is_one_finite_float_with_gradient() {
    let both = [Role::Loss, Role::Balance];
    ends_with!(both, "matrix", Cause::Result(ResultFault::NotScalar(shape)) if shape.len() == 2);
    ends_with!(both, "empty", Cause::Result(ResultFault::NotScalar(shape)) if shape[0] == 0);
    ends_with!(both, "input", Cause::Result(ResultFault::NotScalar(_)));
    ends_with!([Role::Loss], "embeddings", Cause::Result(ResultFault::NotScalar(_)));
    ends_with!([Role::Balance], "pairs", Cause::Result(ResultFault::NotScalar(_)));
    ends_with!([Role::Loss], "labels", Cause::Result(ResultFault::Dtype { expected: "float", .. }));
    ends_with!(both, "nan", Cause::Result(ResultFault::NotFinite(value)) if value.is_nan());
    ends_with!(both, "infinity", Cause::Result(ResultFault::NotFinite(value)) if value.is_infinite());
    ends_with!(both, "no-gradient", Cause::Result(ResultFault::NoGradient));
    ends_with!(both, "constant", Cause::Result(ResultFault::NoGradient));
    ends_with!(both, "integer", Cause::Result(ResultFault::Dtype { found, expected: "float" }) if found == "integer");
    ends_with!(both, "boolean", Cause::Result(ResultFault::Dtype { found, expected: "float" }) if found == "boolean");
    ends_with!(both, "with-gradients-shape", Cause::Operation { operation: "with-gradients", .. });
    ends_with!(both, "with-gradients-nan", Cause::Result(ResultFault::NotFinite(value)) if value.is_nan());
}

#[test]
fn tuples_are_positions_in_the_batch() {
    let miner = [Role::Miner];
    let last = harness::SIZE - 1;
    ends_with!(miner, "outside", Cause::Result(ResultFault::OutsideBatch { low: 1, high, last: l })
        if *l == last && *high == last + 1);
    ends_with!(miner, "negative", Cause::Result(ResultFault::OutsideBatch { low: -1, high: 1, .. }));
    ends_with!(miner, "lengths", Cause::Operation { operation: "tuples.triplets", .. });
    ends_with!(miner, "lengths-of-pairs", Cause::Operation { operation: "tuples.pairs", .. });
    ends_with!(miner, "floats", Cause::Operation { operation: "tuples.triplets", .. });
    ends_with!(miner, "booleans", Cause::Operation { operation: "tuples.triplets", .. });
    ends_with!(miner, "matrix", Cause::Operation { operation: "tuples.triplets", .. });
}

#[test]
fn pair_losses_are_one_for_each_pair_with_a_positive_divisor() {
    let transfer = [Role::Transfer];
    for how in ["not-square", "vector", "larger"] {
        ends_with!(transfer, how, Cause::Result(ResultFault::Shape { what: "pair losses", .. }));
    }
    ends_with!(transfer, "divisor-zero", Cause::Result(ResultFault::Divisor(0.0)));
    ends_with!(transfer, "divisor-negative", Cause::Result(ResultFault::Divisor(-2.0)));
    ends_with!(transfer, "divisor-nan", Cause::Result(ResultFault::Divisor(_)));
    ends_with!(transfer, "divisor-infinite", Cause::Result(ResultFault::Divisor(_)));
    ends_with!(transfer, "no-gradient", Cause::Result(ResultFault::NoGradient));
    ends_with!(transfer, "integer", Cause::Result(ResultFault::Dtype { .. }));
    for (how, words) in [("part-shape", "has not the shape"), ("part-twice", "already"), ("parts", "at most 8 parts")] {
        ends_with!(transfer, how, Cause::Operation { operation: "pair-losses.add-part", message, .. }
            if message.contains(words));
    }
}

#[test]
fn thresholds_are_one_finite_number_for_each_slice() {
    let schedule = [Role::Schedule];
    let slices = harness::SLICES;
    for (how, count) in [("none", 0), ("too-few", slices - 1), ("too-many", slices + 1)] {
        ends_with!(schedule, how, Cause::Result(ResultFault::ThresholdCount { found, expected })
            if *found as i64 == count && *expected == slices);
    }
    ends_with!(schedule, "nan", Cause::Result(ResultFault::NotFinite(_)));
    ends_with!(schedule, "infinity", Cause::Result(ResultFault::NotFinite(_)));
}

#[test]
fn a_fusion_gives_one_finite_embedding_for_each_image_and_knows_no_labels() {
    let fusion = [Role::Fusion];
    for how in ["vector", "rows", "cube"] {
        ends_with!(fusion, how, Cause::Result(ResultFault::Shape { what: "a fused embedding", .. }));
    }
    ends_with!(fusion, "integer", Cause::Result(ResultFault::Dtype { .. }));
    ends_with!(fusion, "nan", Cause::Result(ResultFault::NotFinite(value)) if value.is_nan());
    ends_with!(fusion, "infinity", Cause::Result(ResultFault::NotFinite(value)) if value.is_infinite());
    ends_with!(fusion, "labels", Cause::Operation { operation: "batch.labels", .. });
}

/// The number of the one line that contains `mark`.
fn line_of(file: &str, text: &str, mark: &str) -> u32 {
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| line.contains(mark));
    let (number, _) = lines.next().unwrap_or_else(|| panic!("{file} has no line with {mark}"));
    assert!(lines.next().is_none(), "{file} has several lines with {mark}");
    number
}
