//! What goes wrong in the middle of a training.

use std::process::Command;

use crate::support::{Lab, Outcome, PROXIES, Running};

const FAILING: &str = r#"
[[objective]]
loss = { plugin = "proxies", strategy = "proxy-anchor" }

[[objective]]
weight = 0.0
loss = { plugin = "test-roles", strategy = "failing", params = { after = 8 } }
"#;

#[test]
fn a_fault_of_a_plugin_keeps_the_state_before_the_step() {
    let lab = Lab::new(FAILING);
    lab.try_train(&[]).fails(4, &["failing", "test-roles", "NaN"]);
    let run = lab.run("tiny");
    assert_eq!(run.events(), ["started", "checkpoint", "failed"]);
    assert!(run.files("checkpoints").contains(&"interrupted.safetensors".to_owned()));
    assert_eq!(run.rows("step").len(), 8);
    assert_eq!(lab.lossmith(&["--json", "runs", "list"]).json()[0]["status"], "failed");
    lab.lossmith(&["eval", run.name()]).ok();
    // It fails again at the same step.
    lab.lossmith(&["train", "--resume", run.name()]).fails(4, &["NaN"]);
    assert_eq!(run.rows("step").len(), 8);
}

#[test]
fn a_fault_at_the_first_step_of_an_epoch_leaves_its_checkpoint_as_it_is() {
    let lab = Lab::new(FAILING);
    let good = lab.train(&["objective.1.loss.params.after=1000"]);
    lab.try_train(&["objective.1.loss.params.after=6", "name=failing"]).fails(4, &["NaN"]);
    let run = lab.run("failing");
    assert!(run.checkpoint("epoch-0001") == good.checkpoint("epoch-0001"));
    assert_eq!(run.files("checkpoints"), ["best.safetensors", "epoch-0001.safetensors"]);
}

/// The command in a shell that lets files grow to `kilobytes` only, as on a disk that is full.
pub(super) fn with_small_files(command: &Command, kilobytes: u32) -> Command {
    let mut shell = Command::new("bash");
    // Without the trap the system would end the process at once.
    shell.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$0\" \"$@\""));
    shell.arg(command.get_program()).args(command.get_args());
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
fn a_full_disk_leaves_the_checkpoints_that_there_are() {
    let lab = Lab::new(PROXIES);
    // Checkpoints of 6 MB, which is more than a component has.
    let sets = ["model.width=64", "epochs=3"];
    let whole = lab.train(&sets);
    let mut running = Running::start(lab.command(&lab.training(&[&sets, ["name=killed"].as_slice()].concat())));
    running.wait_for("epoch");
    running.signal(libc::SIGKILL);
    running.finish();
    let run = lab.run("killed");
    let there = run.files("checkpoints");

    let resume = ["train", "--resume", run.name()];
    let outcome = Outcome::of(&mut with_small_files(&lab.command(&resume), 3000));
    outcome.fails(1, &["no room to write", "checkpoints/epoch-0002.safetensors", "make room on that disk"]);
    assert_eq!(run.events().last().unwrap(), "failed");
    assert_eq!(run.files("checkpoints"), there);
    lab.lossmith(&["eval", run.name(), "--checkpoint", "1"]).ok();

    lab.lossmith(&resume).ok();
    assert!(run.checkpoint("epoch-0003") == whole.checkpoint("epoch-0003"));
}

#[test]
fn a_disk_that_is_full_from_the_start_leaves_no_run() {
    let lab = Lab::new(PROXIES);
    // The components do not fit.
    let outcome = Outcome::of(&mut with_small_files(&lab.command(&lab.training(&[])), 100));
    outcome.fails(1, &["no room to write", ".wasm"]);
    assert!(lab.runs().is_empty(), "a run was left");
}
