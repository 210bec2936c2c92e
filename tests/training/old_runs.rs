//! Runs and components of earlier versions, kept under `tests/data/old`: what could be done with them can still be
//! done.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Outcome, Run, lossmith};

/// The folder that the kept runs were trained in.
const TRAINED_IN: &str = "/old";

/// A copy of a version's folder, in a place of its own.
struct Old(TempDir);

impl Old {
    fn new(version: &str) -> Self {
        let old = Self(TempDir::new().unwrap());
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/old").join(version);
        copy(&kept, old.0.path(), old.0.path().to_str().unwrap());
        old
    }

    fn lossmith(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(&mut lossmith(self.0.path(), arguments))
    }

    fn run(&self, name: &str) -> Run {
        Run::at(self.0.path().join("runs").join(name))
    }
}

/// Copies a folder; texts name `place` instead of the folder that they were written in.
fn copy(from: &Path, to: &Path, place: &str) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let from = entry.unwrap().path();
        let to = to.join(from.file_name().unwrap());
        let is_text = from.extension().is_some_and(|ending| ["json", "toml"].iter().any(|text| ending == *text));
        if from.is_dir() {
            copy(&from, &to, place);
        } else if is_text {
            let text = fs::read_to_string(&from).unwrap();
            fs::write(&to, text.replace(&format!("\"{TRAINED_IN}/"), &format!("\"{place}/"))).unwrap();
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

fn swaps(run: &Run) -> Vec<Value> {
    let journal = run.lines("journal.jsonl");
    journal.into_iter().filter(|entry| entry["event"] == "swap").map(|entry| entry["step"].clone()).collect()
}

#[test]
fn a_run_of_0_1_0_goes_on_to_its_end() {
    let old = Old::new("0.1.0");
    let run = old.run("student");
    let before = run.values("step", "loss");
    old.lossmith(&["train", "--resume", run.name()]).ok();
    let events = run.events();
    assert_eq!(events.last().unwrap(), "finished", "{events:?}");
    assert_eq!(run.values("step", "loss")[..before.len()], before);
    assert_eq!(run.rows("epoch").last().unwrap()["epoch"], 60);
}

#[test]
fn a_run_of_0_1_0_is_shown_evaluated_and_embedded() {
    let old = Old::new("0.1.0");
    let (teacher, student) = (old.run("teacher"), old.run("student"));
    let shown = old.lossmith(&["runs", "show", student.name()]).ok();
    assert!(shown.contains("revision 1"), "{shown}");
    let measured = old.lossmith(&["--json", "eval", teacher.name()]).json();
    assert!(measured.to_string().contains("map-at-r"), "{measured}");
    old.lossmith(&["embed", teacher.name(), "--output", "e.safetensors"]).ok();
    assert!(old.0.path().join("e.safetensors").is_file());
}

#[test]
fn a_run_of_0_1_0_is_repeated_with_its_edit() {
    let old = Old::new("0.1.0");
    let run = old.run("student");
    // Numbers are equal to the last bit only on the machine that trained it; elsewhere the command says so by its exit
    // code.
    let outcome = old.lossmith(&["--json", "replay", run.name()]);
    let last: Value = serde_json::from_str(outcome.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "replay", "{outcome:?}");
    let repeated = Run::at(old.0.path().join(last["run"].as_str().unwrap()));
    assert_eq!(swaps(&repeated), swaps(&run));
    let (first, again) = (run.values("step", "loss")[0], repeated.values("step", "loss")[0]);
    assert!((first - again).abs() <= 1e-4 * first.abs(), "{first} and {again}");
}

#[test]
fn a_run_of_0_1_0_can_be_branched_from() {
    let old = Old::new("0.1.0");
    let run = old.run("student");
    let from = format!("{}@36", run.name());
    let lines = old.lossmith(&["--json", "train", "--from", &from, "--set", "epochs=38"]).ok();
    let ready: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let branch = Run::at(old.0.path().join(ready["run"].as_str().unwrap()));
    assert_eq!(branch.events().last().unwrap(), "finished");
}

#[test]
fn a_component_for_contract_0_1_3_works() {
    let old = Old::new("0.1.0");
    let told = old.lossmith(&["--json", "plugin", "inspect", "old-roles.wasm"]).json();
    assert_eq!(told["contract"], "0.1.3");
    old.lossmith(&["plugin", "check", "old-roles.wasm", "--strategy", "running-mean"]).ok();
}
