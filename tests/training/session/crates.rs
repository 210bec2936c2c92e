//! A plugin whose source is edited while it trains.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::driver::{Live, journal};
use crate::support::{Lab, MINED_TRIPLETS};

const CRATE: &str = r#"
[[objective]]
loss = { plugin = { crate = "spread" }, strategy = "spread" }
"#;

const FUSION: &str = "\n[fusion]\nplugin = { crate = \"training-only\" }\nstrategy = \"training-only\"\n";

/// It works on the batches of the training, which is what candidates are tried on.
const TRAINING_ONLY: &str = r#"//! A plugin.
use lossmith_sdk::prelude::*;

export! { fusions: [TrainingOnly] }

strategy! {
    /// The embedding as it is.
    pub struct TrainingOnly as "training-only" {}
}

impl Fusion for TrainingOnly {
    fn fuse(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        if batch.size() <= 40 { Ok(batch.embeddings()) } else { Err("this is no batch of the training".into()) }
    }
}
"#;

const SOURCE: &str = r#"//! A plugin.
use lossmith_sdk::prelude::*;

export! { losses: [Spread] }

strategy! {
    /// Mean cosine of all pairs.
    pub struct Spread as "spread" {
        /// What the mean is multiplied by.
        scale: f64 = 1.0, range 0.0..;
    }
}

impl Loss for Spread {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let embeddings = batch.embeddings();
        Ok(embeddings.cosine_matrix(&embeddings).mean(ALL) * self.scale)
    }
}
"#;

/// Makes a crate in the lab and builds it.
fn add_crate(lab: &Lab, name: &str, source: &str) {
    add_crate_with(lab, name, source, "");
}

/// As [`add_crate`], with more dependencies.
fn add_crate_with(lab: &Lab, name: &str, source: &str, dependencies: &str) {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/sdk").canonicalize().unwrap();
    fs::create_dir_all(lab.path(name).join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\nlossmith-sdk = {{ path = {sdk:?} }}\n{dependencies}"
    );
    lab.write(&format!("{name}/Cargo.toml"), &manifest);
    lab.write(&format!("{name}/src/lib.rs"), source);
    // The SDK is built once for all runs of the tests.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("session-crates");
    fs::create_dir(lab.path(name).join(".cargo")).unwrap();
    lab.write(&format!("{name}/.cargo/config.toml"), &format!("[build]\ntarget-dir = {target:?}\n"));
    lab.lossmith(&["plugin", "build", name]).ok();
}

/// Saves another source and waits for the verdict.
#[track_caller]
fn save(live: &mut Live<'_>, from: &str, to: &str) -> Value {
    live.lab.write("spread/src/lib.rs", &SOURCE.replace(from, to));
    live.verdict()
}

#[track_caller]
fn accepted(live: &mut Live<'_>, from: &str, to: &str, factor: f64) {
    let verdict = save(live, from, to);
    assert_eq!((&verdict["verdict"], &verdict["changes"]), (&json!("accepted"), &json!([])), "{verdict}");
    let [loss, before] = ["loss", "live-loss"].map(|key| verdict["canary"][key].as_f64().unwrap());
    assert!((loss / before - factor).abs() < 1e-5, "{verdict}");
    live.go_on();
    live.event("swap");
}

#[test]
fn a_crate_is_rebuilt_beside_the_training_and_a_mistake_costs_nothing() {
    let lab = Lab::new(CRATE);
    add_crate(&lab, "spread", SOURCE);
    let mut live = Live::start(&lab, &[]);
    accepted(&mut live, "* self.scale", "* self.scale * 2.0", 2.0);

    let verdict = save(&mut live, "* self.scale", "* self.scael");
    let [reason, help] = ["reason", "help"].map(|key| verdict[key].as_str().unwrap().to_owned());
    assert!(verdict["verdict"] == "refused" && reason.contains("the crate `spread` does not compile"), "{verdict}");
    let line = SOURCE.lines().position(|line| line.contains("* self.scale")).unwrap() + 1;
    let place = format!("src/lib.rs:{line}:");
    assert!(help.contains("no field `scael` on type `&Spread`") && help.contains(&place), "{help}");
    live.event("epoch");
    live.event("epoch");
    assert_eq!(live.status()["revision"], 1);
    // The rest is checked beside a training that waits, which makes it shorter to repeat.
    live.pause();
    // A strategy that is gone.
    let verdict = save(&mut live, "\"spread\"", "\"spreads\"");
    assert!(verdict["help"].as_str().unwrap().contains("spreads"), "{verdict}");
    // The experiment can be edited when the crate is in order again, and only then.
    let verdict = save(&mut live, "* self.scale", "* ");
    assert_eq!(verdict["verdict"], "refused");
    let verdict = live.edit("learning-rate = 0.003", "learning-rate = 0.004");
    assert!(verdict["reason"].as_str().unwrap().contains("does not compile"), "{verdict}");
    lab.replace("learning-rate = 0.004", "learning-rate = 0.003");
    assert_eq!(live.verdict()["verdict"], "refused");

    accepted(&mut live, "* self.scale", "* self.scale * 6.0", 3.0);
    live.event("epoch");
    live.command_done("stop");
    let (outcome, run) = live.finish();
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
    assert!(journal(&run, "rollback").is_empty());
    // The kept components are enough.
    fs::remove_dir_all(lab.path("spread")).unwrap();
    super::driver::replay(&lab, &run);
}

/// When it is built for a training: an edit of the experiment.
const BUILD: &str = r#"//! Saves an edit while the plugin is built.
fn main() {
    if std::fs::exists("edit.toml").unwrap() {
        std::fs::rename("edit.toml", "../experiment.toml").unwrap();
    }
}
"#;

#[test]
fn an_edit_that_is_saved_during_the_first_build_is_taken() {
    // Builds of one target folder must not share a name.
    let lab = Lab::new(&CRATE.replace("crate = \"spread\"", "crate = \"edited\""));
    add_crate(&lab, "edited", SOURCE);
    lab.write("edited/build.rs", BUILD);
    let text = fs::read_to_string(lab.path("experiment.toml")).unwrap();
    let edited = text.replace("learning-rate = 0.003", "learning-rate = 0.004");
    assert_ne!(edited, text);
    lab.write("edited/edit.toml", &edited);
    let mut live = Live::start(&lab, &[]);
    let verdict = live.verdict();
    assert_eq!(verdict["verdict"], "accepted", "{verdict}");
    assert_eq!(verdict["changes"], json!([{ "key": "optimizer.learning-rate", "from": 0.003, "to": 0.004 }]));
    live.event("swap");
    live.command_done("stop");
    let (outcome, _) = live.finish();
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
}

#[test]
fn a_fusion_that_fails_at_the_evaluation_leads_back() {
    let lab = Lab::new(MINED_TRIPLETS);
    add_crate(&lab, "training-only", TRAINING_ONLY);
    let mut live = Live::start(&lab, &["evaluation.every=1", "evaluation.test=false"]);
    let next = live.hold();
    let text = fs::read_to_string(lab.path("experiment.toml")).unwrap();
    lab.write("experiment.toml", &(text + FUSION));
    let verdict = live.verdict();
    assert_eq!(verdict["verdict"], "accepted", "{verdict}");
    live.go_on();
    live.event("swap");
    let rollback = live.event("rollback");
    assert_eq!((&rollback["step"], &rollback["to"]), (&json!(next), &json!(0)), "{rollback}");
    assert!(rollback["reason"].as_str().unwrap().contains("no batch of the training"), "{rollback}");
    live.event("epoch");
    live.stop_and_replay();
}

#[test]
fn a_path_dependency_is_followed_and_what_each_revision_was_built_of_is_kept() {
    let lab = Lab::new(&CRATE.replace("crate = \"spread\"", "crate = \"leaning\""));
    fs::create_dir_all(lab.path("lean-help/src")).unwrap();
    lab.write("lean-help/Cargo.toml", "[package]\nname = \"lean-help\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    lab.write("lean-help/src/lib.rs", "//! Help.\n/// A factor.\npub const FACTOR: f64 = 1.0;\n");
    let source = SOURCE.replace("* self.scale", "* self.scale * lean_help::FACTOR");
    add_crate_with(&lab, "leaning", &source, "lean-help = { path = \"../lean-help\" }\n");
    let mut live = Live::start(&lab, &[]);
    lab.write("lean-help/src/lib.rs", "//! Help.\n/// A factor.\npub const FACTOR: f64 = 2.0;\n");
    let candidate = live.event("candidate");
    assert_eq!(candidate["origin"], "lean-help", "{candidate}");
    let verdict = live.verdict();
    let [loss, before] = ["loss", "live-loss"].map(|key| verdict["canary"][key].as_f64().unwrap());
    assert!((loss / before - 2.0).abs() < 1e-5, "{verdict}");
    let swap = live.event("swap");
    live.event("epoch");
    live.command_done("stop");
    let (outcome, run) = live.finish();
    assert_eq!(outcome.code, Some(130), "{outcome:?}");

    let hash = swap["plugins"][0]["hash"].as_str().unwrap();
    let kept = |file: &str| run.text(&format!("sources/{hash}/{file}"));
    assert_eq!(kept("src/lib.rs"), source);
    assert!(kept("path-dependencies/lean-help/src/lib.rs").contains("FACTOR: f64 = 2.0"));
    let manifest: Value = serde_json::from_str(&run.text("manifest.json")).unwrap();
    let first = manifest["plugins"][0]["hash"].as_str().unwrap();
    let shown = lab.lossmith(&["runs", "show", run.name()]).ok();
    for line in [
        format!("objective.0.loss spread: component {} -> {}", &first[..12], &hash[..12]),
        "path-dependencies/lean-help/src/lib.rs: 1 lines added, 1 removed".to_owned(),
        "- pub const FACTOR: f64 = 1.0;".to_owned(),
        "+ pub const FACTOR: f64 = 2.0;".to_owned(),
    ] {
        assert!(shown.contains(&line), "{line} is not in {shown}");
    }
}

#[test]
fn a_revert_says_which_sources_still_have_what_was_reverted() {
    let lab = Lab::new(&CRATE.replace("crate = \"spread\"", "crate = \"reverted\""));
    add_crate(&lab, "reverted", SOURCE);
    let mut live = Live::start(&lab, &[]);
    lab.write("reverted/src/lib.rs", &SOURCE.replace("* self.scale", "* self.scale * 2.0"));
    assert_eq!(live.verdict()["verdict"], "accepted");
    live.event("swap");
    let said = live.session("revert", &[]).ok();
    for words in ["files still have what was reverted", "src/lib.rs in", "reverted (as it was: "] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    live.event("swap");
    live.stop_and_replay();
}
