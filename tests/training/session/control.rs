//! `lossmith session` beside a training at work.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use serde_json::{Value, json};

use super::driver::{Live, journal};
use crate::support::{Lab, MINED_TRIPLETS};

const COMMANDS: [&[&str]; 8] = [
    &["status"],
    &["pause"],
    &["resume"],
    &["stop"],
    &["checkpoint"],
    &["revert"],
    &["set", "epochs=9"],
    &["promote", "wider"],
];

#[track_caller]
fn begins(text: &str, beginning: &str) {
    assert!(text.starts_with(beginning), "`{beginning}` does not begin: {text}");
}

#[test]
fn a_paused_training_waits_goes_on_and_stops() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &[]);
    let said = live.session("pause", &[]).ok();
    let status = live.status();
    let step = &status["step"];
    assert_eq!(said, format!("paused after step {step}\n"));
    assert_eq!((&status["paused"], &status["process"]), (&json!(true), &json!(live.id())));
    let text = live.session("status", &[]).ok();
    begins(&text, &format!("{}: paused in process {}\n", live.run.folder(), live.id()));
    for line in [&format!("; {step} steps in all\n"), "revision  0, what the run began with\n", "command: pause"] {
        assert!(text.contains(line), "{text}");
    }
    for slot in ["objective.0.loss   triplet (", "objective.0.miner  batch-hard ("] {
        assert!(text.contains(slot), "{text}");
    }
    // All that is complete is written down, and nothing comes to it.
    assert_eq!(live.run.rows("step").len() as u64, step.as_u64().unwrap());
    assert_eq!(live.status(), status);

    assert_eq!(live.session("resume", &[]).ok(), format!("goes on after step {step}\n"));
    live.beyond(step.as_u64().unwrap());
    begins(&live.session("status", &[]).ok(), &format!("{}: running in process", live.run.folder()));

    let (step, _) = live.pause();
    let said = live.session("stop", &[]).ok();
    begins(&said, &format!("stops after step {step}; `lossmith train --resume "));
    let (outcome, run) = live.finish();
    outcome.fails(130, &["its state is saved", "go on with `lossmith train --resume"]);
    assert_eq!(run.events().last().unwrap(), "interrupted");
    let stopped = run.rows("step").len();
    let live = Live::resume(&lab, &run);
    assert_eq!(live.ready["from-step"], stopped);
    live.stop_and_replay();
}

#[test]
fn answers_as_json_have_one_form() {
    let lab = Lab::new(MINED_TRIPLETS);
    let live = Live::start(&lab, &[]);
    let asked =
        |command: &str, rest: &[&str]| lab.lossmith(&[&["--json", "session", command, live.run.name()], rest].concat());
    for command in ["pause", "checkpoint", "resume"] {
        let answer = asked(command, &[]).json();
        assert!(answer["answer"] == "done" && answer["text"].is_string(), "{answer}");
    }
    let status = asked("status", &[]).json();
    assert_eq!((&status["answer"], &status["snapshot"]["run"]), (&json!("status"), &json!(live.run.folder())));
    let answer = asked("set", &["epochs=999999"]).json();
    assert_eq!(answer["answer"], "done", "{answer}");
    let outcome = asked("set", &["model.width=6"]);
    let answer: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let text = answer["text"].as_str().unwrap();
    assert!(answer["answer"] == "refused" && text.contains("it is the network that is being trained"), "{answer}");
    assert!(answer["help"].as_str().unwrap().contains("train --from"), "{answer}");
    outcome.fails(4, &[text]);
    assert_eq!(asked("stop", &[]).json()["answer"], "done");
    assert_eq!(live.finish().0.code, Some(130));
}

#[test]
fn what_cannot_be_done_is_refused_with_the_reason() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::unwatched(&lab, &[]);
    live.event("epoch");
    live.pause();
    for (set, phrases) in [
        ("model.width=6", &["model.width: 4 -> 6: this cannot change in a running training", "train --from"][..]),
        ("sampler.samples=5", &["the batches of the whole run are drawn from it"]),
        ("seed=2", &["every random number since the start came from it"]),
        ("optimizer.learning-rate=-1", &["optimizer.learning-rate"]),
        ("optimizer.learnin-rate=1", &["unknown key", "did you mean `learning-rate`"]),
        ("objective.0.loss.params.margin=wide", &["margin"]),
        ("objective.3.weight=2", &["there is no entry 3; there are 1"]),
        ("objective.0.loss.strategy=triple", &["did you mean `triplet`"]),
        ("epochs=1", &["is at work already", "session stop"]),
    ] {
        live.session("set", &[set]).fails(4, phrases);
    }
    // Of several sets in one command, all or none.
    live.session("set", &["objective.0.weight=2", "seed=2"]).fails(4, &["seed: 1 -> 2"]);
    live.session("set", &["margin"]).fails(2, &["expected KEY=VALUE"]);
    live.session("set", &[]).fails(2, &["KEY=VALUE"]);
    live.session("revert", &[]).fails(4, &["the run trains with what it began with"]);
    live.session("promote", &["wider"]).fails(4, &["there is no shadow `wider`"]);
    assert!(live.session("set", &["objective.0.weight=1.0"]).ok().contains("nothing changed"));
    live.go_on();
    let run = live.stop_and_replay();
    assert!(journal(&run, "swap").is_empty());
}

#[test]
fn a_mistake_in_the_file_is_not_blamed_on_what_is_set() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &[]);
    live.event("epoch");
    lab.replace("width = 4", "widht = 4");
    assert_eq!(live.verdict()["verdict"], "refused");
    let fault = ["the experiment file is at fault, not this command", "unknown key `model.widht`", "experiment.toml"];
    live.session("set", &["objective.0.weight=2"]).fails(4, &fault);
    assert_eq!(live.verdict()["verdict"], "refused");
    lab.replace("widht = 4", "width = 4");
    assert_eq!(live.verdict()["verdict"], "same");
    live.session("set", &["objective.0.weight=2"]).ok();
    live.session("set", &["objective.0.wieght=2"]).fails(4, &["unknown key `objective.0.wieght`"]);
    live.event("swap");
    live.stop_and_replay();
}

#[test]
fn without_a_training_at_work_the_way_on_is_told() {
    let lab = Lab::new(MINED_TRIPLETS);
    let finished = lab.train(&["epochs=1"]);
    let killed = Live::start(&lab, &["name=killed"]).kill();
    assert!(killed.path.join("control/socket").exists());
    for words in COMMANDS {
        let asked = |run: &str| lab.lossmith(&[&["session", words[0], run], &words[1..]].concat());
        asked(".").fails(1, &[". is not a run: it has no journal.jsonl", "runs list"]);
        asked("nowhere").fails(1, &["nowhere is not a run"]);
        for run in [&finished, &killed] {
            asked(run.name()).fails(1, &["no training is at work in", run.folder(), "lossmith train --resume"]);
        }
    }
    // What was left of the socket is in nobody's way.
    Live::resume(&lab, &killed).stop_and_replay();
}

#[test]
fn only_the_owner_can_enter_and_one_process_listens() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &[]);
    let folder = live.run.path.join("control");
    let mode = |path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(folder.clone()), mode(folder.join("socket"))), (0o700, 0o600));
    assert!(fs::symlink_metadata(folder.join("socket")).unwrap().file_type().is_socket());
    lab.lossmith(&["train", "--resume", live.run.name()]).fails(1, &["another process is training this run"]);
    live.event("epoch");
    live.session("stop", &[]).ok();
    let (outcome, run) = live.finish();
    assert_eq!(outcome.code, Some(130));
    assert!(run.files("control").is_empty());
}

#[test]
fn sets_stay_in_force_when_the_file_is_saved() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &[]);
    assert!(live.session("set", &["optimizer.learning-rate=0.001"]).ok().contains("accepted"));
    live.event("swap");
    live.session("set", &["objective.0.weight=2.5", "run.log-every=1"]).ok();
    let swap = live.event("swap");
    assert_eq!(swap["changes"].as_array().unwrap().len(), 1, "{swap}");
    let swap = live.swap("margin = 0.2", "margin = 0.5");
    assert_eq!(swap["changes"], json!([{ "key": "objective.0.loss.params.margin", "from": 0.2, "to": 0.5 }]));
    let file = live.run.text(&format!("revisions/{:04}/experiment.toml", swap["revision"].as_u64().unwrap()));
    for line in ["learning-rate = 0.001", "weight = 2.5", "margin = 0.5"] {
        assert!(file.contains(line), "{file}");
    }
    // Also in another process.
    live.event("epoch");
    live.command_done("stop");
    let (_, run) = live.finish();
    let mut live = Live::resume(&lab, &run);
    assert_eq!(live.verdict()["verdict"], "same");
    lab.replace("learning-rate = 0.003", "learning-rate = 0.004");
    assert_eq!(live.verdict()["verdict"], "same", "the set is in force");
    live.stop_and_replay();
}

#[test]
fn revert_goes_to_the_revision_before_at_the_next_epoch() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &[]);
    live.session("revert", &[]).fails(4, &["what it began with"]);
    live.swap("margin = 0.2", "margin = 0.5");
    live.session("set", &["objective.0.weight=3"]).ok();
    live.event("swap");
    let next = live.hold();
    let said = live.session("revert", &[]).ok();
    assert!(said.contains("accepted") && said.contains("objective.0.weight: 3.0 -> 1.0"), "{said}");
    live.go_on();
    let swap = live.event("swap");
    assert_eq!(swap["step"], next);
    assert_eq!(swap["changes"], json!([{ "key": "objective.0.weight", "from": 3.0, "to": 1.0 }]));
    // The file is as it was, so that it counts again when it is saved; what was taken back by `revert` does not.
    let swap = live.swap("margin = 0.5", "margin = 0.4");
    assert_eq!(swap["changes"], json!([{ "key": "objective.0.loss.params.margin", "from": 0.5, "to": 0.4 }]));
    let run = live.stop_and_replay();
    assert_eq!(journal(&run, "rollback").len(), 0);
}

#[test]
fn a_checkpoint_inside_an_epoch_is_one_to_go_on_from() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &[]);
    let step = live.pause_inside();
    let said = live.session("checkpoint", &[]).ok();
    begins(&said, &format!("checkpoint of step {step}: "));
    assert!(said.trim_end().ends_with("checkpoints/interrupted.safetensors"), "{said}");
    let run = live.kill();
    assert!(run.files("checkpoints").contains(&"interrupted.safetensors".to_owned()));
    let live = Live::resume(&lab, &run);
    assert_eq!(live.ready["from-step"], step);
    live.stop_and_replay();
}

#[test]
fn every_command_is_in_the_journal() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &[]);
    for command in ["pause", "checkpoint", "resume"] {
        live.session(command, &[]).ok();
    }
    live.session("set", &["objective.0.weight=3", "epochs=99999"]).ok();
    live.event("swap");
    live.session("promote", &["wider"]).fails(4, &["no shadow"]);
    live.session("revert", &[]).ok();
    live.event("swap");
    live.session("stop", &[]).ok();
    let (_, run) = live.finish();
    let words = |kind, key| journal(&run, kind).iter().map(|entry| entry[key].clone()).collect::<Vec<_>>();
    assert_eq!(words("control", "command"), ["pause", "checkpoint", "resume", "stop"]);
    assert_eq!(words("candidate", "origin"), ["set objective.0.weight=3 epochs=99999", "promote wider", "revert"]);
    assert_eq!(words("verdict", "verdict"), ["accepted", "refused", "accepted"]);
}

#[test]
fn a_refused_revert_is_in_the_journal() {
    let lab = Lab::new(MINED_TRIPLETS);
    let live = Live::start(&lab, &[]);
    live.session("revert", &[]).fails(4, &["what it began with"]);
    live.session("stop", &[]).ok();
    let (_, run) = live.finish();
    assert!(run.text("journal.jsonl").contains("revert"));
}

#[test]
fn a_stop_between_two_epochs_ends_there() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &[]);
    let step = live.pause_at_the_end();
    live.session("stop", &[]).ok();
    let (outcome, run) = live.finish();
    assert_eq!(outcome.code, Some(130));
    assert_eq!(run.rows("step").len() as u64, step);
}

#[test]
fn a_paused_training_tells_of_a_candidate() {
    let lab = Lab::new(MINED_TRIPLETS);
    let live = Live::unwatched(&lab, &[]);
    live.pause();
    live.session("set", &["objective.0.weight=3"]).ok();
    let status = live.status();
    assert!(status["candidate"].as_str().is_some_and(|candidate| candidate.contains("1 is accepted")), "{status}");
    live.kill();
}
