//! Going back by a command: to the revision before, and to its weights.

use std::fs;

use safetensors::SafeTensors;
use serde_json::{Value, json};

use super::driver::{Live, journal};
use crate::support::{Lab, MINED_TRIPLETS, Run};

#[test]
fn a_gradient_against_the_one_that_is_live_is_a_warning() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &[]);
    let said = live.session("set", &["objective.0.weight=2"]).ok();
    assert!(!said.contains("warning"), "{said}");
    let said = live.session("set", &["objective.0.weight=-1"]).ok();
    let revert = format!("session revert runs/{}", live.run.folder());
    for words in ["points against the one that is live (cosine -1.000)", revert.as_str(), "`--weights`"] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    let warned = live.event("line");
    assert!(warned["text"].as_str().unwrap().contains("points against"), "{warned}");
    live.stop_and_replay();
}

#[test]
fn the_weights_before_a_revision_are_kept_and_come_back() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &["run.keep=1"]);
    live.session("revert", &["--weights"]).fails(4, &["the run trains with what it began with"]);
    live.session("set", &["objective.0.weight=-1"]).ok();
    let swap = live.event("swap");
    for _ in 0..4 {
        live.event("epoch");
    }
    let epoch = swap["epoch"].as_u64().unwrap();
    let said = live.session("revert", &["--weights"]).ok();
    assert!(said.contains(&format!("back after epoch {epoch} with revision 0")), "{said}");
    let rollback = live.event("rollback");
    assert_eq!((&rollback["step"], &rollback["to"]), (&swap["step"], &json!(0)), "{rollback}");
    assert!(rollback["failed_at"].as_u64() > swap["step"].as_u64(), "{rollback}");
    let run = live.stop_and_replay();
    // Its numbers are those of a run in which nothing was edited.
    let epochs = run.rows("epoch").len();
    let sets = ["evaluation.test=false", "evaluation.every=1000000", "name=clean"];
    let clean = lab.train(&[&sets[..], &[&format!("epochs={epochs}")]].concat());
    assert_eq!(run.rows("epoch"), clean.rows("epoch"));
    assert!(epochs as u64 > epoch);
    // It goes on from there.
    let mut live = Live::resume(&lab, &run);
    live.event("epoch");
    live.stop_and_replay();
}

#[test]
fn a_paused_training_goes_back_at_once_and_waits() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &[]);
    live.session("set", &["objective.0.weight=0.5"]).ok();
    let swap = live.event("swap");
    live.event("epoch");
    live.pause_inside();
    live.session("revert", &["--weights"]).ok();
    let status = live.status();
    assert_eq!((&status["step"], &status["paused"], &status["revision"]), (&swap["step"], &json!(true), &json!(0)));
    live.go_on();
    live.stop_and_replay();
}

/// The epochs that were complete in a checkpoint.
fn epoch_of(run: &Run, name: &str) -> u64 {
    let bytes = fs::read(run.path.join("checkpoints").join(name).with_extension("safetensors")).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let text = &header.metadata().as_ref().unwrap()["lossmith"];
    serde_json::from_str::<Value>(text).unwrap()["epoch"].as_u64().unwrap()
}

#[test]
fn the_best_checkpoint_is_not_one_of_the_epochs_that_are_undone() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &["evaluation.every=1", "evaluation.test=false"]);
    let epoch = live.session("set", &["objective.0.loss.params.margin=0.3"]).ok();
    assert!(epoch.contains("accepted"), "{epoch}");
    let swap = live.event("swap")["epoch"].as_u64().unwrap();
    let best = |live: &mut Live<'_>| loop {
        if live.event("epoch")["best"] == true {
            return;
        }
    };
    best(&mut live);
    live.pause();
    assert!(epoch_of(&live.run, "best") > swap);
    live.session("revert", &["--weights"]).ok();
    let kept = live.run.files("checkpoints");
    if kept.contains(&"best.safetensors".to_owned()) {
        assert!(epoch_of(&live.run, "best") <= swap);
    }
    assert!(kept.iter().all(|file| !file.starts_with("epoch-") || *file <= format!("epoch-{swap:04}.safetensors")));
    live.go_on();
    best(&mut live);
    live.stop_and_replay();
}

#[test]
fn a_run_that_ends_keeps_no_way_back() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &["run.keep=1", "evaluation.test=false"]);
    live.session("set", &["objective.0.weight=0.5"]).ok();
    let swap = live.event("swap")["epoch"].as_u64().unwrap();
    live.event("epoch");
    live.event("epoch");
    live.pause();
    let epochs = live.status()["epoch"].as_u64().unwrap() + 4;
    live.session("set", &[&format!("epochs={epochs}")]).ok();
    let way_back = format!("epoch-{swap:04}.safetensors");
    assert!(live.run.files("checkpoints").contains(&way_back));
    live.go_on();
    let (outcome, run) = live.finish();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let kept: Vec<_> = run.files("checkpoints").into_iter().filter(|file| file.starts_with("epoch-")).collect();
    assert_eq!(kept, [format!("epoch-{epochs:04}.safetensors")]);
}

#[test]
fn a_revert_says_which_values_a_file_still_has() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &[]);
    live.swap("margin = 0.2", "margin = 0.5");
    let left = ["files still have what was reverted", "objective.0.loss.params.margin = 0.5 in", "experiment.toml"];
    let said = live.session("revert", &[]).ok();
    assert!(left.iter().all(|words| said.contains(words)), "{said}");
    live.event("swap");
    live.event("epoch");
    let said = live.session("revert", &["--weights"]).ok();
    assert!(!said.contains("still have"), "the file fits revision 1: {said}");
    let run = live.stop_and_replay();
    assert_eq!(journal(&run, "rollback").len(), 1);
    let report = lab.lossmith(&["runs", "show", run.name()]).ok();
    assert!(report.contains("objective.0.loss.params.margin: 0.2 -> 0.5"), "{report}");
}
