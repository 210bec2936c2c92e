//! What is edited, checked, and taken or refused.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use super::driver::{Live, component, journal};
use crate::support::{Lab, MINED_TRIPLETS};

/// A loss whose component is a file of the test.
const OWN: &str = r#"
[[objective]]
loss = { plugin = "live.wasm", strategy = "triplet", params = { margin = 0.2 } }
miner = { plugin = "own-miners.wasm", strategy = "batch-hard" }
"#;

fn own() -> Lab {
    let lab = Lab::new(OWN);
    component(&lab, "live.wasm", "losses", 0);
    component(&lab, "own-miners.wasm", "miners", 0);
    lab
}

#[test]
fn a_parameter_is_taken_at_the_next_epoch() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &[]);
    let (step, next) = live.pause();
    let verdict = live.edit("margin = 0.2", "margin = 0.5");
    assert_eq!(verdict["verdict"], "accepted", "{verdict}");
    let change = json!([{ "key": "objective.0.loss.params.margin", "from": 0.2, "to": 0.5 }]);
    assert_eq!(verdict["changes"], change);
    let canary = &verdict["canary"];
    assert!(canary["loss"].as_f64().unwrap() > canary["live-loss"].as_f64().unwrap(), "{canary}");
    assert!((canary["cosine"].as_f64().unwrap() - 1.0).abs() < 0.5, "{canary}");
    assert_eq!(live.status()["step"], step, "it is paused");
    live.go_on();
    let swap = live.event("swap");
    assert_eq!((&swap["step"], &swap["changes"]), (&json!(next), &change));
    let run = live.stop_and_replay();
    assert_eq!(journal(&run, "swap").len(), 1);
    assert!(run.text("revisions/0001/experiment.toml").contains("margin = 0.5"));
    assert!(run.text("experiment.toml").contains("margin = 0.2"), "what the run began with stays");
}

#[test]
fn a_component_that_does_the_same_changes_nothing() {
    let lab = own();
    let mut live = Live::start(&lab, &[]);
    component(&lab, "live.wasm", "losses", 1);
    let verdict = live.verdict();
    assert_eq!((&verdict["verdict"], &verdict["changes"]), (&json!("accepted"), &json!([])));
    assert_eq!(verdict["canary"]["cosine"].as_f64().map(|cosine| (cosine * 1e9).round()), Some(1e9));
    let epoch = live.event("swap")["epoch"].as_u64().unwrap();
    live.event("epoch");
    live.command_done("stop");
    let (_, run) = live.finish();
    // The run without the swap, as far as both went.
    component(&lab, "live.wasm", "losses", 0);
    let epochs = format!("epochs={}", epoch + 1);
    let clean = lab.train(&[&epochs, "evaluation.test=false", "evaluation.every=1000000", "name=clean"]);
    let rows = clean.rows("step");
    assert!(rows.len() as u64 > epoch && run.rows("step")[..rows.len()] == rows[..]);
    let name = format!("epoch-{:04}", epoch + 1);
    if run.files("checkpoints").contains(&format!("{name}.safetensors")) {
        assert!(run.checkpoint(&name) == clean.checkpoint(&name));
    }
    assert_eq!(run.files("plugins").len(), 3);
}

#[test]
fn what_cannot_change_is_refused_with_the_reason() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &[]);
    for (from, to, reason) in [
        ("width = 4", "width = 6", "model.width: 4 -> 6: this cannot change in a running training: it is the network"),
        ("samples = 4", "samples = 5", "the batches of the whole run are drawn from it"),
        ("\"adamw\"", "\"sgd\"", "optimizer.name"),
        ("margin = 0.2", "margin = -1", "margin"),
        ("margin = 0.2", "margn = 0.2", "did you mean `margin`"),
        ("\"triplet\"", "\"triple\"", "did you mean `triplet`"),
        ("[optimizer]", "[optimizer", "experiment.toml"),
        ("seed = 1", "seed = 1\nsed = 2", "unknown key `sed`"),
        ("plugin = \"losses\"", "plugin = \"loses\"", "there is no plugin `loses`"),
    ] {
        let verdict = live.edit(from, to);
        let text = verdict.to_string().replace("\\\"", "\"");
        assert!(verdict["verdict"] == "refused" && text.contains(reason), "{to}: {verdict}");
        lab.replace(to, from);
        assert_eq!(live.verdict()["verdict"], "same");
    }
    let run = live.stop_and_replay();
    assert!(journal(&run, "swap").is_empty());
}

#[test]
fn a_gradient_that_is_not_finite_is_refused_with_its_operation() {
    let lab = own();
    let mut live = Live::start(&lab, &[]);
    component(&lab, "mistakes.wasm", "test-mistakes", 0);
    let mut before = r#"plugin = "live.wasm", strategy = "triplet", params = { margin = 0.2 }"#.to_owned();
    for (strategy, words) in [
        ("root-of-zero", ["its gradient is not finite", "backward pass of operation `sqrt`", "loss `root-of-zero`"]),
        ("dead-parameter", ["the gradient of `objective.0.loss/scale` is not finite", "operation `sqrt`", "float []"]),
        ("log-of-zero", ["returned -inf", "operation `log`", "the first whose result is not finite"]),
    ] {
        let after = format!(r#"plugin = "mistakes.wasm", strategy = "{strategy}""#);
        let verdict = live.edit(&before, &after);
        let reason = verdict["reason"].as_str().unwrap_or_default();
        assert!(words.iter().all(|words| reason.contains(words)), "{strategy}: {verdict}");
        before = after;
    }
    let run = live.stop_and_replay();
    assert!(journal(&run, "swap").is_empty());
}

#[test]
fn of_two_edits_at_once_a_bad_one_keeps_the_good_one_out() {
    let lab = own();
    let mut live = Live::start(&lab, &["session.quiet-ms=300"]);
    component(&lab, "live.wasm", "losses", 1);
    fs::write(lab.path("own-miners.wasm"), "no component").unwrap();
    let verdict = live.verdict();
    assert!(verdict["reason"].as_str().unwrap().contains("not WebAssembly"), "{verdict}");
    let (first, second) = (live.event("epoch"), live.event("epoch"));
    assert_eq!(live.status()["revision"], 0, "{first} {second}");
    component(&lab, "own-miners.wasm", "miners", 1);
    assert_eq!(live.verdict()["verdict"], "accepted");
    let swap = live.event("swap");
    let run = live.stop_and_replay();
    let hashes: Vec<_> = swap["plugins"].as_array().unwrap().iter().map(|plugin| plugin["hash"].clone()).collect();
    let before = run.lines("journal.jsonl");
    assert!(hashes.len() == 2 && before.iter().filter(|entry| entry["event"] == "swap").count() == 1);
    assert_eq!(run.files("plugins").len(), 4, "both are new");
}

#[test]
fn many_saves_are_one_edit() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &["session.quiet-ms=400"]);
    live.pause();
    for number in 1..=10 {
        let before = if number == 1 { "margin = 0.2".into() } else { format!("margin = 0.{:02}", 30 + number - 1) };
        lab.replace(&before, &format!("margin = 0.{:02}", 30 + number));
    }
    let verdict = live.verdict();
    assert_eq!((&verdict["number"], &verdict["changes"][0]["to"]), (&json!(1), &json!(0.4)));
    live.go_on();
    live.event("swap");
    live.stop_and_replay();
}

#[test]
fn files_may_vanish_be_cut_short_and_come_back() {
    let lab = own();
    fs::create_dir(lab.path("folder")).unwrap();
    component(&lab, "folder/linked.wasm", "losses", 3);
    component(&lab, "folder/second.wasm", "losses", 4);
    let mut live = Live::start(&lab, &[]);
    let whole = fs::read(lab.path("live.wasm")).unwrap();

    fs::remove_file(lab.path("live.wasm")).unwrap();
    let verdict = live.verdict();
    assert!(verdict["reason"].as_str().unwrap().contains("there is no plugin at"), "{verdict}");
    fs::write(lab.path("live.wasm"), &whole).unwrap();
    assert_eq!(live.verdict()["verdict"], "same");

    fs::write(lab.path("live.wasm"), &whole[..whole.len() / 2]).unwrap();
    let verdict = live.verdict();
    assert!(verdict["reason"].as_str().unwrap().contains("not valid"), "{verdict}");
    component(&lab, "live.wasm", "losses", 1);
    assert_eq!(live.verdict()["verdict"], "accepted");
    live.event("swap");

    // A link that is swapped in one step, twice.
    for file in ["linked", "second"] {
        symlink(lab.path("folder").join(file).with_extension("wasm"), lab.path("link")).unwrap();
        fs::rename(lab.path("link"), lab.path("live.wasm")).unwrap();
        assert_eq!(live.verdict()["verdict"], "accepted", "{file}");
        live.event("swap");
    }
    // The folder behind the link moves away and comes back with another component.
    fs::rename(lab.path("folder"), lab.path("moved")).unwrap();
    assert_eq!(live.verdict()["verdict"], "refused");
    component(&lab, "moved/second.wasm", "losses", 5);
    fs::rename(lab.path("moved"), lab.path("folder")).unwrap();
    assert_eq!(live.verdict()["verdict"], "accepted");
    live.event("swap");
    let run = live.stop_and_replay();
    assert_eq!(journal(&run, "swap").len(), 4);
    assert!(journal(&run, "rollback").is_empty());
}

#[test]
fn a_component_of_another_contract_or_with_foreign_imports_is_refused() {
    let lab = own();
    let mut live = Live::start(&lab, &[]);
    let text = "(component (import \"wasi:clocks/wall-clock@0.2.0\" (instance)))";
    fs::write(lab.path("live.wasm"), wat::parse_str(text).unwrap()).unwrap();
    let verdict = live.verdict();
    assert!(verdict["reason"].as_str().unwrap().contains("wasi:clocks"), "{verdict}");
    let text = "(component (import \"lossmith:plugin/tensor@0.9.0\" (instance)))";
    fs::write(lab.path("live.wasm"), wat::parse_str(text).unwrap()).unwrap();
    let verdict = live.verdict();
    assert!(verdict["reason"].as_str().unwrap().contains("this host speaks"), "{verdict}");
    live.stop_and_replay();
}

#[test]
fn learning_rate_weights_schedule_and_epochs_change_in_flight() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &[]);
    live.swap("learning-rate = 0.003", "learning-rate = 0.001");
    live.event("epoch");
    live.swap("[[objective]]", "[[objective]]\nweight = 3.0");
    live.swap("[run]", "[learning-rate]\nschedule = \"step\"\nstep-epochs = 1\ngamma = 0.5\n\n[run]");
    let status = live.status();
    let epochs = status["epoch"].as_u64().unwrap() + 20;
    // The command line's `epochs` is an edit before those of the file; a later one wins.
    assert_eq!(live.set(&format!("epochs={epochs}"))["answer"], "done");
    let swap = live.event("swap");
    let (outcome, run) = live.finish();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(run.events().last().unwrap(), "finished");
    assert_eq!(run.rows("epoch").len() as u64, epochs);
    let rates = run.values("epoch", "learning-rate");
    // Means of equal numbers, which are not exact.
    let has = |rate: f64| rates.iter().any(|found| (found - rate).abs() < 1e-12);
    assert!(has(0.003) && has(0.001) && *rates.last().unwrap() < 1e-4, "{rates:?}");
    assert_eq!(swap["changes"][0]["key"], "epochs");
    super::driver::replay(&lab, &run);
}

#[test]
fn an_objective_can_come_and_go() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &[]);
    let second = "[[objective]]\nloss = { plugin = \"proxies\", strategy = \"proxy-anchor\" }\n";
    let text = fs::read_to_string(lab.path("experiment.toml")).unwrap();
    lab.write("experiment.toml", &format!("{text}\n{second}"));
    assert_eq!(live.verdict()["verdict"], "accepted");
    live.event("swap");
    live.event("epoch");
    live.event("epoch");
    lab.write("experiment.toml", &text);
    assert_eq!(live.verdict()["verdict"], "accepted");
    live.event("swap");
    let run = live.stop_and_replay();
    assert!(!run.values("step", "objective.1").is_empty());
}
