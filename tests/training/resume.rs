//! Stopping and going on.

use crate::support::{Lab, MINED_TRIPLETS, Outcome, PROXIES, Run, Running};

const LAST: &str = "epoch-0012";
const LONG: [&str; 2] = ["epochs=12", "run.keep=12"];

/// Starts a training of twelve epochs and sends a signal after the first event of a kind.
#[track_caller]
fn stopped(lab: &Lab, event: &str, signal: i32) -> (Outcome, Run) {
    let sets = [LONG.as_slice(), &["name=stopped"]].concat();
    let mut running = Running::start(lab.command(&lab.training(&sets)));
    running.wait_for(event);
    running.signal(signal);
    let outcome = running.finish();
    (outcome, lab.run("stopped"))
}

#[track_caller]
fn resume(lab: &Lab, run: &Run) {
    let lines = lab.lossmith(&["--json", "train", "--resume", run.name()]).ok();
    assert_eq!(lab.run_of(&lines).path, run.path);
}

#[test]
fn an_interrupted_training_goes_on_to_the_same_weights() {
    let lab = Lab::new(PROXIES);
    let whole = lab.train(&LONG);
    let (outcome, run) = stopped(&lab, "step", libc::SIGINT);
    assert!(outcome.stdout.lines().last().unwrap().contains("interrupted"), "{outcome:?}");
    let hint = format!("train --resume runs/{}`", run.folder());
    outcome.fails(130, &["stopping after this step", "its state is saved", &hint]);
    assert_eq!(run.events().last().unwrap(), "interrupted");
    assert!(run.files("checkpoints").contains(&"interrupted.safetensors".to_owned()));
    assert_eq!(lab.lossmith(&["--json", "runs", "show", run.name()]).json()["status"], "interrupted");

    resume(&lab, &run);
    assert_eq!(run.events().last().unwrap(), "finished");
    assert!(!run.files("checkpoints").contains(&"interrupted.safetensors".to_owned()));
    assert!(run.checkpoint(LAST) == whole.checkpoint(LAST));
    assert_eq!(run.rows("step"), whole.rows("step"));
    assert_eq!(run.rows("evaluation"), whole.rows("evaluation"));
}

#[test]
fn a_killed_training_goes_on_from_its_last_checkpoint() {
    let lab = Lab::new(PROXIES);
    let whole = lab.train(&LONG);
    let (outcome, run) = stopped(&lab, "epoch", libc::SIGKILL);
    assert_eq!(outcome.code, None);
    assert_eq!(lab.lossmith(&["--json", "runs", "show", run.name()]).json()["status"], "died");
    resume(&lab, &run);
    assert!(run.checkpoint(LAST) == whole.checkpoint(LAST));
    assert_eq!(run.rows("evaluation").last(), whole.rows("evaluation").last());
}

#[test]
fn a_finished_run_stays_as_it_is() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = lab.train(&["epochs=1"]);
    let before = (run.text("metrics.jsonl"), run.text("journal.jsonl"), run.checkpoint("epoch-0001"));
    lab.lossmith(&["train", "--resume", run.name()])
        .fails(2, &["is finished after epoch 1", "epochs=NUMBER", "--from"]);
    assert!(before == (run.text("metrics.jsonl"), run.text("journal.jsonl"), run.checkpoint("epoch-0001")));
}

#[test]
fn a_run_that_is_at_work_is_left_alone() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut running = Running::start(lab.command(&lab.training(&["epochs=500"])));
    running.wait_for("step");
    let run = lab.run("tiny");
    lab.lossmith(&["train", "--resume", run.name()]).fails(1, &["another process is training this run"]);
    running.signal(libc::SIGKILL);
    running.finish();
}

#[test]
fn what_is_no_run_cannot_be_resumed() {
    let lab = Lab::new(MINED_TRIPLETS);
    lab.lossmith(&["train", "--resume", "."]).fails(1, &[". is not a run: it has no journal.jsonl", "runs list"]);
    lab.lossmith(&["train", "--resume", "nowhere"]).fails(1, &["nowhere is not a run"]);
    lab.lossmith(&["train"]).fails(2, &["<EXPERIMENT>"]);
    lab.lossmith(&["train", "experiment.toml", "--from", "run@1"]).fails(2, &["cannot be used with"]);
}

/// Losses of a batch with the embeddings of earlier ones.
const MEMORY: &str = r#"
[[objective]]
loss = { plugin = "losses", strategy = "contrastive", params = { memory-size = 50, memory-warm-up = 2 } }
"#;

#[test]
fn a_cross_batch_memory_goes_on_where_it_was() {
    let lab = Lab::new(MEMORY);
    let whole = lab.train(&LONG);
    for (event, signal) in [("step", libc::SIGINT), ("epoch", libc::SIGKILL)] {
        let name = format!("name={event}");
        let sets = [LONG.as_slice(), &[name.as_str()]].concat();
        let mut running = Running::start(lab.command(&lab.training(&sets)));
        running.wait_for(event);
        running.signal(signal);
        assert_ne!(running.finish().code, Some(0), "it was not stopped");
        let run = lab.run(event);
        resume(&lab, &run);
        assert!(run.checkpoint(LAST) == whole.checkpoint(LAST), "{event}");
    }
    // The memory is in the checkpoint, with its position.
    let kept: Vec<String> =
        whole.checkpoint(LAST).into_keys().filter(|name| name.contains("/buffer/memory-")).collect();
    assert_eq!(kept.len(), 3, "{kept:?}");
}
