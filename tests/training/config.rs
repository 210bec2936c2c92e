//! The experiment on the command line.

use serde_json::Value;

use crate::support::{Lab, MINED_TRIPLETS};

fn printed(lab: &Lab, sets: &[&str]) -> Value {
    let arguments = lab.training(sets);
    lab.lossmith(&[arguments.as_slice(), &["--print-config"]].concat()).json()
}

#[test]
fn what_is_printed_reads_as_the_same_experiment() {
    let lab = Lab::new(MINED_TRIPLETS);
    let text = lab.lossmith(&["train", "experiment.toml", "--print-config"]).ok();
    lab.write("printed.toml", &text);
    assert_eq!(lab.lossmith(&["train", "printed.toml", "--print-config"]).ok(), text);
    let table: toml::Table = text.parse().unwrap();
    assert_eq!(serde_json::to_value(table).unwrap()["optimizer"]["learning-rate"], 0.003);
    // Defaults are written out.
    assert_eq!(printed(&lab, &[])["evaluation"]["distance"], "cosine");
    assert!(lab.runs().is_empty());
}

#[test]
fn set_changes_keys_at_any_depth() {
    let lab = Lab::new(MINED_TRIPLETS);
    let changed = printed(
        &lab,
        &[
            "name=second",
            "model.width=16",
            "optimizer.multipliers.head=0.5",
            "evaluation.recall-at=[1, 10]",
            "evaluation.recall-at.1=5",
            "objective.0.loss.params.margin=0.7",
            "objective.0.loss.params.swap=true",
        ],
    );
    assert_eq!(changed["name"], "second");
    assert_eq!(changed["model"]["width"], 16);
    assert_eq!(changed["optimizer"]["multipliers"]["head"], 0.5);
    assert_eq!(changed["evaluation"]["recall-at"], serde_json::json!([1, 5]));
    assert_eq!(changed["objective"][0]["loss"]["params"], serde_json::json!({ "margin": 0.7, "swap": true }));
    assert_eq!(changed["objective"][0]["miner"], printed(&lab, &[])["objective"][0]["miner"]);
}

#[test]
fn set_refuses_a_path_that_leads_nowhere() {
    let lab = Lab::new(MINED_TRIPLETS);
    for (set, phrase) in [
        ("objective.3.weight=1", "--set objective.3.weight=1: there is no entry 3; there are 1"),
        ("objective.first.weight=1", "`first` must be a number: 0 is the first"),
        ("epochs.last=1", "`last` is below a value"),
        ("model..width=1", "the key is empty"),
        ("epochs", "expected key.path=value, for instance model.width=64"),
        ("modle.width=4", "did you mean `model`?"),
    ] {
        lab.try_train(&[set]).fails(3, &[phrase]);
    }
    lab.replace("[run]", "[evaluation]\nrecall-at = [1, 2]\n[run]");
    lab.try_train(&["evaluation.recall-at.5=1"]).fails(3, &["there is no entry 5; there are 2"]);
    assert!(lab.runs().is_empty());
}

#[test]
fn what_a_key_expects_is_said_in_words() {
    let lab = Lab::new(MINED_TRIPLETS);
    for (set, phrase) in [
        ("epochs=-1", "expected a whole number from 0 on"),
        ("epochs=1e30", "expected a whole number from 0 on"),
        ("seed=-1", "expected a whole number from 0 on"),
        ("run.keep=0", "expected a whole number from 1 on"),
        ("evaluation.every=0", "expected a whole number from 1 on"),
        ("objective.0.loss=7", "expected a table with `plugin` and `strategy`"),
        ("optimizer.learning-rate=fast", "expected a number"),
    ] {
        let outcome = lab.try_train(&[set]);
        assert!(!outcome.stderr.contains("quotes"), "{outcome:?}");
        outcome.fails(3, &[phrase]);
    }
    // Where a text would fit.
    lab.try_train(&["name=7"]).fails(3, &["expected a text", "a text is written in quotes: --set 'name=\"7\"'"]);
    lab.try_train(&["objective.0.loss.plugin=7"]).fails(3, &["a plugin is a path", "a text is written in quotes"]);
    assert!(lab.runs().is_empty());
}

#[test]
fn a_training_tells_what_happens_in_lines_of_json() {
    let lab = Lab::new(MINED_TRIPLETS);
    let stdout = lab.try_train(&["run.log-every=3"]).ok();
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    let epoch = [["step"; 6].as_slice(), &["epoch"]].concat();
    assert_eq!(events, [["ready"].as_slice(), &epoch, &epoch, &["tested", "finished"]].concat());
    assert_eq!((&lines[0]["epochs"], &lines[0]["steps"], &lines[0]["from-step"]), (&2.into(), &6.into(), &0.into()));
    assert_eq!(lines[0]["data"]["train"]["images"], 240);
    assert!(lines[2]["loss"].is_null() && lines[3]["loss"].is_f64());
    assert!(lines[7]["values"]["validation/map-at-r"].is_f64());
    assert!(lines[15]["values"]["test/map-at-r"].is_f64());
}
