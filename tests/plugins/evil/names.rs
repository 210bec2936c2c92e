//! Names that grow without end, and texts for a terminal.

use std::sync::Arc;

use lossmith_plugin::{Cause, Level, Limits, PluginError, Role, Setting};
use serde_json::{Value as Json, json};
use tch::Kind;

use crate::fixture::{batch, epoch, setting, slot};

/// How many calls end well, and how the next one ends.
fn calls(params: Json, limits: Limits) -> (u64, PluginError) {
    let setting = Setting { limits: Arc::new(limits), ..setting() };
    let mut slot = slot("lossmith-evil", Role::Loss, "names", params, setting);
    for call in 0..1000 {
        let progress = lossmith_plugin::Progress { step: call, ..epoch(0) };
        if let Err(error) = slot.loss(batch(6, 4, Kind::Double), &progress) {
            return (call, error);
        }
        slot.take_report();
    }
    panic!("nothing ends it");
}

fn ends(how: &str, n: i64, m: i64, limits: Limits, limit: &str, after: u64) {
    let (well, error) = calls(json!({ "how": how, "n": n, "m": m }), limits);
    let named = matches!(&*error.cause, Cause::Limit { limit: found, .. } if *found == limit);
    assert!(named && well == after, "{how}: {error} after {well} calls");
}

#[test]
fn names_of_metrics_are_limited_over_a_run() {
    ends("metrics", 20, 1, Limits { metric_names: 200, ..Limits::default() }, "metric-names", 10);
    ends("metrics", 200, 1, Limits::default(), "metric-names", 5);
}

#[test]
fn parameters_and_buffers_without_elements_count_too() {
    let few = || Limits { state_tensors: 30, ..Limits::default() };
    ends("buffers", 10, 1, few(), "state-tensors", 3);
    ends("parameters", 10, 1, few(), "state-tensors", 3);
    // Names of some 1000 bytes, of which 64 KiB have room for 65.
    ends("buffers", 1, 998, Limits { state_bytes: 1 << 16, ..Limits::default() }, "state-bytes", 65);
}

#[test]
fn a_buffer_that_is_set_again_counts_once() {
    let limits = Limits { state_tensors: 2, state_bytes: 200, ..Limits::default() };
    let setting = Setting { limits: Arc::new(limits), ..setting() };
    let params = json!({ "how": "again", "n": 100, "m": 100 });
    let mut slot = slot("lossmith-evil", Role::Loss, "names", params, setting);
    for _ in 0..3 {
        drop(slot.loss(batch(6, 4, Kind::Double), &epoch(0)).unwrap());
    }
}

#[test]
fn a_message_is_cut() {
    let (_, error) = calls(json!({ "how": "long", "n": 10_000 }), Limits::default());
    let text = error.to_string();
    assert!(text.contains("aaaa") && text.ends_with("..."), "{text}");
    assert!(text.chars().count() < 5000, "{} characters", text.len());
}

/// Whether no line but those between begins as one of ours, and nothing moves a cursor.
fn harmless(text: &str) {
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    assert!(!text.contains(['\u{202e}', '\u{200b}', '\u{2028}']), "{text:?}");
    assert!(!text.lines().any(|line| line.starts_with("epoch") || line.starts_with("error")), "{text:?}");
}

#[test]
fn log_lines_look_like_nothing_else() {
    let mut slot = slot("lossmith-evil", Role::Loss, "names", json!({ "how": "lines" }), setting());
    drop(slot.loss(batch(6, 4, Kind::Double), &epoch(0)).unwrap());
    let lines = slot.take_report().lines;
    let [(Level::Info, first), (Level::Warn, second)] = lines.as_slice() else { panic!("{lines:?}") };
    harmless(first);
    harmless(second);
    assert_eq!(first, "fine\n  | epoch 9/9  loss 0.0001  1.0 s  best so far\n  | run: /etc/passwd");
    assert!(second.contains("bidi \u{fffd}gnp.exe"), "{second}");
}

#[test]
fn faults_and_refusals_look_like_nothing_else() {
    for how in ["fault", "error"] {
        let (_, error) = calls(json!({ "how": how }), Limits::default());
        harmless(&error.to_string());
        harmless(&error.help().unwrap_or_default());
    }
}
