//! Which component a bare name means: in a folder of the user's, without the repository around.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::guests::{guest, guests};
use crate::support::{Lab, MINED_TRIPLETS, Outcome, Run};

/// The command as a user has it: nothing is said about plugins.
fn plain(lab: &Lab, arguments: &[&str]) -> Outcome {
    Outcome::of(command(lab, arguments).env_remove("LOSSMITH_PLUGINS"))
}

fn command(lab: &Lab, arguments: &[&str]) -> Command {
    lab.command(arguments)
}

fn strategies(inspected: &serde_json::Value) -> Vec<&str> {
    inspected["strategies"].as_array().unwrap().iter().map(|strategy| strategy["name"].as_str().unwrap()).collect()
}

#[test]
fn standard_plugins_are_in_the_command_and_are_those_that_a_build_makes() {
    let lab = Lab::new(MINED_TRIPLETS);
    let printed = plain(&lab, &lab.training(&["epochs=1"])).ok();
    let run = lab.run_of(&printed);
    for name in ["losses", "miners"] {
        let built = fs::read(guest(&format!("lossmith-{name}"))).unwrap();
        let kept = run.files("plugins").into_iter().map(|file| fs::read(run.path.join("plugins").join(file)).unwrap());
        assert!(kept.into_iter().any(|kept| kept == built), "{name}");
    }
    // Every command that takes a component, with no file of the name anywhere.
    for name in
        ["balances", "fusions", "losses", "miners", "proxies", "rankings", "regularizers", "schedules", "transfers"]
    {
        let inspected = plain(&lab, &["--json", "plugin", "inspect", name]).json();
        assert!(!strategies(&inspected).is_empty());
    }
    plain(&lab, &["plugin", "check", "losses", "--strategy", "contrastive"]).ok();
    lab.write("case.json", r#"{ "embeddings": [[1.0, 0.0], [0.5, 1.0], [0.0, 1.0]], "labels": [0, 0, 1] }"#);
    let case = ["--role", "loss", "--strategy", "contrastive", "--input", "case.json"];
    plain(&lab, &[["plugin", "eval", "losses"].as_slice(), &case].concat()).ok();
    let sizes = ["--strategy", "contrastive", "--batch", "8", "--dimension", "4"];
    let bench = [["--json", "plugin", "bench", "losses"].as_slice(), &sizes, &["--against", "losses", "triplet"]];
    plain(&lab, &bench.concat()).ok();
    plain(&lab, &["eval", run.name()]).ok();
}

#[test]
fn a_file_beside_the_experiment_comes_before_the_command_and_the_folder_of_the_variable_before_both() {
    let lab = Lab::new("");
    fs::create_dir(lab.path("deep")).unwrap();
    let noise = "\n[[objective]]\nloss = { plugin = \"losses\", strategy = \"noise\" }\n";
    let text = fs::read_to_string(lab.path("experiment.toml")).unwrap();
    lab.write("deep/experiment.toml", &(text + noise));
    let train = ["--json", "train", "deep/experiment.toml", "--set", "epochs=1"];
    // Neither in the command nor where the command is started.
    fs::copy(guest("lossmith-test-roles"), lab.path("losses.wasm")).unwrap();
    plain(&lab, &train).fails(3, &["has no loss `noise`"]);
    assert!(strategies(&plain(&lab, &["--json", "plugin", "inspect", "losses"]).json()).contains(&"noise"));
    fs::rename(lab.path("losses.wasm"), lab.path("deep/losses.wasm")).unwrap();
    plain(&lab, &train).ok();
    assert!(strategies(&plain(&lab, &["--json", "plugin", "inspect", "losses"]).json()).contains(&"triplet"));
    Outcome::of(command(&lab, &train).env("LOSSMITH_PLUGINS", guests())).fails(3, &["has no loss `noise`"]);
    // A sweep looks beside its experiment, too.
    let sweep = "name = \"s\"\nexperiment = \"deep/experiment.toml\"\ndirectory = \"runs/s\"\nseeds = [1]\n\
                 set = [\"epochs=1\"]\n[[setting]]\nname = \"a\"\n[[method]]\nname = \"m\"\n";
    lab.write("sweep.toml", sweep);
    plain(&lab, &["sweep", "sweep.toml"]).ok();
}

#[test]
fn a_name_that_means_nothing_is_an_error_with_the_places() {
    let lab = Lab::new(MINED_TRIPLETS);
    lab.replace("plugin = \"losses\"", "plugin = \"loses\"");
    let phrases = ["there is no plugin `loses`; looked in:", "the binary", "did you mean `losses`?", "experiment.toml"];
    plain(&lab, &lab.training(&[])).fails(3, &phrases);
    plain(&lab, &["plugin", "inspect", "mine"]).fails(4, &["no plugin `mine`", "the current folder, the binary"]);
    let other = lab.path("other");
    let told = format!("LOSSMITH_PLUGINS names {}, which is no folder", other.display());
    for arguments in [lab.training(&[]).as_slice(), &["plugin", "inspect", "losses"]] {
        let outcome = Outcome::of(command(&lab, arguments).env("LOSSMITH_PLUGINS", &other));
        outcome.fails(4, &[&told]);
    }
}

#[test]
fn a_session_takes_a_standard_plugin_by_its_name() {
    let lab = Lab::new(MINED_TRIPLETS);
    let printed = plain(&lab, &lab.training(&["epochs=1"])).ok();
    let run = Run::at(lab.run_of(&printed).path);
    // Another plugin by its bare name, in a run that goes on from a folder without anything.
    let elsewhere = tempfile::tempdir().unwrap();
    let origin = format!("{}@1", run.path.display());
    let sets = ["--set", "objective.0.loss.plugin=proxies", "--set", "objective.0.loss.strategy=proxy-anchor"];
    let branch = [["--json", "train", "--from", &origin, "--set", "epochs=2"].as_slice(), &sets].concat();
    let branch = [&branch[..], &["--set", "objective.0.loss.params={}"]].concat();
    Outcome::of(command(&lab, &branch).current_dir(Path::new(elsewhere.path())).env_remove("LOSSMITH_PLUGINS")).ok();
}
