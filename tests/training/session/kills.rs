//! A death in the middle of a change.

use serde_json::{Value, json};

use super::driver::{Live, journal};
use crate::support::{Lab, PROXIES, Run};

/// A loss that behaves up to a step.
const LATER: &str = r#"
[[objective]]
loss = { plugin = "proxies", strategy = "proxy-anchor" }

[[objective]]
loss = { plugin = "evil", strategy = "evil-later", params = { how = "", after = 0 } }
"#;

const OLD: &str = "learning-rate = 0.003";
const NEW: &str = "learning-rate = 0.001";

/// The learning rates of the steps, each once.
fn rates(run: &Run) -> Vec<f64> {
    let mut rates = run.values("step", "learning-rate");
    rates.dedup();
    rates
}

/// Lets a run that was killed go on for some epochs without `--watch`, and repeats it.
#[track_caller]
fn goes_on(lab: &Lab, run: &Run) -> Run {
    let mut live = Live::resume_with(lab, run, &[]);
    live.event("epoch");
    live.event("epoch");
    live.stop_and_replay()
}

#[test]
fn a_death_while_a_candidate_is_checked_or_waits_costs_nothing() {
    for event in ["candidate", "verdict"] {
        let lab = Lab::new(PROXIES);
        let mut live = Live::start(&lab, &[]);
        // A paused training takes nothing.
        live.pause();
        lab.replace(OLD, NEW);
        live.event(event);
        let run = live.kill();
        assert!(journal(&run, "swap").is_empty());
        let run = goes_on(&lab, &run);
        assert_eq!(rates(&run), [0.003], "after {event}: what was not taken is not");
        // The edit is still in the file.
        let mut live = Live::resume(&lab, &run);
        let verdict = live.verdict();
        assert_eq!(verdict["verdict"], "accepted", "after {event}: {verdict}");
        live.event("swap");
        let run = live.stop_and_replay();
        assert_eq!(rates(&run), [0.003, 0.001], "after {event}");
    }
}

#[test]
fn a_death_at_a_swap_or_after_it_keeps_the_revision() {
    for (steps, watch) in [(0, false), (0, true), (1, false), (2, true)] {
        let lab = Lab::new(PROXIES);
        let mut live = Live::start(&lab, &["run.checkpoint-steps=2"]);
        let swap = live.swap(OLD, NEW);
        (0..steps).for_each(|_| drop(live.event("step")));
        let run = live.kill();
        let run = if watch {
            let mut live = Live::resume(&lab, &run);
            assert_eq!(live.verdict()["verdict"], "same");
            live.stop_and_replay()
        } else {
            goes_on(&lab, &run)
        };
        let swaps = journal(&run, "swap");
        assert_eq!((swaps.len(), &swaps[0]["step"]), (1, &swap["step"]));
        assert_eq!(rates(&run), [0.003, 0.001], "after {steps} steps");
        let late = |row: &&Value| row["step"].as_u64() > swap["step"].as_u64();
        let rows = run.rows("step");
        assert!(rows.iter().filter(late).all(|row| row["values"]["learning-rate"] == 0.001));
    }
}

#[test]
fn a_death_before_the_swaps_next_checkpoint_is_no_death_of_the_one_before() {
    let lab = Lab::new(PROXIES);
    // No checkpoint but the one that the swap makes for itself.
    let mut live = Live::start(&lab, &["run.checkpoint-every=1000000"]);
    live.event("epoch");
    let swap = live.swap(OLD, NEW);
    let run = live.kill();
    let epochs = swap["epoch"].as_u64().unwrap();
    assert!(run.files("checkpoints").contains(&format!("epoch-{epochs:04}.safetensors")));
    assert_eq!(rates(&goes_on(&lab, &run)), [0.003, 0.001]);
}

/// Swaps a fault in, and waits until it was rolled back.
#[track_caller]
fn rolled_back(live: &mut Live) -> Value {
    let (_, next) = live.pause();
    let verdict = live.edit("how = \"\", after = 0", &format!("how = \"nan\", after = {}", next + 2));
    assert_eq!(verdict["verdict"], "accepted", "{verdict}");
    live.go_on();
    live.event("rollback")
}

#[test]
fn a_death_after_a_rollback_does_not_bring_the_fault_back() {
    for steps in [0, 1, 9] {
        let lab = Lab::new(LATER);
        let mut live = Live::start(&lab, &[]);
        let rollback = rolled_back(&mut live);
        (0..steps).for_each(|_| drop(live.event("step")));
        let run = live.kill();
        let run = goes_on(&lab, &run);
        assert_eq!(journal(&run, "rollback").len(), 1, "after {steps} steps");
        // It is still in the file.
        let mut live = Live::resume(&lab, &run);
        let verdict = live.verdict();
        assert!(verdict["reason"].as_str().unwrap().contains("rolled back before"), "{verdict}");
        let run = live.stop_and_replay();
        assert_eq!((journal(&run, "rollback").len(), &rollback["to"]), (1, &json!(0)));
    }
}

#[test]
fn a_death_between_a_swap_and_its_fault_ends_in_the_rollback() {
    for on_fault in ["rollback", "abort"] {
        let lab = Lab::new(LATER);
        let mut live = Live::start(&lab, &["run.checkpoint-steps=1", &format!("session.on-fault={on_fault}")]);
        let (_, next) = live.pause();
        live.edit("how = \"\", after = 0", &format!("how = \"nan\", after = {}", next + 4));
        live.go_on();
        live.event("swap");
        let run = live.kill();
        let run = goes_on(&lab, &run);
        assert_eq!(journal(&run, "rollback").len(), 1, "{on_fault}");
    }
}

#[test]
fn a_death_in_the_first_steps_of_a_revision_does_not_end_its_probation() {
    for steps in [0, 1] {
        let lab = Lab::new(PROXIES);
        let sets = ["optimizer.name=sgd", "session.divergence=1.0", "run.checkpoint-steps=1", "model.width=16"];
        let mut live = Live::start(&lab, &sets);
        // Up instead of down: the loss grows from step to step.
        live.pause();
        lab.replace(OLD, "learning-rate = 0.03");
        assert_eq!(live.edit("weight = 0.5", "weight = -0.5")["verdict"], "accepted");
        live.go_on();
        live.event("swap");
        (0..steps).for_each(|_| drop(live.event("step")));
        let run = goes_on(&lab, &live.kill());
        assert_eq!(journal(&run, "rollback").len(), 1, "after {steps} steps");
    }
}

#[test]
fn an_edit_after_a_death_before_the_first_checkpoint_is_seen() {
    let lab = Lab::new(PROXIES);
    let mut live = Live::start(&lab, &["run.checkpoint-every=1000000"]);
    live.event("epoch");
    let run = live.kill();
    assert!(run.files("checkpoints").is_empty());
    lab.replace(OLD, NEW);
    let mut live = Live::resume(&lab, &run);
    assert_eq!(live.verdict()["verdict"], "accepted");
    live.event("swap");
    assert_eq!(rates(&live.stop_and_replay()), [0.003, 0.001]);
}

#[test]
fn a_checkpoint_by_command_is_good_to_go_on_from() {
    let lab = Lab::new(PROXIES);
    // Each epoch is one step.
    let mut live = Live::start(&lab, &["sampler.samples=24", "evaluation.every=1"]);
    for _ in 0..5 {
        live.pause();
        live.command_done("checkpoint");
        let run = live.kill();
        live = Live::resume_with(&lab, &run, &[]);
    }
    live.stop_and_replay();
}

/// What a revision resets, it resets when it takes over, and not when it comes back.
#[test]
fn a_late_rollback_to_a_revision_that_reset_something_is_repeated() {
    let lab = Lab::new(
        r#"
[[objective]]
loss = { plugin = "test-roles", strategy = "grown-proxies", params = { per-class = 1, migrate = false } }

[[objective]]
loss = { plugin = "evil", strategy = "evil-later", params = { how = "", after = 0 } }
"#,
    );
    let mut live = Live::start(&lab, &[]);
    live.swap("per-class = 1, migrate = false }", "per-class = 2, migrate = false }, reset = [\"proxies\", \"seen\"]");
    live.event("epoch");
    let (_, next) = live.pause();
    live.edit("how = \"\", after = 0", &format!("how = \"nan\", after = {}", next + 9));
    live.go_on();
    let rollback = live.event("rollback");
    assert_eq!((&rollback["step"], &rollback["to"]), (&json!(next + 6), &json!(1)), "{rollback}");
    live.stop_and_replay();
}
