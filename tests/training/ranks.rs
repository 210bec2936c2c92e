//! Several processes that train one run: that they train what one does, and what happens where one of them fails.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::support::{Lab, Outcome, Run, Running};

mod exact;
mod lost;

/// Objectives of every kind: with parameters of their own, a miner, a memory, a fusion that learns, a transfer.
const OBJECTIVES: &str = r#"
[[objective]]
loss = { plugin = "proxies", strategy = "proxy-anchor" }

[[objective]]
loss = { plugin = "losses", strategy = "triplet", params = { margin = 0.2 } }
miner = { plugin = "miners", strategy = "batch-hard" }

[[objective]]
loss = { plugin = "losses", strategy = "contrastive", params = { memory-size = 50 } }

[[objective]]
weight = 0.1
loss = { plugin = "test-roles", strategy = "noise" }
"#;

/// Small steps of the plain gradient: differences in the last bits stay where they are.
const STEADY: [&str; 3] = ["optimizer.name=sgd", "optimizer.learning-rate=0.001", "epochs=2"];

/// The arguments that train the experiment by so many ranks.
fn launched<'a>(size: &'a str, arguments: &[&'a str], sets: &[&'a str]) -> Vec<&'a str> {
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    ["--json", "launch", "-n", size].into_iter().chain(arguments.iter().copied()).chain(sets).collect()
}

#[track_caller]
fn launch(lab: &Lab, size: &str, sets: &[&str]) -> Run {
    lab.run_of(&lab.lossmith(&launched(size, &["experiment.toml"], sets)).ok())
}

/// A port that nobody listens on.
fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

/// A command as one of `size` ranks, as torchrun or somebody by hand starts it. Rank 0 hosts the store.
fn as_rank(mut command: Command, rank: usize, size: usize, port: &str) -> Command {
    let (rank, size) = (rank.to_string(), size.to_string());
    command.envs([("RANK", &rank), ("LOCAL_RANK", &rank), ("WORLD_SIZE", &size), ("LOCAL_WORLD_SIZE", &size)]);
    command.envs([("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", port)]);
    command
}

/// A command as one of two tasks that srun starts.
fn as_task(mut command: Command, rank: usize, port: &str) -> Command {
    let rank = rank.to_string();
    command.envs([("SLURM_PROCID", rank.as_str()), ("SLURM_LOCALID", &rank), ("SLURM_STEP_NUM_TASKS", "2")]);
    command.envs([("SLURM_TASKS_PER_NODE", "2"), ("SLURM_JOB_ID", "7"), ("SLURM_STEP_NODELIST", "nowhere")]);
    command.envs([("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", port)]);
    command
}

/// All ranks of a training.
fn by_hand(lab: &Lab, size: usize, sets: &[&str]) -> Vec<Running> {
    let port = free_port();
    let rank = |rank| Running::start(as_rank(lab.command(&lab.training(sets)), rank, size, &port));
    (0..size).map(rank).collect()
}

/// One rank, whose others do not come.
fn single(lab: &Lab, variables: &[(&str, &str)], arguments: &[&str]) -> Outcome {
    let mut command = as_rank(lab.command(arguments), 0, 2, &free_port());
    Outcome::of(command.envs(variables.iter().copied()))
}

/// The log of a rank.
fn log(run: &Run, rank: usize) -> String {
    std::fs::read_to_string(run.path.join(Path::new("ranks")).join(format!("{rank}.log"))).unwrap()
}
