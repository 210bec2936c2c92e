//! The files that a network is made of, replaced between a training and its later use.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Lab, MINED_TRIPLETS, Outcome, Run};

/// A TorchScript module as the backbone; it takes small images of one channel.
const SCRIPT: [&str; 3] = ["model={backbone='torchscript',path='module.pt',embedding=8}", "data.size=8", "epochs=2"];

const OTHER_MODULE: [&str; 3] =
    ["`model.path` is not the file that the run was made with", "module.pt", "put the file of before back"];

fn module() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/model/testdata/script.pt")).unwrap()
}

fn manifest(run: &Run) -> Value {
    serde_json::from_str(&run.text("manifest.json")).unwrap()
}

/// Every command that uses the network of a run again.
fn used(lab: &Lab, run: &Run) -> Vec<Outcome> {
    let from = format!("{}@last", run.name());
    [
        vec!["eval", run.name()],
        vec!["embed", run.name(), "--output", "e.safetensors"],
        vec!["retrieve", run.name(), "--output", "r.png"],
        vec!["replay", run.name()],
        vec!["train", "--from", &from, "--set", "epochs=3"],
        vec!["train", "--resume", run.name(), "--set", "epochs=3", "--accept-changes"],
    ]
    .iter()
    .map(|arguments| lab.lossmith(arguments))
    .collect()
}

#[test]
fn another_module_is_refused_wherever_the_run_is_used_again() {
    let lab = Lab::new(MINED_TRIPLETS);
    fs::write(lab.path("module.pt"), module()).unwrap();
    let run = lab.train(&SCRIPT);
    let [file] = manifest(&run)["files"].as_array().unwrap().clone().try_into().unwrap();
    assert_eq!(file["key"], "model.path");
    assert_eq!(Path::new(file["path"].as_str().unwrap()), lab.path("module.pt"));
    let digest = file["digest"].as_str().unwrap();
    assert_eq!(digest.len(), 64);

    let (journal, runs) = (run.text("journal.jsonl"), lab.runs().len());
    fs::write(lab.path("module.pt"), "abc").unwrap();
    let now = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for outcome in used(&lab, &run) {
        outcome.fails(5, &[OTHER_MODULE.as_slice(), &[now, digest]].concat());
    }
    assert_eq!((run.text("journal.jsonl"), lab.runs().len()), (journal, runs));
    // A run of a version that kept no digests takes what is there, and says what is wrong with it.
    let without = run.text("manifest.json").replace("\"files\"", "\"nothing\"");
    let with = run.text("manifest.json");
    fs::write(run.path.join("manifest.json"), without).unwrap();
    lab.lossmith(&["eval", run.name()]).fails(3, &["module.pt is no TorchScript module"]);
    fs::write(run.path.join("manifest.json"), with).unwrap();

    fs::write(lab.path("module.pt"), module()).unwrap();
    for outcome in used(&lab, &run) {
        outcome.ok();
    }
}

#[test]
fn other_weights_are_refused_where_they_are_read_again() {
    let lab = Lab::new(MINED_TRIPLETS);
    let first = lab.train(&["epochs=2", "name=first", "run.keep=2"]);
    let epoch = |number: usize| first.path.join(format!("checkpoints/epoch-000{number}.safetensors"));
    fs::copy(epoch(1), lab.path("w.safetensors")).unwrap();
    let run = lab.train(&["epochs=1", "name=second", "model.weights=w.safetensors"]);
    assert_eq!(manifest(&run)["files"][0]["key"], "model.weights");
    let measured = lab.lossmith(&["--json", "eval", run.name()]).json();
    lab.lossmith(&["replay", run.name()]).ok();

    fs::copy(epoch(2), lab.path("w.safetensors")).unwrap();
    lab.lossmith(&["replay", run.name()])
        .fails(5, &["`model.weights` is not the file that the run was made with", "w.safetensors"]);
    // The checkpoint has the weights.
    assert_eq!(lab.lossmith(&["--json", "eval", run.name()]).json(), measured);
    fs::remove_dir_all(run.path.join("checkpoints")).unwrap();
    fs::create_dir(run.path.join("checkpoints")).unwrap();
    lab.lossmith(&["train", "--resume", run.name(), "--set", "epochs=2", "--accept-changes"])
        .fails(5, &["`model.weights` is not the file that the run was made with"]);
}
