//! A run that was killed, stopped or damaged ends as if nothing had happened to it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::thread;

use super::driver::Live;
use crate::support::{Lab, MINED_TRIPLETS, PROXIES, Run, Running};

/// Everything that has a state, and checkpoints inside the epochs.
const SETS: [&str; 8] = [
    "epochs=12",
    "data.augmentation.enabled=true",
    "learning-rate.schedule=step",
    "learning-rate.step-epochs=2",
    "learning-rate.gamma=0.5",
    "run.checkpoint-steps=3",
    "run.keep=12",
    "evaluation.every=2",
];
const LAST: &str = "epoch-0012";

/// A small generator of the test's own: xorshift.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit).unwrap()
    }
}

/// The run of this name; none if no process came far enough to make one.
fn begun(lab: &Lab, name: &str) -> Option<Run> {
    lab.runs().into_iter().find(|run| run.folder().starts_with(name) && run.path.join("journal.jsonl").is_file())
}

/// Starts a run or goes on with it, and sends a signal: after some lines of its output, or while it starts.
#[expect(unsafe_code, reason = "there is no safe way to send a signal")]
fn cut_off(lab: &Lab, sets: &[&str], name: &str, dice: &mut Dice, signal: i32) -> Option<i32> {
    let run = begun(lab, name);
    let arguments = match &run {
        Some(run) => vec!["--json", "train", "--resume", run.name()],
        None => lab.training(sets),
    };
    let mut child = lab.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    if dice.below(4) == 0 {
        (0..dice.below(1 << 16)).for_each(|_| thread::yield_now());
    } else {
        lines.by_ref().take(dice.below(32)).for_each(drop);
    }
    let id = i32::try_from(child.id()).unwrap();
    // SAFETY: the call takes two numbers. The child has not been waited for, so the id is still its own.
    assert_eq!(unsafe { libc::kill(id, signal) }, 0);
    lines.for_each(drop);
    child.wait().unwrap().code()
}

#[track_caller]
fn resume(lab: &Lab, run: &Run) -> String {
    lab.lossmith(&["--json", "train", "--resume", run.name()]).ok()
}

/// What a run measured and came to is what another one did.
#[track_caller]
fn same(run: &Run, whole: &Run, last: &str) {
    for kind in ["step", "epoch", "evaluation"] {
        assert_eq!(run.rows(kind), whole.rows(kind));
    }
    assert!(run.checkpoint(last) == whole.checkpoint(last));
    assert!(run.checkpoint("best") == whole.checkpoint("best"));
    let files = |run: &Run| run.files("checkpoints").into_iter().filter(|file| !file.starts_with(".writing-"));
    assert!(files(run).eq(files(whole)), "{:?}", run.files("checkpoints"));
}

/// Cuts a run off again and again; in the end it is the one that never was.
#[track_caller]
fn survives(times: usize, seed: u64, signal: i32, sets: &[&str]) {
    let lab = Lab::new(PROXIES);
    let sets = [SETS.as_slice(), sets].concat();
    let whole = lab.train(&sets);
    let sets = [sets.as_slice(), &["name=cut"]].concat();
    let mut dice = Dice(seed);
    for _ in 0..times {
        if cut_off(&lab, &sets, "cut-", &mut dice, signal) == Some(0) {
            break;
        }
    }
    if begun(&lab, "cut-").is_none() {
        lab.train(&sets);
    }
    let run = begun(&lab, "cut-").unwrap();
    if run.events().last().unwrap() != "finished" {
        resume(&lab, &run);
    }
    assert_eq!(run.events().last().unwrap(), "finished");
    same(&run, &whole, LAST);
}

#[test]
fn a_run_that_is_killed_at_random_points_ends_as_if_it_never_was() {
    survives(15, 0x9e37_79b9_7f4a_7c15, libc::SIGKILL, &[]);
}

#[test]
fn so_does_one_with_sparse_rows_and_checkpoints_between_them() {
    survives(15, 0xd1b5_4a32_d192_ed03, libc::SIGKILL, &["run.log-every=4", "run.checkpoint-every=3"]);
}

#[test]
fn so_does_one_that_is_interrupted_again_and_again() {
    survives(10, 0x2545_f491_4f6c_dd1d, libc::SIGINT, &["run.log-every=5"]);
}

/// Starts a training and kills it after some events of a kind.
fn killed_after(lab: &Lab, sets: &[&str], event: &str, times: usize) -> Run {
    let sets = [sets, &["name=killed"]].concat();
    let mut running = Running::start(lab.command(&lab.training(&sets)));
    (0..times).for_each(|_| running.wait_for(event));
    running.signal(libc::SIGKILL);
    assert_eq!(running.finish().code, None);
    lab.run("killed")
}

#[test]
fn a_run_that_is_killed_before_its_first_checkpoint_begins_anew() {
    let lab = Lab::new(PROXIES);
    let sets = ["epochs=40", "evaluation.every=40", "run.checkpoint-every=40"];
    let whole = lab.train(&sets);
    let run = killed_after(&lab, &sets, "epoch", 2);
    assert!(run.files("checkpoints").is_empty());
    let ready: serde_json::Value = serde_json::from_str(resume(&lab, &run).lines().next().unwrap()).unwrap();
    assert_eq!(ready["from-step"], 0);
    same(&run, &whole, "epoch-0040");
}

#[test]
fn a_run_that_is_killed_again_before_the_next_checkpoint_loses_nothing() {
    let lab = Lab::new(PROXIES);
    let sets = ["epochs=12", "run.keep=12"];
    let whole = lab.train(&sets);
    let run = killed_after(&lab, &sets, "epoch", 2);
    for _ in 0..3 {
        let mut running = Running::start(lab.command(&["--json", "train", "--resume", run.name()]));
        running.wait_for("step");
        running.signal(libc::SIGKILL);
        running.finish();
    }
    resume(&lab, &run);
    same(&run, &whole, LAST);
}

/// Changes one bit in the middle of a file.
fn damage(run: &Run, file: &str) {
    let path = run.path.join("checkpoints").join(file);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_older_checkpoint_serves_where_the_newest_is_damaged() {
    let lab = Lab::new(PROXIES);
    let sets = ["epochs=12", "run.keep=12"];
    let whole = lab.train(&sets);
    let run = killed_after(&lab, &sets, "epoch", 3);
    let newest = run.files("checkpoints").pop().unwrap();
    damage(&run, &newest);
    let said = resume(&lab, &run);
    let warning = said.lines().find(|line| line.contains("is damaged")).unwrap();
    assert!(warning.contains("\"line\"") && warning.contains(&newest), "{warning}");
    same(&run, &whole, LAST);
}

#[test]
fn a_run_whose_checkpoints_are_all_damaged_says_so() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = killed_after(&lab, &["epochs=500"], "epoch", 2);
    // The best one is another name of one of them.
    run.files("checkpoints").iter().filter(|file| file.starts_with("epoch")).for_each(|file| damage(&run, file));
    lab.lossmith(&["train", "--resume", run.name()]).fails(1, &["checkpoints/epoch-", "is damaged"]);
}

#[test]
fn what_was_half_written_is_removed() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = killed_after(&lab, &["epochs=4"], "epoch", 1);
    for folder in ["", "checkpoints", "plugins"] {
        fs::write(run.path.join(folder).join(".writing-a1B2c3"), "part of a file").unwrap();
    }
    resume(&lab, &run);
    for folder in ["", "checkpoints", "plugins"] {
        assert!(!run.path.join(folder).join(".writing-a1B2c3").exists(), "{folder}");
    }
}

#[test]
fn a_torn_line_is_passed_over() {
    let lab = Lab::new(PROXIES);
    let sets = ["epochs=12", "run.keep=12"];
    let whole = lab.train(&sets);
    let run = killed_after(&lab, &sets, "epoch", 1);
    let torn = [("metrics.jsonl", "{\"kind\":\"step\",\"epoch\":3,\"st"), ("journal.jsonl", "{\"time\":\"20")];
    for (file, piece) in torn {
        fs::write(run.path.join(file), run.text(file) + piece).unwrap();
    }
    resume(&lab, &run);
    for (file, piece) in torn {
        let text = run.text(file);
        assert!(text.contains(&format!("\n{piece}\n")), "the piece is a line of its own");
        fs::write(run.path.join(file), text.replace(&format!("{piece}\n"), "")).unwrap();
    }
    assert_eq!(run.events().last().unwrap(), "finished");
    same(&run, &whole, LAST);
}

/// As if the process had died after it wrote the last checkpoint, and before it made that one the best.
#[test]
fn a_run_that_was_killed_before_its_last_checkpoint_became_the_best_makes_it_so() {
    let lab = Lab::new(MINED_TRIPLETS);
    let sets = ["epochs=1", "name=cut"];
    let run = lab.train(&sets);
    let rows = run.rows("evaluation");
    let (best, test) = (run.checkpoint("best"), run.rows("evaluation").pop().unwrap());
    assert!(test["values"]["test/map-at-r"].is_number());
    fs::remove_file(run.path.join("checkpoints/best.safetensors")).unwrap();
    for file in ["journal.jsonl", "metrics.jsonl"] {
        let text = run.text(file);
        let gone = |line: &&str| !["test/", "\"checkpoint\"", "\"finished\""].iter().any(|word| line.contains(word));
        fs::write(run.path.join(file), text.lines().filter(gone).map(|line| format!("{line}\n")).collect::<String>())
            .unwrap();
    }
    resume(&lab, &run);
    assert!(run.checkpoint("best") == best);
    assert_eq!(run.rows("evaluation"), rows);
}

#[test]
fn a_run_with_a_swap_is_killed_before_at_and_after_it() {
    let lab = Lab::new(PROXIES);
    let mut dice = Dice(0x5851_f42d_4c95_7f2d);
    for (number, margin) in [0.2, 0.3].into_iter().enumerate() {
        let name = format!("name=swap{number}");
        let mut live = Live::start(&lab, &["run.checkpoint-steps=2", &name]);
        let from = "strategy = \"proxy-anchor\"";
        let to = format!("{from}, params = {{ margin = {margin} }}");
        let verdict = live.edit(from, &to);
        assert_eq!(verdict["verdict"], "accepted", "{verdict}");
        if number > 0 {
            live.event("swap");
        }
        (0..dice.below(8)).for_each(|_| drop(live.event("step")));
        let run = live.kill();
        for _ in 0..4 {
            let mut live = Live::resume_with(&lab, &run, &[]);
            (0..dice.below(16)).for_each(|_| drop(live.event("step")));
            live.kill();
        }
        Live::resume_with(&lab, &run, &[]).stop_and_replay();
        lab.replace(&to, from);
    }
}
