//! Repeating a run, and comparing two.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::driver::{Live, component, journal};
use crate::support::{Lab, MINED_TRIPLETS, Run};

const OWN: &str = r#"
[[objective]]
loss = { plugin = "live.wasm", strategy = "triplet", params = { margin = 0.2 } }
miner = { plugin = "miners", strategy = "batch-hard" }

[[objective]]
weight = 0.5
loss = { plugin = "evil", strategy = "evil-later", params = { how = "", after = 0 } }
"#;

/// A run of which many things were exchanged; its loss is a component of the lab's.
fn eventful(lab: &Lab) -> Run {
    component(lab, "live.wasm", "losses", 0);
    let mut live = Live::start(lab, &[]);
    component(lab, "live.wasm", "losses", 1);
    assert_eq!(live.verdict()["verdict"], "accepted");
    live.event("swap");
    live.swap("margin = 0.2", "margin = 0.5");
    let next = live.hold();
    let evil = format!("how = \"nan\", after = {}", next + 2);
    assert_eq!(live.edit("how = \"\", after = 0", &evil)["verdict"], "accepted");
    live.go_on();
    live.event("rollback");
    lab.replace(&evil, "how = \"\", after = 0");
    assert_eq!(live.verdict()["verdict"], "same");
    live.swap("weight = 0.5", "weight = 1.5");
    live.session("set", &["optimizer.learning-rate=0.002"]).ok();
    live.event("swap");
    live.event("epoch");
    live.event("epoch");
    live.command_done("stop");
    let (outcome, run) = live.finish();
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
    run
}

/// The kept components.
fn kept(run: &Run) -> Vec<PathBuf> {
    run.files("plugins").iter().map(|file| run.path.join("plugins").join(file)).collect()
}

fn swaps(run: &Run) -> Vec<(Value, Value)> {
    journal(run, "swap").into_iter().map(|swap| (swap["revision"].clone(), swap["step"].clone())).collect()
}

#[test]
fn a_run_with_swaps_a_rollback_and_a_set_is_repeated_to_the_last_bit() {
    let lab = Lab::new(OWN);
    let run = eventful(&lab);
    let said = lab.lossmith(&["replay", run.name()]).ok();
    let last = said.lines().last().unwrap();
    assert!(last.ends_with("tensors of checkpoints are equal to the last bit"), "{said}");
    let repeated = super::driver::replay(&lab, &run);
    let repeated = Run::at(lab.path(repeated["run"].as_str().unwrap()));
    let taken: Vec<_> = swaps(&run);
    assert_eq!(taken.len(), 5);
    let mut good = taken.clone();
    good.remove(2);
    assert_eq!(swaps(&repeated), good, "what was rolled back is not repeated");
    assert_eq!(repeated.files("plugins"), run.files("plugins"));

    // Nothing was read from the experiment's files.
    fs::remove_file(lab.path("live.wasm")).unwrap();
    lab.write("experiment.toml", "");
    super::driver::replay(&lab, &run);

    let said = lab.lossmith(&["runs", "diff", "--tensors", run.name(), repeated.name()]).ok();
    assert!(said.starts_with("configuration\n  the same\n"), "{said}");
    assert!(said.contains("tensors of checkpoints are equal to the last bit") && !said.contains("differ"), "{said}");
    let diff = lab.lossmith(&["--json", "runs", "diff", run.name(), repeated.name()]).json();
    assert_eq!((&diff["configuration"], &diff["revisions"][0]), (&json!([]), &diff["revisions"][1]));
    assert_eq!((&diff["comparison"]["different"], &diff["comparison"]["first"]), (&json!(0), &Value::Null));
    let numbers: Vec<_> = diff["revisions"][0].as_array().unwrap().iter().map(|at| at["revision"].clone()).collect();
    let expected: Vec<_> = [json!(0)].into_iter().chain(good.into_iter().map(|(revision, _)| revision)).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn a_number_that_was_tampered_with_is_found() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = lab.train(&["evaluation.test=false"]);
    lab.lossmith(&["replay", run.name()]).ok();
    let text = run.text("metrics.jsonl");
    let row: Value = run.lines("metrics.jsonl").remove(4);
    assert_eq!(row["kind"], "step");
    let loss = row["values"]["loss"].to_string();
    let digit = if loss.contains('3') { ("3", "4") } else { ("1", "2") };
    // As it is written: the number that the digits stand for may have shorter ones.
    let other = loss.replacen(digit.0, digit.1, 1).parse::<f64>().unwrap().to_string();
    let lines = text.lines().enumerate().map(|(place, line)| match place {
        4 => line.replace(&format!("\"loss\":{loss}"), &format!("\"loss\":{other}")) + "\n",
        _ => line.to_owned() + "\n",
    });
    fs::write(run.path.join("metrics.jsonl"), lines.collect::<String>()).unwrap();
    assert_ne!(run.text("metrics.jsonl"), text);

    let outcome = lab.lossmith(&["replay", run.name()]);
    let first = format!("1 numbers differ; the first: loss of the step row after step 5: {other} and {loss}");
    assert!(outcome.stdout.contains(&first), "{first}: {}", outcome.stdout);
    outcome.fails(1, &["the repetition differs from", "manifest.json"]);
    let outcome = lab.lossmith(&["--json", "replay", run.name()]);
    let last: Value = serde_json::from_str(outcome.stdout.lines().last().unwrap()).unwrap();
    let first = &last["comparison"]["first"];
    assert_eq!((&first["kind"], &first["step"], &first["name"]), (&json!("step"), &json!(5), &json!("loss")));
    assert_eq!((first["first"].to_string(), first["second"].to_string()), (other, loss));
    outcome.fails(1, &["differs"]);
}

/// Each kept component in turn is what `damage` makes of it, and the run cannot be repeated then.
#[track_caller]
fn noticed(damage: impl Fn(&[u8]) -> Vec<u8>, phrase: impl Fn(&str) -> String) {
    let lab = Lab::new(OWN);
    let run = eventful(&lab);
    for file in kept(&run) {
        let whole = fs::read(&file).unwrap();
        fs::write(&file, damage(&whole)).unwrap();
        let outcome = lab.lossmith(&["replay", run.name()]);
        let phrase = phrase(file.file_name().unwrap().to_str().unwrap());
        assert!(outcome.code != Some(0) && outcome.stderr.contains(&phrase), "{outcome:?}");
        fs::write(&file, whole).unwrap();
    }
    lab.lossmith(&["replay", run.name()]).ok();
}

#[test]
fn a_kept_component_that_is_cut_short_is_an_error() {
    noticed(|whole| whole[..whole.len() / 2].to_vec(), |name| format!("{name} is damaged"));
}

#[test]
fn a_kept_component_with_another_byte_is_an_error() {
    let changed = |whole: &[u8]| {
        let mut bytes = whole.to_vec();
        // It is in the name of a section that does nothing.
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    noticed(changed, str::to_owned);
}

#[test]
fn a_kept_component_that_is_gone_is_an_error() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = lab.train(&["epochs=1", "evaluation.test=false"]);
    let file = kept(&run).remove(0);
    fs::remove_file(&file).unwrap();
    lab.lossmith(&["replay", run.name()])
        .fails(3, &["there is no plugin at", file.file_name().unwrap().to_str().unwrap()]);
    assert_eq!(lab.runs().len(), 1);
}

#[test]
fn what_differs_between_two_runs_is_told() {
    let lab = Lab::new(OWN);
    let first = eventful(&lab);
    let second = lab.train(&["name=second", "optimizer.learning-rate=0.01", "evaluation.test=false"]);
    let said = lab.lossmith(&["runs", "diff", first.name(), second.name()]).ok();
    for part in [
        "  optimizer.learning-rate: 0.003 -> 0.01\n",
        "  name: \"tiny\" -> \"second\"\n",
        "\ncomponents\n",
        first.folder(),
        "    from epoch 1 on, revision 0: objective.0.miner batch-hard (",
        "revision 1: ",
        "numbers differ; the first: ",
    ] {
        assert!(said.contains(part), "`{part}` is missing in: {said}");
    }
    let diff = lab.lossmith(&["--json", "runs", "diff", first.name(), second.name()]).json();
    let rate = json!({ "key": "optimizer.learning-rate", "from": 0.003, "to": 0.01 });
    assert!(diff["configuration"].as_array().unwrap().contains(&rate), "{diff}");
    assert_eq!(diff["compared-until-step"], 12);
    let of = |place: usize| diff["revisions"][place].as_array().unwrap().clone();
    assert_eq!((of(0).len(), of(1).len()), (5, 1));
    let components =
        |at: &Value| at["plugins"].as_array().unwrap().iter().map(|of| of["hash"].clone()).collect::<Vec<_>>();
    assert!(components(&of(0)[0]) != components(&of(0)[1]), "the first swap was of a component");
    assert!(components(&of(0)[1]) == components(&of(1)[0]), "the second run began with it");
    assert!(diff["comparison"]["different"].as_u64().unwrap() > 0, "{diff}");
    assert!(diff["comparison"]["first"]["step"].as_u64().unwrap() <= 12, "{diff}");

    // Where both have checkpoints and evaluations, these are compared, too.
    let third = lab.train(&["name=third", "optimizer.learning-rate=0.02", "evaluation.test=false"]);
    let said = lab.lossmith(&["runs", "diff", second.name(), third.name(), "--tensors"]).ok();
    for part in ["\n  tensors that differ: epoch 1: model/", "last evaluation", "validation/map-at-r "] {
        assert!(said.contains(part), "`{part}` is missing in: {said}");
    }
    // Tensors only if they are asked for; metrics beside each other, and as curves.
    let (one, other) = (second.name(), third.name());
    let said = lab.lossmith(&["runs", "diff", one, other, "--metric", "distance-ratio", "--plot", "both.html"]).ok();
    assert!(!said.contains("tensors") && said.contains("numbers differ") && said.contains("lower is better"), "{said}");
    let ratio = second.values("evaluation", "validation/distance-ratio")[1];
    assert!(
        said.lines().any(|line| line.trim_start().starts_with("2 ") && line.contains(&format!("{ratio:.4}"))),
        "{said}"
    );
    let page = fs::read_to_string(lab.path("both.html")).unwrap();
    assert!(page.matches("<svg").count() == 1 && page.contains(second.folder()) && page.contains("distance-ratio"));
    lab.lossmith(&["runs", "diff", one, other, "--metric", "losss"]).fails(2, &["`losss`", "did you mean `loss`?"]);
    lab.lossmith(&["runs", "diff", first.name(), "."]).fails(1, &[". is not a run"]);
}

#[test]
fn a_branch_is_repeated_from_where_it_began() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = lab.train(&["evaluation.test=false"]);
    let from = format!("{}@1", run.name());
    let said = lab.lossmith(&["--json", "train", "--from", &from, "--set", "epochs=3", "--set", "name=branch"]).ok();
    super::driver::replay(&lab, &lab.run_of(&said));
}

#[test]
fn a_run_that_went_on_with_another_configuration_is_repeated() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::unwatched(&lab, &[]);
    live.session("set", &["objective.0.weight=2"]).ok();
    live.event("swap");
    let step = live.pause_inside();
    live.command_done("stop");
    let (_, run) = live.finish();
    let epochs = format!("epochs={}", step / 6 + 4);
    let resume = ["train", "--resume", run.name(), "--set", "optimizer.learning-rate=0.01", "--set", &epochs];
    lab.lossmith(&resume).fails(2, &["optimizer.learning-rate: 0.003 -> 0.01", "--accept-changes"]);
    lab.lossmith(&[&resume[..], &["--accept-changes"]].concat()).ok();
    let revisions: Vec<_> = swaps(&run).into_iter().map(|(revision, _)| revision).collect();
    assert_eq!(revisions, [1, 2]);
    assert!(run.text("revisions/0002/experiment.toml").contains("weight = 2.0"), "the set stays");
    super::driver::replay(&lab, &run);
}
