//! What behaves in its first steps and fails later.

use std::fs;

use serde_json::{Value, json};

use super::driver::{Live, component, journal};
use crate::support::{Lab, Run};

/// A loss that behaves up to a step. A component of the test's own.
const LATER: &str = r#"
[[objective]]
loss = { plugin = "proxies", strategy = "proxy-anchor" }

[[objective]]
loss = { plugin = "live.wasm", strategy = "evil-later", params = { how = "", after = 0 } }

# One that is to fail asks for the step and is no program, the others are: they have the same bits so.
[limits]
fuse = false
"#;

const BEHAVED: &str = "how = \"\", after = 0";

fn later() -> Lab {
    let lab = Lab::new(LATER);
    component(&lab, "live.wasm", "evil", 0);
    lab
}

fn fails_at(how: &str, step: u64) -> String {
    format!("how = \"{how}\", after = {step}")
}

/// The next rollback goes from a step to the start of its epoch, and to a revision.
#[track_caller]
fn back(live: &mut Live<'_>, failed_at: u64, to: u64) {
    let steps = live.ready["steps"].as_u64().unwrap();
    let rollback = live.event("rollback");
    let said = ["failed_at", "step", "epoch", "to"].map(|key| rollback[key].as_u64().unwrap());
    let epoch = failed_at / steps;
    assert_eq!(said, [failed_at, epoch * steps, epoch, to], "{rollback}");
}

/// An edit that is accepted while the training is paused, and taken.
#[track_caller]
fn take(live: &mut Live<'_>, from: &str, to: &str) -> u64 {
    let verdict = live.edit(from, to);
    assert_eq!(verdict["verdict"], "accepted", "{verdict}");
    live.go_on();
    live.event("swap")["revision"].as_u64().unwrap()
}

#[track_caller]
fn refused(verdict: &Value, reason: &str) {
    let text = verdict["reason"].as_str();
    assert!(verdict["verdict"] == "refused" && text.is_some_and(|text| text.contains(reason)), "{verdict}");
}

/// The epochs are those of a run in which nothing was edited.
#[track_caller]
fn as_never_edited(run: &Run) {
    let lab = later();
    let epochs = format!("epochs={}", run.rows("epoch").len());
    let clean = lab.train(&[&epochs, "evaluation.test=false", "evaluation.every=1000000"]);
    assert_eq!(run.rows("epoch"), clean.rows("epoch"));
}

#[test]
fn a_late_fault_leads_back_to_the_start_of_its_epoch() {
    let lab = later();
    let mut live = Live::start(&lab, &["session.probation-steps=2"]);
    for (how, good) in [("panic", 14), ("nan", 50), ("no-gradient", 17), ("error", 12)] {
        let next = live.hold();
        let edit = fails_at(how, next + good);
        take(&mut live, BEHAVED, &edit);
        back(&mut live, next + good, 0);
        lab.replace(&edit, BEHAVED);
        assert_eq!(live.verdict()["verdict"], "same", "{how}");
    }
    let run = live.stop_and_replay();
    assert_eq!(journal(&run, "rollback").len(), 4);
    as_never_edited(&run);
}

#[test]
fn where_a_late_fault_is_to_end_the_run_it_does() {
    let lab = later();
    let mut live = Live::start(&lab, &["session.probation-steps=2", "session.on-fault=abort"]);
    // The first steps lead back all the same.
    let next = live.hold();
    let first = fails_at("nan", next + 1);
    take(&mut live, BEHAVED, &first);
    back(&mut live, next + 1, 0);
    let next = live.hold();
    let second = fails_at("nan", next + 9);
    let revision = take(&mut live, &first, &second);
    let (outcome, run) = live.finish();
    outcome.fails(4, &["NaN"]);
    assert_eq!(run.events().last().unwrap(), "failed");
    let steps = run.rows("step");
    assert_eq!(steps.len() as u64, next + 9);
    assert!(run.files("checkpoints").contains(&"interrupted.safetensors".to_owned()));
    // It goes on with what was live, and fails as before.
    lab.lossmith(&["train", "--resume", run.name()]).fails(4, &["NaN"]);
    assert_eq!(run.rows("step"), steps);
    assert_eq!(journal(&run, "rollback").len(), 1);
    let kept = format!("revisions/{revision:04}/experiment.toml");
    assert!(run.text(&kept).contains("how = \"nan\""));
}

#[test]
fn what_the_run_began_with_ends_it() {
    let lab = later();
    lab.replace(BEHAVED, &fails_at("nan", 20));
    let (outcome, run) = Live::start(&lab, &[]).finish();
    outcome.fails(4, &["NaN"]);
    assert_eq!((run.rows("step").len(), run.events().last().unwrap().as_str()), (20, "failed"));
    assert!(journal(&run, "rollback").is_empty());
}

#[test]
fn a_loss_that_grows_too_much_leads_back() {
    let lab = later();
    let mut live = Live::start(&lab, &["session.divergence=2"]);
    // The bound is a multiple of the first step's loss: another scale is no divergence.
    let next = live.hold();
    take(
        &mut live,
        "[[objective]]\nloss = { plugin = \"live",
        "[[objective]]\nweight = 1000\nloss = { plugin = \"live",
    );
    live.beyond(next + 6);
    assert_eq!(live.status()["revision"], 1);
    let next = live.hold();
    take(&mut live, "learning-rate = 0.003", "learning-rate = 30.0");
    let rollback = live.event("rollback");
    assert_eq!((&rollback["step"], &rollback["to"]), (&json!(next), &json!(1)), "{rollback}");
    assert!(rollback["reason"].as_str().unwrap().contains("above the bound"), "{rollback}");
    live.event("epoch");
    live.stop_and_replay();
}

#[test]
fn a_chain_of_faults_leads_back_to_the_beginning() {
    let lab = later();
    let mut live = Live::start(&lab, &["session.probation-steps=2"]);
    // The first revision may fail before the second is there, on a machine that is slow enough.
    let (first, revision, edit, next) = loop {
        let next = live.hold();
        let first = next + 40 * 6 + 3;
        let edit = fails_at("nan", first);
        let revision = take(&mut live, BEHAVED, &edit);
        let next = live.hold();
        if next + 12 < first {
            break (first, revision, edit, next);
        }
        live.go_on();
        back(&mut live, first, 0);
        lab.replace(&edit, BEHAVED);
        live.verdict();
    };
    let second = fails_at("error", next + 9);
    take(&mut live, &edit, &second);
    back(&mut live, next + 9, revision);
    back(&mut live, first, 0);
    // The file still has what failed.
    lab.replace("seed = 1", "seed = 1 # touched");
    refused(&live.verdict(), "these parameters were rolled back before");
    refused(&live.edit(&second, &edit), "these parameters were rolled back before");
    assert_eq!(live.status()["revision"], 0);
    let run = live.stop_and_replay();
    as_never_edited(&run);
}

#[test]
fn a_component_that_was_rolled_back_is_not_taken_again() {
    let lab = later();
    let mut live = Live::start(&lab, &["session.probation-steps=2"]);
    let next = live.hold();
    component(&lab, "live.wasm", "evil", 1);
    assert_eq!(live.verdict()["verdict"], "accepted");
    let edit = fails_at("nan", next + 8);
    take(&mut live, BEHAVED, &edit);
    back(&mut live, next + 8, 0);

    let reason = "the component of objective.1.loss (";
    let bytes = fs::read(lab.path("live.wasm")).unwrap();
    fs::write(lab.path("live.wasm"), bytes).unwrap();
    refused(&live.verdict(), reason);
    refused(&live.edit(&edit, BEHAVED), reason);
    refused(&live.edit("learning-rate = 0.003", "learning-rate = 0.004"), "was rolled back before");
    // Another process knows it, too.
    live.event("epoch");
    live.command_done("stop");
    let (_, run) = live.finish();
    let mut live = Live::resume(&lab, &run);
    refused(&live.verdict(), reason);

    component(&lab, "live.wasm", "evil", 2);
    let verdict = live.verdict();
    assert_eq!(verdict["verdict"], "accepted", "{verdict}");
    assert_eq!(live.event("swap")["changes"][0]["key"], "optimizer.learning-rate");
    let run = live.stop_and_replay();
    assert_eq!(journal(&run, "rollback")[0]["quarantined"].as_array().unwrap().len(), 1);
}

#[test]
fn a_set_that_failed_is_forgotten() {
    let lab = later();
    let mut live = Live::unwatched(&lab, &["session.probation-steps=2"]);
    live.session("set", &["objective.0.weight=2"]).ok();
    let revision = live.event("swap")["revision"].as_u64().unwrap();
    let next = live.hold();
    let after = format!("objective.1.loss.params.after={}", next + 10);
    let sets = ["objective.1.loss.params.how=error", after.as_str()];
    live.session("set", &sets).ok();
    live.go_on();
    live.event("swap");
    back(&mut live, next + 10, revision);
    live.session("set", &sets).fails(4, &["these parameters were rolled back before"]);
    live.session("set", &["objective.1.weight=3"]).ok();
    let swap = live.event("swap");
    assert_eq!(swap["changes"], json!([{ "key": "objective.1.weight", "from": 1.0, "to": 3.0 }]));
    live.event("epoch");
    live.stop_and_replay();
}
