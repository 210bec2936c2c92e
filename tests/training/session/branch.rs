//! Going on otherwise: with changes that somebody consents to, or as a branch.

use serde_json::{Value, json};

use super::driver::{Live, component, journal, replay};
use crate::support::{Lab, MINED_TRIPLETS, PROXIES, Run, Running};

/// A loss whose component is a file of the test.
const OWN: &str = r#"
[[objective]]
loss = { plugin = "live.wasm", strategy = "proxy-anchor" }
"#;

/// The experiment as an argument.
const FILE: &[&str] = &["experiment.toml"];

fn own() -> Lab {
    let lab = Lab::new(OWN);
    component(&lab, "live.wasm", "proxies", 0);
    lab
}

/// A run that was killed.
fn killed(lab: &Lab) -> Run {
    let mut live = Live::start(lab, &[]);
    live.event("epoch");
    live.kill()
}

/// Goes on with a run with these arguments, which is refused for want of consent, and then with consent.
#[track_caller]
fn consents<'a>(lab: &'a Lab, run: &Run, arguments: &[&str], change: &str) -> Live<'a> {
    let resume = [&["train", "--resume", run.name()], arguments].concat();
    let before = run.text("journal.jsonl");
    lab.lossmith(&resume).fails(2, &[change, "--accept-changes"]);
    assert_eq!(run.text("journal.jsonl"), before, "nothing happened");
    Live::resume_with(lab, run, &[arguments, &["--accept-changes"]].concat())
}

#[test]
fn a_change_at_resume_needs_consent_and_begins_with_the_next_epoch() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = killed(&lab);
    let set = ["--set", "optimizer.learning-rate=0.01"];
    let mut live = consents(&lab, &run, &set, "optimizer.learning-rate: 0.003 -> 0.01");
    live.event("epoch");
    let run = live.stop_and_replay();
    assert_eq!(journal(&run, "candidate")[0]["origin"], "resume");
    let swap = &journal(&run, "swap")[0];
    let change = json!([{ "key": "optimizer.learning-rate", "from": 0.003, "to": 0.01 }]);
    assert_eq!((&swap["revision"], &swap["changes"]), (&json!(1), &change));
    for row in run.rows("step") {
        let rate = if row["step"].as_u64() > swap["step"].as_u64() { 0.01 } else { 0.003 };
        assert_eq!(row["values"]["learning-rate"], rate, "{row}");
    }
    // It stays without being asked for again.
    let mut live = Live::resume_with(&lab, &run, &[]);
    live.event("epoch");
    let run = live.stop_and_replay();
    assert_eq!(run.values("step", "learning-rate").last(), Some(&0.01));
    assert_eq!(journal(&run, "swap").len(), 1);
}

/// A run of the file as it is, which was killed.
fn of_the_file(lab: &Lab) -> Run {
    lab.replace("epochs = 2", "epochs = 1000000");
    let mut running = Running::start(lab.command(&lab.training(&[])));
    running.wait_for("epoch");
    running.signal(libc::SIGKILL);
    running.finish();
    lab.run("tiny")
}

#[test]
fn an_edited_file_at_resume_needs_consent() {
    let lab = own();
    let run = of_the_file(&lab);
    lab.replace("learning-rate = 0.003", "learning-rate = 0.001");
    let mut live = consents(&lab, &run, FILE, "optimizer.learning-rate: 0.003 -> 0.001");
    live.event("epoch");
    let run = live.stop_and_replay();
    assert_eq!(run.values("step", "learning-rate").last(), Some(&0.001));
    assert_eq!(journal(&run, "swap").len(), 1);
}

#[test]
fn an_edited_component_at_resume_needs_consent() {
    let lab = own();
    let run = of_the_file(&lab);
    component(&lab, "live.wasm", "proxies", 1);
    let hash = lab.lossmith(&["--json", "plugin", "inspect", "live.wasm"]).json()["hash"].clone();
    let manifest: Value = serde_json::from_str(&run.text("manifest.json")).unwrap();
    let short = |hash: &Value| hash.as_str().unwrap()[..12].to_owned();
    let change =
        format!("component of objective.0.loss: {} -> {}", short(&manifest["plugins"][0]["hash"]), short(&hash));
    let mut live = consents(&lab, &run, FILE, &change);
    live.event("epoch");
    let run = live.stop_and_replay();
    assert_eq!(journal(&run, "swap")[0]["plugins"][0]["hash"], hash);
}

#[test]
fn without_a_change_nothing_is_asked() {
    let lab = own();
    let run = of_the_file(&lab);
    Live::resume_with(&lab, &run, FILE).kill();
    Live::resume_with(&lab, &run, &["--set", "optimizer.learning-rate=0.003"]).kill();
    // The run has the component that it began with; the one at that place counts where the file is named.
    component(&lab, "live.wasm", "proxies", 1);
    let run = Live::resume_with(&lab, &run, &[]).stop_and_replay();
    assert!(journal(&run, "candidate").is_empty() && journal(&run, "swap").is_empty());
}

#[test]
fn what_was_swapped_in_before_the_death_is_no_change() {
    let lab = own();
    let run = of_the_file(&lab);
    let mut live = Live::resume_with(&lab, &run, &["--watch"]);
    // Of the files as they are when it goes on; an edit before that would be in it.
    assert_eq!(live.verdict()["verdict"], "same");
    live.swap("learning-rate = 0.003", "learning-rate = 0.001");
    live.kill();
    Live::resume_with(&lab, &run, FILE).stop_and_replay();
    assert_eq!(journal(&run, "candidate").len(), 2, "the first look and the edit");
}

#[test]
fn what_a_run_cannot_take_is_refused_with_the_reason_and_the_way() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = killed(&lab);
    for consent in [&[][..], &["--accept-changes"]] {
        let set = ["train", "--resume", run.name(), "--set", "model.width=6"];
        lab.lossmith(&[&set[..], consent].concat()).fails(
            3,
            &["model.width: 4 -> 6", "it is the network that is being trained", "train --from RUN@EPOCH --set"],
        );
    }
    lab.lossmith(&["train", "--resume", run.name(), "--set", "objective.0.loss.params.margn=1"])
        .fails(3, &["did you mean `margin`"]);
    Live::resume_with(&lab, &run, &[]).stop_and_replay();
}

#[test]
fn a_change_at_resume_begins_anew_what_is_to_be_reset() {
    let lab = Lab::new(
        "[[objective]]\nloss = { plugin = \"test-roles\", strategy = \"grown-proxies\", params = { migrate = false } \
         }\n",
    );
    let run = killed(&lab);
    let sets =
        ["--set", "objective.0.loss.params.per-class=2", "--set", "objective.0.loss.reset=[\"proxies\", \"seen\"]"];
    let mut live = consents(&lab, &run, &sets, "objective.0.loss.params.per-class: (none) -> 2");
    live.event("epoch");
    live.event("epoch");
    let run = live.stop_and_replay();
    assert!(journal(&run, "rollback").is_empty(), "{}", run.text("journal.jsonl"));
    assert_eq!(run.values("step", "objective.0.loss/rows").last(), Some(&20.0));
}

/// Makes a branch, which must go well.
#[track_caller]
fn branch(lab: &Lab, from: &str, sets: &[&str]) -> Run {
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let arguments: Vec<_> = ["--json", "train", "--from", from].into_iter().chain(sets).collect();
    lab.run_of(&lab.lossmith(&arguments).ok())
}

fn parent(run: &Run) -> Value {
    serde_json::from_str::<Value>(&run.text("manifest.json")).unwrap()["parent"].clone()
}

#[test]
fn a_branch_goes_on_as_its_parent_did_or_otherwise() {
    let lab = Lab::new(PROXIES);
    let whole = lab.train(&["epochs=5", "run.keep=5", "evaluation.test=false"]);
    assert_eq!(parent(&whole), Value::Null);
    let from = format!("{}@2", whole.name());
    let same = branch(&lab, &from, &["name=same"]);
    assert_eq!(parent(&same), format!("{}@2", whole.folder()));
    let other = branch(&lab, &from, &["name=other", "optimizer.learning-rate=0.01"]);
    assert_eq!(parent(&other), format!("{}@2", whole.folder()));
    for epoch in 2..=5 {
        let name = format!("epoch-{epoch:04}");
        assert!(same.checkpoint(&name) == whole.checkpoint(&name), "{name}");
        assert_eq!(other.part(&name, "model/") == whole.part(&name, "model/"), epoch == 2, "{name}");
    }
    assert!(!same.files("checkpoints").contains(&"epoch-0001.safetensors".to_owned()));
    let later = |row: &Value| row["epoch"].as_u64() > Some(2);
    for kind in ["epoch", "evaluation"] {
        let rows: Vec<_> = whole.rows(kind).into_iter().filter(later).collect();
        assert_eq!((rows.len(), same.rows(kind)), (3, rows), "{kind}");
    }
    // A branch of a branch, and one that dies.
    let again = branch(&lab, &format!("{}@4", same.name()), &["name=again"]);
    assert!(again.checkpoint("epoch-0005") == whole.checkpoint("epoch-0005"));
    let arguments = ["--json", "train", "--from", &from, "--set", "name=died"];
    let mut running = Running::start(lab.command(&arguments));
    running.wait_for("step");
    running.signal(libc::SIGKILL);
    running.finish();
    let died = lab.run("died");
    lab.lossmith(&["train", "--resume", died.name()]).ok();
    assert!(died.checkpoint("epoch-0005") == whole.checkpoint("epoch-0005"));
}

#[test]
fn a_branch_can_be_repeated() {
    let lab = Lab::new(PROXIES);
    let whole = lab.train(&["epochs=3", "evaluation.test=false"]);
    let branch = branch(&lab, &format!("{}@2", whole.name()), &["name=branch", "optimizer.learning-rate=0.01"]);
    replay(&lab, &branch);
}

#[test]
fn the_last_checkpoints_and_the_best_one_are_kept_and_can_be_branched_from() {
    let lab = Lab::new(PROXIES);
    let run = lab.train(&["epochs=5", "run.keep=2", "evaluation.test=false"]);
    assert_eq!(run.files("checkpoints"), ["best.safetensors", "epoch-0004.safetensors", "epoch-0005.safetensors"]);
    let values = run.values("evaluation", "validation/map-at-r");
    let best = (1..)
        .zip(&values)
        .fold((0, f64::NEG_INFINITY), |best, now| if *now.1 > best.1 { (now.0, *now.1) } else { best });
    let from_best = branch(&lab, &format!("{}@best", run.name()), &["name=best", "epochs=6"]);
    assert_eq!(parent(&from_best), format!("{}@{}", run.folder(), best.0));
    assert_eq!(from_best.rows("epoch").len(), 6 - best.0);
    let from_last = branch(&lab, &format!("{}@last", run.name()), &["name=last", "epochs=6"]);
    assert_eq!(parent(&from_last), format!("{}@5", run.folder()));

    let from = |checkpoint: &str| lab.lossmith(&["train", "--from", &format!("{}{checkpoint}", run.name())]);
    from("@2").fails(1, &["has no checkpoint", "best, last, 4, 5"]);
    from("@none").fails(1, &["best, last, 4, 5"]);
    from("").fails(2, &["expected RUN@EPOCH"]);
    assert_eq!(lab.runs().len(), 3, "no run is left of those");
}

#[test]
fn a_branch_has_the_components_of_its_parent() {
    let lab = own();
    let whole = lab.train(&["epochs=4", "evaluation.test=false"]);
    component(&lab, "live.wasm", "losses", 1);
    let branch = branch(&lab, &format!("{}@2", whole.name()), &["name=branch"]);
    assert!(branch.checkpoint("epoch-0004") == whole.checkpoint("epoch-0004"));
    assert_eq!(branch.files("plugins"), whole.files("plugins"));
}

#[test]
fn a_branch_is_of_the_revision_that_was_at_work() {
    let lab = Lab::new(PROXIES);
    let mut live = Live::start(&lab, &["run.keep=1000"]);
    live.event("epoch");
    let swap = live.swap("learning-rate = 0.003", "learning-rate = 0.001");
    live.event("epoch");
    live.event("epoch");
    let run = live.stop_and_replay();
    let at = swap["epoch"].as_u64().unwrap();
    for (epoch, rate) in [(at, 0.003), (at + 1, 0.001)] {
        let sets = ["name=branch", &format!("epochs={}", epoch + 1)];
        let branch = branch(&lab, &format!("{}@{epoch}", run.name()), &sets);
        assert_eq!(branch.values("step", "learning-rate"), vec![rate; 6], "{epoch}");
    }
}

#[test]
fn a_branch_is_not_measured_on_what_its_parent_was_trained_on() {
    let lab = Lab::new(PROXIES);
    let run = lab.train(&["epochs=3", "evaluation.test=false", "data.split=class-disjoint", "sampler.classes=3"]);
    let from = format!("{}@2", run.name());
    let refused = |sets: &[&str], phrases: &[&str]| {
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        let arguments: Vec<_> = ["train", "--from", &from].into_iter().chain(sets).collect();
        lab.lossmith(&arguments).fails(5, &[phrases, &["was trained on", "without `--from`"]].concat());
    };
    // The seed draws which classes are for training.
    refused(&["seed=3"], &["classes of this branch's", "`--set data.seed=1` keeps its split"]);
    refused(&["data.seed=3"], &["`--set data.seed=1`"]);
    refused(&["data.split=closed-set"], &["images of this branch's", "leave the data and its split"]);
    assert_eq!(lab.runs().len(), 1, "no run is left of those");
    let kept = branch(&lab, &from, &["name=kept", "seed=3", "data.seed=1"]);
    assert_eq!(kept.rows("epoch").len(), 1);
}

#[test]
fn a_branch_has_an_epoch_to_train() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = lab.train(&["epochs=2", "evaluation.test=false"]);
    for (from, epochs) in [("@2", "epochs=1"), ("@2", "epochs=2"), ("@last", "epochs=2")] {
        let from = format!("{}{from}", run.name());
        lab.lossmith(&["train", "--from", &from, "--set", epochs]).fails(2, &["has trained 2 epochs", "epochs=3"]);
    }
    assert_eq!(lab.runs().len(), 1);
}
