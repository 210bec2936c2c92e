//! Attacks that come out only after the call: in a training each is the fault of who made it, never libtorch's.

use std::process::Command;

use crate::support::{Lab, Outcome};

/// An objective as it is, and one of the plugin that attacks.
fn with(attack: &str) -> Lab {
    let plain = "\n[[objective]]\nloss = { plugin = \"proxies\", strategy = \"proxy-anchor\" }\n";
    Lab::new(&format!("{plain}\n[[objective]]\n{attack}\n"))
}

fn strategy(params: &str) -> String {
    format!("{{ plugin = \"evil\", strategy = \"attack\", params = {{ {params} }} }}")
}

pub(super) fn loss(params: &str) -> Lab {
    with(&format!("loss = {}", strategy(params)))
}

/// An objective on what the attacking fusion makes.
pub(super) fn fusion(params: &str) -> Lab {
    with(&format!(
        "on = \"fused\"\nloss = {{ plugin = \"losses\", strategy = \"multi-similarity\" }}\n\n[fusion]\n\
         plugin = \"evil\"\n\
         strategy = \"attack\"\nparams = {{ {params} }}"
    ))
}

#[track_caller]
fn fails(lab: &Lab, phrases: &[&str]) {
    let outcome = lab.try_train(&[]);
    assert!(!outcome.stderr.contains("Exception raised") && !outcome.stderr.contains("frame #"), "{}", outcome.stderr);
    outcome.fails(4, &[&["plugin `evil`"], phrases].concat());
}

#[test]
fn a_fusion_of_a_wrong_shape_is_told_before_anything_is_trained() {
    for (how, phrase) in [
        ("how = \"by-size\"", "columns where it returned"),
        ("how = \"wide\", n = 200000", "reached the limit fused-columns = 65536 (wanted 200000)"),
        ("how = \"zero\"", "a fused embedding of shape"),
    ] {
        let lab = fusion(how);
        fails(&lab, &["fusion `attack`", phrase]);
        assert!(lab.runs().is_empty(), "{how}: a run was made");
    }
    let lab = fusion("how = \"\"");
    let outcome = lab.try_train(&["limits.fused-bytes=100"]);
    outcome.fails(4, &["fusion `attack`", "reached the limit fused-bytes = 100"]);
}

#[test]
fn a_fusion_that_ends_the_way_back_is_at_fault() {
    let lab = fusion("how = \"detach\", after = 8");
    fails(&lab, &["fusion `attack`", "a value without gradient"]);
    let run = lab.run("tiny");
    assert_eq!(run.rows("step").len(), 8);
    assert_eq!(run.events().last().unwrap(), "failed");
    // It is the same again, from the state before that step.
    lab.lossmith(&["train", "--resume", run.name()]).fails(4, &["fusion `attack`", "a value without gradient"]);
}

#[test]
fn a_graph_without_a_backward_pass_is_its_plugins_fault() {
    let failed = "operation `backward` failed on the graph of its result";
    fails(&loss("how = \"no-backward\", after = 8"), &["loss `attack`", failed]);
    fails(&fusion("how = \"no-backward\", after = 8"), &["fusion `attack`", failed]);
    let attack = |params: &str| strategy(params);
    let transfer = |transfer: &str, balance: &str| {
        with(&format!("transfer = {}\nbalance = {}\n\n", attack(transfer), attack(balance)))
    };
    let later = "how = \"no-backward\", after = 8";
    fails(&transfer(later, "how = \"\""), &["transfer `attack`", failed]);
    fails(&transfer("how = \"\"", later), &["balance `attack`", failed]);
}

#[test]
fn pair_losses_that_are_not_finite_are_the_transfers_fault() {
    for how in ["nan", "infinity", "huge", "part-nan", "by-value"] {
        let balance = if how == "part-nan" { "part" } else { "" };
        let (transfer, balance) =
            (strategy(&format!("how = \"{how}\", after = 8")), strategy(&format!("how = \"{balance}\"")));
        let lab = with(&format!("transfer = {transfer}\nbalance = {balance}"));
        fails(&lab, &["transfer `attack`", "which is not finite"]);
        if how != "part-nan" {
            fails(&with(&format!("transfer = {transfer}")), &["transfer `attack`", "which is not finite"]);
        }
    }
    let (right, wrong) = (strategy("how = \"\""), strategy("how = \"nan\", after = 8"));
    fails(&with(&format!("transfer = {right}\nbalance = {wrong}")), &["balance `attack`", "NaN, which is not finite"]);
}

#[test]
fn a_miner_and_a_schedule_are_blamed_for_what_they_made() {
    let objective = |key: &str, params: &str| {
        with(&format!("loss = {{ plugin = \"losses\", strategy = \"contrastive\" }}\n{key} = {}", strategy(params)))
    };
    fails(&objective("miner", "n = 100000000"), &["miner `attack`", "reached the limit tuples"]);
    fails(&objective("miner", "n = 2000000"), &["miner `attack`", "different ones"]);
    fails(&objective("schedule", "value = 1e308"), &["schedule `attack`", "the threshold", "too large"]);
}

/// The command in a shell that gives it so much address space only.
fn with_address_space(command: &Command, gigabytes: u32) -> Command {
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(format!("ulimit -v {}; exec \"$0\" \"$@\"", gigabytes << 20));
    shell.arg(command.get_program()).args(command.get_args()).current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

#[test]
fn a_machine_without_memory_is_no_fault_of_a_plugin() {
    // 16 GB at once, within limits that are as wide.
    let wide = [
        "limits.tensor-elements=4000000000",
        "limits.tensor-bytes=1000000000000",
        "limits.host-elements=1000000000000",
        "limits.deadline-ms=3600000",
    ];
    let lab = loss("how = \"exp\", n = 4000000000, after = 8");
    let outcome = Outcome::of(&mut with_address_space(&lab.command(&lab.training(&wide)), 8));
    outcome.fails(1, &["out of memory in plugin `evil`", "the machine gives no more memory", "not the plugin's fault"]);
    let run = lab.run("tiny");
    assert_eq!(run.rows("step").len(), 8);
    assert!(run.files("checkpoints").contains(&"interrupted.safetensors".to_owned()));
}
