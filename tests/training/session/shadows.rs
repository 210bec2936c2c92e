//! Candidates that are computed beside what is live.

use std::fs;

use serde_json::{Value, json};

use super::driver::{Live, journal};
use crate::support::{Lab, MINED_TRIPLETS, Run, tensors};

/// Much of the time is for shadows.
const SHARE: &str = "session.shadow-share=0.9";

/// A shadow beside the mined triplets.
fn shadow(name: &str, objective: &str) -> String {
    format!("\n[[shadow]]\nname = \"{name}\"\nreplaces = 0\nobjective = {{ {objective} }}\n")
}

fn same(name: &str) -> String {
    let loss = r#"loss = { plugin = "losses", strategy = "triplet", params = { margin = 0.2 } }"#;
    shadow(name, &format!("{loss}, miner = {{ plugin = \"miners\", strategy = \"batch-hard\" }}"))
}

fn proxies(name: &str) -> String {
    shadow(name, r#"loss = { plugin = "proxies", strategy = "proxy-anchor" }"#)
}

fn evil(name: &str, how: &str) -> String {
    shadow(name, &format!("loss = {{ plugin = \"evil\", strategy = \"evil-later\", params = {{ how = \"{how}\" }} }}"))
}

/// The shadow's keeping in a checkpoint.
fn proxies_of(name: &str, place: usize) -> String {
    format!("shadow/{name}/plugin/shadow.{place}.objective.loss/parameter/proxies")
}

/// Waits until a shadow was computed in so many steps. How often it is depends on the machine.
#[track_caller]
fn computed(live: &mut Live<'_>, name: &str, steps: usize) {
    while live.run.values("step", &format!("shadow.{name}/loss")).len() < steps {
        live.event("epoch");
    }
}

/// Stops after the epoch at work; returns the number of epochs that are complete.
#[track_caller]
fn stop(mut live: Live<'_>) -> (u64, Run) {
    live.event("epoch");
    live.command_done("stop");
    let (outcome, run) = live.finish();
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
    (run.rows("epoch").len() as u64, run)
}

/// The rows of a kind without what shadows wrote.
fn own(run: &Run, kind: &str) -> Vec<Value> {
    let mut rows = run.rows(kind);
    for row in &mut rows {
        row["values"].as_object_mut().unwrap().retain(|name, _| !name.starts_with("shadow."));
    }
    rows
}

/// A run has the numbers and tensors of one without shadows.
#[track_caller]
fn as_without_shadows(epochs: u64, run: &Run) {
    let lab = Lab::new(MINED_TRIPLETS);
    let clean = lab.train(&[&format!("epochs={epochs}"), "evaluation.test=false", "evaluation.every=1000000"]);
    assert_eq!(own(run, "epoch"), clean.rows("epoch"));
    let steps = clean.rows("step");
    assert_eq!(own(run, "step")[..steps.len()], steps[..]);
    let last = format!("epoch-{epochs:04}");
    let mut kept = run.checkpoint(&last);
    kept.retain(|name, _| !name.starts_with("shadow/"));
    assert!(kept == clean.checkpoint(&last));
}

#[test]
fn shadows_are_measured_and_trained_and_the_training_is_as_without_them() {
    let lab = Lab::new(&(MINED_TRIPLETS.to_owned() + &same("same") + &proxies("wider")));
    let mut live = Live::start(&lab, &[SHARE]);
    computed(&mut live, "same", 3);
    computed(&mut live, "wider", 3);
    live.pause();
    live.command_done("checkpoint");
    let newest = |run: &Run| run.files("checkpoints").into_iter().max().unwrap().replace(".safetensors", "");
    let trained = |run: &Run, file: &str| run.checkpoint(file)[&proxies_of("wider", 1)].clone();
    let (file, steps) = (newest(&live.run), live.run.values("step", "shadow.wider/loss").len());
    let before = trained(&live.run, &file);
    live.go_on();
    computed(&mut live, "wider", steps + 1);
    let (epochs, run) = stop(live);
    assert!(trained(&run, &newest(&run)) != before, "it has learned");
    as_without_shadows(epochs, &run);

    for row in run.rows("step").iter().map(|row| &row["values"]).filter(|values| !values["shadow.same/loss"].is_null())
    {
        assert_eq!(row["shadow.same/loss"], row["objective.0"], "{row}");
        let cosine = row["shadow.same/cosine"].as_f64().unwrap();
        assert!((cosine - 1.0).abs() < 1e-5, "{row}");
    }
    let cosines = run.values("step", "shadow.wider/cosine");
    assert!(cosines.iter().all(|cosine| cosine.abs() < 0.999), "{cosines:?}");
    assert!(run.values("step", "shadow.wider/gradient-norm").iter().all(|norm| *norm > 0.0));
    let said = lab.lossmith(&["--json", "replay", run.name()]).ok();
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!((&last["comparison"]["different"], &last["comparison"]["different-tensors"]), (&json!(0), &json!([])));
}

#[test]
fn a_shadow_that_fails_is_left_out_and_told_once() {
    let shadows = evil("panics", "panic") + &evil("is-nan", "nan") + &same("same");
    let lab = Lab::new(&(MINED_TRIPLETS.to_owned() + &shadows));
    let mut live = Live::unwatched(&lab, &[SHARE]);
    computed(&mut live, "same", 3);
    live.command_done("stop");
    let (outcome, run) = live.finish();
    let lines: Vec<Value> = outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // The first one is among those that were read before.
    assert!(lines.iter().all(|line| line["event"] != "line"), "{lines:?}");
    assert!(run.values("step", "shadow.panics/loss").is_empty());
    let epochs = run.rows("epoch").len() as u64;
    as_without_shadows(epochs, &run);

    let sets = ["--set", "epochs=2", "--set", SHARE, "--set", "name=text"];
    let said = lab.lossmith(&[&["train", "experiment.toml"], &sets[..]].concat()).ok();
    let warned: Vec<_> = said.lines().filter(|line| line.starts_with("shadow.panics")).collect();
    assert_eq!(warned.len(), 1, "{said}");
    assert!(warned[0].starts_with("shadow.panics warning: left out until it changes: "), "{said}");
    assert!(warned[0].contains("purpose"), "{said}");
}

#[test]
fn a_promoted_shadow_takes_the_place_with_what_it_has_learned() {
    let lab = Lab::new(&(MINED_TRIPLETS.to_owned() + &same("same") + &proxies("wider")));
    let mut live = Live::start(&lab, &[SHARE]);
    live.session("promote", &["widr"]).fails(4, &["there is no shadow `widr`", "did you mean `wider`?"]);
    live.session("promote", &["other"]).fails(4, &["there is no shadow `other`", "there are same, wider"]);
    computed(&mut live, "wider", 30);
    let step = live.pause_inside();
    live.command_done("checkpoint");
    let learned = tensors(&live.run.path.join("checkpoints/interrupted.safetensors"))[&proxies_of("wider", 1)].clone();
    let said = live.session("promote", &["wider"]).ok();
    assert!(said.contains("accepted") && said.contains("\"triplet\" -> \"proxy-anchor\""), "{said}");
    let next = live.hold();
    live.go_on();
    let swap = live.event("swap");
    assert_eq!(swap["step"], next, "{swap}");
    let revision = swap["revision"].as_u64().unwrap();
    let brought = tensors(&live.run.path.join(format!("revisions/{revision:04}/state.safetensors")));
    assert!(brought["objective.0.loss/parameter/proxies"] == learned);
    live.event("epoch");
    let run = live.stop_and_replay();

    let after = |row: &&Value| row["step"].as_u64().unwrap() > next;
    let rows = run.rows("step");
    let shadowed = run.values("step", "shadow.wider/loss");
    let first = rows.iter().find(after).unwrap()["values"]["objective.0"].as_f64().unwrap();
    // It goes on where the shadow was, not where it began.
    let (fresh, last) = (shadowed[0], *shadowed.last().unwrap());
    assert!((first - last).abs() < (first - fresh).abs(), "{first} {last} {fresh}; paused after {step}");
    for row in rows.iter().filter(after) {
        let names = row["values"].as_object().unwrap().keys();
        assert!(names.clone().all(|name| !name.starts_with("shadow.wider/")), "{row}");
    }
    assert!(!run.text(&format!("revisions/{revision:04}/experiment.toml")).contains("name = \"wider\""));
    let file = run.files("checkpoints").into_iter().rfind(|file| file.starts_with("epoch")).unwrap();
    let kept = run.checkpoint(file.trim_end_matches(".safetensors"));
    assert!(
        kept.contains_key("plugin/objective.0.loss/parameter/proxies") && !kept.contains_key(&proxies_of("wider", 1))
    );
    assert!(journal(&run, "rollback").is_empty());
}

const LATER: &str = r#"
[[objective]]
weight = 0.1
loss = { plugin = "evil", strategy = "evil-later", params = { how = "", after = 0 } }
"#;

#[test]
fn a_late_fault_leads_back_to_a_promoted_revision_as_it_is_by_then() {
    let lab = Lab::new(&(MINED_TRIPLETS.to_owned() + LATER + &proxies("wider")));
    let mut live = Live::unwatched(&lab, &[SHARE, "session.probation-steps=2"]);
    computed(&mut live, "wider", 1);
    live.session("promote", &["wider"]).ok();
    let promoted = live.event("swap")["revision"].clone();
    live.event("epoch");
    let next = live.hold();
    let after = format!("objective.1.loss.params.after={}", next + 9);
    live.session("set", &["objective.1.loss.params.how=error", &after]).ok();
    live.go_on();
    let rollback = live.event("rollback");
    assert_eq!((&rollback["to"], &rollback["step"]), (&promoted, &json!(next + 6)), "{rollback}");
    live.event("epoch");
    live.stop_and_replay();
}

#[test]
fn a_late_fault_leads_back_to_other_shadows() {
    let lab = Lab::new(&(MINED_TRIPLETS.to_owned() + LATER + &proxies("wider")));
    let mut live = Live::start(&lab, &[SHARE, "session.probation-steps=2"]);
    computed(&mut live, "wider", 1);
    let next = live.hold();
    assert_eq!(live.edit(&proxies("wider"), &(same("same") + &proxies("wider")))["verdict"], "accepted");
    let edit = format!("how = \"error\", after = {}", next + 63);
    assert_eq!(live.edit("how = \"\", after = 0", &edit)["verdict"], "accepted");
    live.go_on();
    live.event("swap");
    let rollback = live.event("rollback");
    assert_eq!((&rollback["to"], &rollback["step"]), (&json!(0), &json!(next + 60)), "{rollback}");
    live.event("epoch");
    live.stop_and_replay();
}

#[test]
fn a_shadow_that_stays_keeps_what_it_has_and_goes_on_after_a_stop() {
    let lab = Lab::new(&(MINED_TRIPLETS.to_owned() + &proxies("wider")));
    let mut live = Live::start(&lab, &[SHARE]);
    computed(&mut live, "wider", 3);
    live.swap("margin = 0.2", "margin = 0.5");
    // Another one comes; the first one keeps its place.
    live.pause();
    live.command_done("checkpoint");
    let text = fs::read_to_string(lab.path("experiment.toml")).unwrap();
    lab.write("experiment.toml", &(text + &same("same")));
    assert_eq!(live.verdict()["verdict"], "accepted");
    live.go_on();
    live.event("swap");
    computed(&mut live, "same", 1);
    let steps = live.run.values("step", "shadow.wider/loss").len();
    computed(&mut live, "wider", steps + 1);
    let losses = live.run.values("step", "shadow.wider/loss");
    assert!(losses[steps] < losses[0], "{losses:?}");
    live.command_done("stop");
    let (_, run) = live.finish();
    let file = run.files("checkpoints").into_iter().max().unwrap();
    let stopped = run.checkpoint(file.trim_end_matches(".safetensors"));
    let mut live = Live::resume(&lab, &run);
    computed(&mut live, "wider", losses.len() + 3);
    live.stop_and_replay();
    assert!(stopped.contains_key(&proxies_of("wider", 0)));
}

#[test]
fn shadows_keep_to_their_share_of_the_time() {
    let lab = Lab::new(&(MINED_TRIPLETS.to_owned() + &same("same")));
    let run = lab.train(&["epochs=30", "session.shadow-share=0.01", "evaluation.every=30", "evaluation.test=false"]);
    let (steps, shadowed) = (run.rows("step").len(), run.values("step", "shadow.same/loss").len());
    assert!(0 < shadowed && shadowed * 3 < steps, "{shadowed} of {steps}");
}

#[test]
fn mistakes_are_pointed_at_in_the_file() {
    let lab = Lab::new(MINED_TRIPLETS);
    let begun = fs::read_to_string(lab.path("experiment.toml")).unwrap();
    let twice = same("wider") + &same("wider");
    let far = same("wider").replace("replaces = 0", "replaces = 7");
    let both = shadow("wider", "weight = 2.0");
    for (shadows, message, at) in [
        (&twice, "two shadows are called `wider`", "name = \"wider\""),
        (&far, "there is no objective 7; the first is 0", "replaces = 7"),
        (&both, "an objective has either a `loss` or a `transfer`", "objective = "),
        (&same("a b"), "the name must be letters, digits", "name = \"a b\""),
        (&same("wider").replace("margin", "margn"), "did you mean `margin`", "margn"),
    ] {
        let text = format!("{begun}{shadows}");
        lab.write("experiment.toml", &text);
        let line = begun.lines().count() + shadows.lines().position(|line| line.contains(at)).unwrap() + 1;
        lab.try_train(&[]).fails(3, &[message, &format!("experiment.toml:{line}:")]);
    }
}
