//! A run is a folder of plain files.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::support::{Lab, MINED_TRIPLETS};

fn hash(path: &Path) -> String {
    Sha256::digest(fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_run_has_every_file_with_its_content() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = lab.train(&[]);

    let manifest: serde_json::Value = serde_json::from_str(&run.text("manifest.json")).unwrap();
    assert_eq!((&manifest["seed"], &manifest["device"], &manifest["threads"]), (&1.into(), &"cpu".into(), &1.into()));
    let slots: Vec<_> = manifest["plugins"].as_array().unwrap().iter().map(|plugin| &plugin["slot"]).collect();
    assert_eq!(slots, ["objective.0.miner", "objective.0.loss"]);
    for plugin in manifest["plugins"].as_array().unwrap() {
        let kept = run.path.join("plugins").join(format!("{}.wasm", plugin["hash"].as_str().unwrap()));
        assert_eq!(hash(&kept), plugin["hash"].as_str().unwrap());
    }
    // The kept components are the built ones.
    let offered = lab.lossmith(&["--json", "plugin", "inspect", "losses"]).json();
    assert_eq!(manifest["plugins"][1]["hash"], offered["hash"]);
    assert_eq!(run.files("plugins").len(), 2);

    assert_eq!(run.events(), ["started", "checkpoint", "checkpoint", "finished"]);
    assert_eq!(run.files("checkpoints"), ["best.safetensors", "epoch-0001.safetensors", "epoch-0002.safetensors"]);

    // 10 classes x 24 images, 40 in a batch: 6 steps.
    assert_eq!(run.rows("step").len(), 12);
    assert_eq!(run.values("epoch", "loss").len(), 2);
    assert_eq!(run.values("evaluation", "validation/precision-at-1").len(), 2);
    assert_eq!(run.values("evaluation", "test/precision-at-1").len(), 1);

    let report = run.text("report.html");
    assert!(report.contains("batch-hard") && report.contains("triplet") && report.contains("\"title\":\"loss\""));
    let events = run.files("").into_iter().find(|name| name.contains("tfevents")).unwrap();
    let events = fs::read(run.path.join(events)).unwrap();
    for text in ["brain.Event:2", "step/loss", "evaluation/test/precision-at-1"] {
        assert!(events.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
}

#[test]
fn the_experiment_that_a_run_kept_trains_to_the_same_weights() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = lab.train(&["model.embedding=12"]);
    let kept = run.path.join("experiment.toml");
    let again = lab.run_of(&lab.lossmith(&["--json", "train", kept.to_str().unwrap()]).ok());
    assert!(run.checkpoint("epoch-0002") == again.checkpoint("epoch-0002"));
    assert_eq!(run.text("experiment.toml"), again.text("experiment.toml"));
}
