//! The events as TensorBoard reads them.

use std::collections::BTreeMap;
use std::fs;

use prost::Message;

use super::driver::Live;
use crate::support::{Lab, PROXIES, Run, Running};

/// The fields of TensorFlow's `event.proto` that matter here.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session: Option<SessionLog>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// The scalars by name, in the order of reading: files by name, and a START of a session makes the reader forget what
/// it has of that step and later ones.
fn read(run: &Run) -> BTreeMap<String, Vec<(i64, f32)>> {
    let mut scalars: BTreeMap<String, Vec<(i64, f32)>> = BTreeMap::new();
    for file in run.files("").into_iter().filter(|name| name.contains("tfevents")) {
        let bytes = fs::read(run.path.join(file)).unwrap();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let event = Event::decode(&rest[12..12 + length]).unwrap();
            rest = &rest[16 + length..];
            if event.session.is_some_and(|session| session.status == 1) {
                scalars.values_mut().for_each(|values| values.retain(|(step, _)| *step < event.step));
            }
            for Value { tag, simple_value } in event.summary.unwrap_or_default().values {
                scalars.entry(tag).or_default().push((event.step, simple_value.unwrap()));
            }
        }
    }
    scalars
}

/// What is in the events is what is in `metrics.jsonl`.
#[track_caller]
fn same_as_metrics(run: &Run) {
    let scalars = read(run);
    let expected = run
        .rows("step")
        .into_iter()
        .map(|row| (row["step"].as_i64().unwrap(), row["values"]["loss"].as_f64().unwrap() as f32));
    assert_eq!(scalars["step/loss"], expected.collect::<Vec<_>>());
}

#[test]
fn steps_that_a_kill_undid_are_not_there_twice() {
    let lab = Lab::new(PROXIES);
    let mut running = Running::start(lab.command(&lab.training(&["epochs=12", "run.checkpoint-every=5"])));
    (0..7).for_each(|_| running.wait_for("epoch"));
    running.signal(libc::SIGKILL);
    running.finish();
    let run = lab.run("tiny");
    lab.lossmith(&["train", "--resume", run.name()]).ok();
    assert!(run.text("metrics.jsonl").contains("rewind"));
    same_as_metrics(&run);
}

#[test]
fn steps_that_a_rollback_undid_are_not_there_twice() {
    let lab = Lab::new(
        r#"
[[objective]]
loss = { plugin = "proxies", strategy = "proxy-anchor" }

[[objective]]
loss = { plugin = "evil", strategy = "evil-later", params = { how = "", after = 0 } }
"#,
    );
    let mut live = Live::start(&lab, &[]);
    let (_, next) = live.pause();
    live.edit("how = \"\", after = 0", &format!("how = \"nan\", after = {}", next + 3));
    live.go_on();
    live.event("rollback");
    live.event("epoch");
    live.command_done("stop");
    let (_, run) = live.finish();
    assert!(run.text("metrics.jsonl").contains("rewind"));
    same_as_metrics(&run);
}
