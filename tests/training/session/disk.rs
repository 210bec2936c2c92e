//! A disk that is full in the middle of a session.

use std::fs;

use super::driver::{Live, journal};
use crate::faults::with_small_files;
use crate::support::{Lab, MINED_TRIPLETS, Outcome, PROXIES, Run, Running};

const OLD: &str = "learning-rate = 0.003";
/// How many kilobytes files can grow to here, which is more than a component has.
const LIMIT: u32 = 3000;

/// Makes a file of lines so long that so many more bytes fit. Empty lines mean nothing.
fn fill(run: &Run, file: &str, bytes: usize) {
    let text = run.text(file);
    let empty = LIMIT as usize * 1024 - bytes - text.len();
    fs::write(run.path.join(file), text + &"\n".repeat(empty)).unwrap();
}

/// Removes the empty lines of a file.
fn clear(run: &Run, file: &str) {
    let lines = |text: String| text.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect();
    let text: String = lines(run.text(file));
    fs::write(run.path.join(file), text).unwrap();
}

/// A training under `--watch` whose journal will be full.
fn start(lab: &Lab) -> Live<'_> {
    lab.replace("epochs = 2", "epochs = 1000000");
    lab.replace("[run]", "[evaluation]\nevery = 1000000\n\n[session]\nquiet-ms = 20\n\n[run]");
    Live::of(lab, with_small_files(&lab.command(&["--json", "train", "experiment.toml", "--watch"]), LIMIT))
}

#[test]
fn a_candidate_that_cannot_be_recorded_is_not_taken() {
    let lab = Lab::new(PROXIES);
    let mut live = start(&lab);
    live.pause();
    assert_eq!(live.edit(OLD, "learning-rate = 0.001")["verdict"], "accepted");
    fill(&live.run, "journal.jsonl", 0);
    live.go_on();
    let verdict = live.verdict();
    assert!(verdict["reason"].as_str().unwrap().contains("cannot be recorded"), "{verdict}");
    live.event("epoch");
    live.event("epoch");
    assert_eq!(live.status()["revision"], 0);
    live.pause();
    clear(&live.run, "journal.jsonl");
    live.go_on();
    live.swap("learning-rate = 0.001", "learning-rate = 0.002");
    let run = live.stop_and_replay();
    assert_eq!(journal(&run, "swap").len(), 1);
    let mut rates = run.values("step", "learning-rate");
    rates.dedup();
    assert_eq!(rates, [0.003, 0.002]);
}

#[test]
fn a_death_while_the_journal_is_full_costs_nothing() {
    let lab = Lab::new(PROXIES);
    let mut live = start(&lab);
    live.pause();
    // A piece of a line fits.
    fill(&live.run, "journal.jsonl", 10);
    live.go_on();
    live.event("epoch");
    live.event("epoch");
    let run = live.kill();
    clear(&run, "journal.jsonl");
    let text = run.text("journal.jsonl");
    let mut live = Live::resume_with(&lab, &run, &[]);
    live.event("epoch");
    let whole = |line: &&str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    assert!(!text.lines().all(|line| whole(&line)), "there is a piece of a line");
    live.command_done("stop");
    live.finish();
    let lines: Vec<_> = run.text("journal.jsonl").lines().filter(whole).map(|line| format!("{line}\n")).collect();
    fs::write(run.path.join("journal.jsonl"), lines.concat()).unwrap();
    super::driver::replay(&lab, &run);
}

#[test]
fn a_candidate_for_which_there_is_no_room_is_refused() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &[]);
    live.pause();
    // The revision's folder cannot be made.
    fs::write(live.run.path.join("revisions"), "").unwrap();
    let verdict = live.edit(OLD, "learning-rate = 0.001");
    assert!(verdict["verdict"] == "refused" && verdict["reason"].as_str().unwrap().contains("revisions"), "{verdict}");
    fs::remove_file(live.run.path.join("revisions")).unwrap();
    live.go_on();
    live.swap("learning-rate = 0.001", "learning-rate = 0.002");
    live.stop_and_replay();
}

/// A run that was killed in its first epochs.
fn killed(lab: &Lab, sets: &[&str]) -> Run {
    let mut running = Running::start(lab.command(&lab.training(&[sets, &["name=killed"]].concat())));
    running.wait_for("epoch");
    running.signal(libc::SIGKILL);
    running.finish();
    lab.run("killed")
}

#[track_caller]
fn same(run: &Run, whole: &Run, last: &str) {
    for kind in ["step", "epoch", "evaluation"] {
        assert_eq!(run.rows(kind), whole.rows(kind));
    }
    assert!(run.checkpoint(last) == whole.checkpoint(last));
}

#[test]
fn measurements_for_which_there_was_no_room_are_made_again() {
    let lab = Lab::new(PROXIES);
    let sets = ["epochs=12", "run.keep=12"];
    let whole = lab.train(&sets);
    let run = killed(&lab, &sets);
    let resume = ["--json", "train", "--resume", run.name()];
    // The disk is full before a row of a step, of an epoch, and of an evaluation; their lengths are those that were
    // written.
    let rows = whole.text("metrics.jsonl");
    let lines: Vec<_> = rows.lines().map(|line| line.len() + 1).collect();
    for count in 5..=9 {
        fill(&run, "metrics.jsonl", 40 + lines[..count].iter().sum::<usize>());
        let outcome = Outcome::of(&mut with_small_files(&lab.command(&resume), LIMIT));
        assert!(outcome.code == Some(0) || outcome.stderr.contains("no room"), "{outcome:?}");
        clear(&run, "metrics.jsonl");
    }
    lab.lossmith(&resume).ok();
    // What was torn is a line by itself.
    let whole_line = |line: &&str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    let rows = run.text("metrics.jsonl");
    let rows: Vec<_> = rows.lines().filter(whole_line).map(|line| format!("{line}\n")).collect();
    fs::write(run.path.join("metrics.jsonl"), rows.concat()).unwrap();
    same(&run, &whole, "epoch-0012");
}

#[test]
fn a_disk_that_is_full_at_every_checkpoint_is_gone_on_from() {
    let lab = Lab::new(PROXIES);
    // Checkpoints of 6 MB.
    let sets = ["model.width=64", "epochs=4", "run.checkpoint-steps=2", "evaluation.every=4"];
    let whole = lab.train(&sets);
    let run = killed(&lab, &sets);
    let resume = ["train", "--resume", run.name()];
    for _ in 0..2 {
        let outcome = Outcome::of(&mut with_small_files(&lab.command(&resume), LIMIT));
        outcome.fails(1, &["no room to write", ".safetensors"]);
    }
    lab.lossmith(&resume).ok();
    same(&run, &whole, "epoch-0004");
}
