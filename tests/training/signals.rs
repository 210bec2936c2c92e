//! Signals on the real command: what they save, what they end, and what they leave alone.

use std::process::Command;

use crate::support::{Lab, MINED_TRIPLETS, Outcome, PROXIES, Run, Running};

const LONG: [&str; 3] = ["epochs=12", "run.keep=12", "name=cut"];
/// A training with steps of some length that does not end by itself.
const ENDLESS: [&str; 6] = [
    "epochs=1000000",
    "evaluation.every=1000000",
    "run.checkpoint-every=1000000",
    "model.width=32",
    "name=cut",
    "run.keep=1",
];

/// Starts a training, and sends signals together: the process stands still meanwhile. No two are equal, so none is
/// lost.
#[track_caller]
fn signalled(lab: &Lab, sets: &[&str], signals: &[i32]) -> (Outcome, Run) {
    let mut running = Running::start(lab.command(&lab.training(sets)));
    running.wait_for("step");
    running.signal(libc::SIGSTOP);
    signals.iter().for_each(|signal| running.signal(*signal));
    running.signal(libc::SIGCONT);
    (running.finish(), lab.run("cut"))
}

#[test]
fn two_signals_of_one_shutdown_save_the_run() {
    for pair in [[libc::SIGINT, libc::SIGTERM], [libc::SIGTERM, libc::SIGHUP], [libc::SIGHUP, libc::SIGINT]] {
        let lab = Lab::new(PROXIES);
        let (outcome, run) = signalled(&lab, &ENDLESS, &pair);
        outcome.fails(130, &["stopping after this step", "is being saved", "its state is saved"]);
        assert_eq!(run.events().last().unwrap(), "interrupted");
        assert!(run.files("checkpoints").contains(&"interrupted.safetensors".to_owned()));
    }
}

#[test]
fn a_run_that_two_signals_stopped_goes_on_to_the_same_weights() {
    let lab = Lab::new(PROXIES);
    let whole = lab.train(&LONG[..2]);
    let (outcome, run) = signalled(&lab, &LONG, &[libc::SIGINT, libc::SIGTERM]);
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
    lab.lossmith(&["--json", "train", "--resume", run.name()]).ok();
    assert!(run.checkpoint("epoch-0012") == whole.checkpoint("epoch-0012"));
}

/// The same signal again and again, without waiting: they come while the run is saved, and while the process ends.
#[test]
fn signals_at_any_moment_end_in_one_of_the_codes_of_the_help() {
    let help = Lab::new(PROXIES).lossmith(&["--help"]).ok();
    assert!(help.contains("\n  130  ") && help.contains("\n  131  "), "{help}");
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let lab = Lab::new(PROXIES);
        let mut running = Running::start(lab.command(&lab.training(&ENDLESS)));
        running.wait_for("step");
        running.signal(signal);
        running.signal(signal);
        let outcome = running.finish();
        assert_eq!(outcome.code, Some(130), "{outcome:?}");
        assert_eq!(lab.run("cut").events().last().unwrap(), "interrupted");
    }
}

#[test]
fn a_third_signal_ends_at_once_and_says_what_is_lost() {
    let lab = Lab::new(PROXIES);
    let (outcome, run) = signalled(&lab, &ENDLESS, &[libc::SIGINT, libc::SIGTERM, libc::SIGHUP]);
    outcome.fails(131, &["ended at once", "steps since the last checkpoint", "train --resume"]);
    assert_eq!(run.events(), ["started"]);
    assert_eq!(lab.lossmith(&["--json", "runs", "show", run.name()]).json()["status"], "died");
}

/// The command with a signal that is ignored from the start.
fn ignoring(command: &Command, name: &str) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("trap '' {name}; exec \"$0\" \"$@\"")])
        .arg(command.get_program())
        .args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    for (name, signal) in [("HUP", libc::SIGHUP), ("INT", libc::SIGINT), ("USR1", libc::SIGUSR1)] {
        let lab = Lab::new(MINED_TRIPLETS);
        let mut running = Running::start(ignoring(&lab.command(&lab.training(&LONG)), name));
        running.wait_for("step");
        running.signal(signal);
        let outcome = running.finish();
        assert_eq!(outcome.code, Some(0), "{name}: {outcome:?}");
        let events = lab.run("cut").events();
        assert!(!events.contains(&"control".to_owned()) && events.last().unwrap() == "finished", "{name}: {events:?}");
    }
}

#[test]
fn user_signals_save_the_state_and_the_training_goes_on() {
    for signal in [libc::SIGUSR1, libc::SIGUSR2] {
        let lab = Lab::new(MINED_TRIPLETS);
        let mut running = Running::start(lab.command(&lab.training(&ENDLESS)));
        running.wait_for("step");
        running.signal(signal);
        let line = running.event("line");
        assert_eq!((&line["slot"], &line["level"]), (&"signal".into(), &"info".into()), "{line}");
        running.wait_for("step");
        running.signal(libc::SIGKILL);
        running.finish();
        let run = lab.run("cut");
        assert_eq!(run.events(), ["started", "control"]);
        let files = run.files("checkpoints");
        assert_eq!(files.iter().filter(|file| file.ends_with(".safetensors")).count(), 1, "{files:?}");
        let mut running = Running::start(lab.command(&["--json", "train", "--resume", run.name()]));
        let step = running.event("ready")["from-step"].as_u64().unwrap();
        assert!(line["text"].as_str().unwrap().contains(&format!("after step {step} is saved")), "{line} {step}");
        running.signal(libc::SIGKILL);
        running.finish();
    }
}

#[test]
fn a_sweep_and_a_replay_end_with_the_code_of_the_help() {
    let lab = Lab::new(PROXIES);
    lab.write(
        "sweep.toml",
        "name = \"one\"\nexperiment = \"experiment.toml\"\ndirectory = \"runs\"\nseeds = [1, 2]\n\
         set = [\"epochs=2\"]\n[[setting]]\nname = \"plain\"\n[[method]]\nname = \"alone\"\n",
    );
    let mut running = Running::start(lab.command(&["--json", "sweep", "sweep.toml"]));
    running.wait_for("run");
    running.signal(libc::SIGSTOP);
    [libc::SIGINT, libc::SIGTERM, libc::SIGCONT].into_iter().for_each(|signal| running.signal(signal));
    running.finish().fails(130, &["the sweep was stopped", "go on with the same command"]);
    let run = lab.run("one-plain-alone-s1");
    let mut running = Running::start(lab.command(&["--json", "replay", run.name()]));
    running.wait_for("step");
    running.signal(libc::SIGTERM);
    running.finish().fails(130, &["the repetition was stopped", "nothing is compared"]);
}
