//! What the matrices of a large batch cost: time and memory of a loss and its gradient, against the matrix products
//! that they cannot do without.
//!
//! Each case is a process of its own, which takes turns with the products on the same data: rows of `x * x'`, forward
//! and once more for the gradient, and both products of the gradient with `x`. Memory is the most that the process had
//! over what it had with its inputs.
#![expect(clippy::expect_used, reason = "a bench stops at the first thing that does not work")]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other benches need more of it")]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use lossmith_plugin::{Input, Limits, Progress, Role, Runtime, Slot};
use support::{data, load, slot_with};
use tch::{Kind, Tensor};

const DIMENSION: i64 = 128;
/// Rows of a product at a time: on two cores the fastest of 64, 256 and 1024.
const ROWS: i64 = 256;
/// A loss, images of a batch, rounds, and whether its matrices are made a few rows at a time.
const CASES: [(&str, i64, u32, bool); 10] = [
    ("contrastive", 4096, 5, false),
    ("contrastive", 4096, 5, true),
    ("multi-similarity", 4096, 5, false),
    ("multi-similarity", 4096, 5, true),
    ("sup-con", 4096, 5, false),
    ("sup-con", 4096, 5, true),
    ("contrastive", 16_384, 2, true),
    ("sup-con", 16_384, 2, true),
    ("contrastive", 65_536, 1, true),
    ("sup-con", 65_536, 1, true),
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test --benches` asks for a list.
    if arguments.iter().any(|argument| argument == "--list") {
        return;
    }
    if let Some(case) = arguments.iter().position(|argument| argument == "case").and_then(|at| arguments.get(at + 1)) {
        return run(CASES[case.parse::<usize>().expect("a number")]);
    }
    println!(
        "{:<18} {:>6} {:>7} {:>12} {:>12} {:>6} {:>8} {:>6}",
        "loss", "B", "blocks", "ms", "products ms", "ratio", "MB", "B x B"
    );
    for number in 0..CASES.len() {
        let own = std::env::current_exe().expect("this program");
        let status = Command::new(own).args(["case", &number.to_string()]).status().expect("this program runs");
        assert!(status.success(), "case {number} ended with {status}");
    }
}

fn run((name, batch, rounds, blocks): (&str, i64, u32, bool)) {
    let runtime = Arc::new(Runtime::new().expect("the engine starts"));
    let losses = load(&runtime, "losses");
    let limits = Limits {
        matrix_bytes: if blocks { 0 } else { u64::MAX },
        host_elements: u64::MAX,
        tensor_elements: u64::MAX,
        deadline_ms: 3_600_000,
        ..Limits::default()
    };
    let mut slot = slot_with(&runtime, &losses, Role::Loss, name, &BTreeMap::new(), limits);
    let (embeddings, labels) = data(batch, DIMENSION);
    // Libraries and the plugin take memory once, whatever the batch is.
    let (few, classes) = data(64, DIMENSION);
    step(&mut slot, &few, &classes);
    drop(products(&few));
    let before = megabytes();
    step(&mut slot, &embeddings, &labels);
    let most = megabytes() - before;
    let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..rounds {
        let begun = Instant::now();
        step(&mut slot, &embeddings, &labels);
        ours = ours.min(begun.elapsed().as_secs_f64() * 1e3);
        let begun = Instant::now();
        drop(products(&embeddings));
        theirs = theirs.min(begun.elapsed().as_secs_f64() * 1e3);
    }
    let (ratio, matrix) = (ours / theirs, most * 1e6 / (4.0 * (batch * batch) as f64));
    println!("{name:<18} {batch:>6} {blocks:>7} {ours:>12.1} {theirs:>12.1} {ratio:>6.2} {most:>8.0} {matrix:>6.2}");
}

fn step(slot: &mut Slot, embeddings: &Tensor, labels: &Tensor) {
    let input = Input {
        embeddings: Some(embeddings.shallow_clone()),
        labels: Some(labels.shallow_clone()),
        class_count: embeddings.size()[0] / 4 + 1,
        slice_count: 1,
        ..Input::default()
    };
    let loss = slot.loss(input, &Progress::default()).expect("the loss is computed");
    drop(Tensor::run_backward(&[loss], &[embeddings], false, false));
}

/// The products of a loss of all pairs, forward and backward, some rows at a time.
fn products(embeddings: &Tensor) -> [Tensor; 2] {
    let x = embeddings.detach();
    let turned = x.transpose(0, 1);
    let mut parts = Vec::new();
    let mut sum = x.zeros_like();
    for rows in x.split(ROWS, 0) {
        drop(rows.matmul(&turned));
        let matrix = rows.matmul(&turned);
        parts.push(matrix.matmul(&x));
        sum += matrix.transpose(0, 1).matmul(&rows);
    }
    [Tensor::cat(&parts, 0), sum.to_kind(Kind::Float)]
}

/// The most memory that the process ever had.
fn megabytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib * 1024.0 / 1e6)
}
