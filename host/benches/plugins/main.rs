//! What the sandbox costs: the same losses as component and as native `tch` code, in one run.
//!
//! `make bench` runs it. Each loss, and each step of an embedding transfer (`transfers.rs`), is computed forward and
//! backward on the CPU in 32 bits, with 4 images a class, by the standard plugin and by native code that does the same
//! operations (`lossmith::bench::native`). The two take turns, so that both meet the same machine: a figure is the
//! median of the rounds, a ratio the median of the rounds' ratios. Criterion measures what has no counterpart. The
//! plugins are those in target/plugins (`make plugins`), and that of the tests for one operation (`operation.rs`).
#![expect(clippy::expect_used, reason = "a bench stops at the first thing that does not work")]

mod operation;
mod slices;
#[path = "../support/mod.rs"]
mod support;
mod transfers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use lossmith::bench::native::{NAMES, distance_matrix, unit};
use lossmith_plugin::{Input, Limits, Plugin, Progress, Role, Runtime, Slot};
use tch::{Device, Kind, Tensor};

use support::{data, load, native, path, slot, slot_with};

const SIZES: [(i64, i64); 4] = [(32, 64), (120, 512), (512, 512), (1024, 128)];

fn main() {
    let runtime = Arc::new(Runtime::new().expect("the engine starts"));
    let losses = load(&runtime, "losses");
    println!(
        "{:<18} {:>9} {:>14} {:>14} {:>14} {:>7} {:>12}",
        "loss", "B x D", "component us", "step by step", "native us", "ratio", "step by step"
    );
    let off = Limits { programs: 0, ..Limits::default() };
    for name in NAMES {
        let native = native(name);
        for (batch, dimension) in SIZES {
            let (embeddings, labels) = data(batch, dimension);
            let mut slot = loss_slot(&runtime, &losses, name);
            let mut plain = slot_with(&runtime, &losses, Role::Loss, name, &BTreeMap::new(), off.clone());
            let ours = component(&mut slot, &embeddings, &labels).double_value(&[]);
            let theirs = native(&embeddings, &labels).double_value(&[]);
            assert!((ours - theirs).abs() <= 1e-5 * theirs.abs(), "{name}: {ours} as component, {theirs} natively");
            let [ours, theirs, ratio] = in_turns(
                || backward(&component(&mut slot, &embeddings, &labels), &embeddings),
                || backward(&native(&embeddings, &labels), &embeddings),
            );
            let [stepped, _, stepped_ratio] = in_turns(
                || backward(&component(&mut plain, &embeddings, &labels), &embeddings),
                || backward(&native(&embeddings, &labels), &embeddings),
            );
            let (size, [ours, stepped, theirs]) =
                (format!("{batch}x{dimension}"), [ours, stepped, theirs].map(|seconds| seconds * 1e6));
            println!(
                "{name:<18} {size:>9} {ours:>14.1} {stepped:>14.1} {theirs:>14.1} {ratio:>7.3} {stepped_ratio:>12.3}"
            );
        }
    }
    // All triplets, against the distance matrix that they are computed from.
    let (embeddings, labels) = data(1024, 128);
    let mut triplet = loss_slot(&runtime, &losses, "triplet");
    let matrix = || unit(&embeddings).and_then(|unit| distance_matrix(&unit)).expect("the distances are computed");
    let [ours, matrix, ratio] = in_turns(
        || backward(&component(&mut triplet, &embeddings, &labels), &embeddings),
        || backward(&matrix().sum(Kind::Float), &embeddings),
    );
    println!(
        "\nall triplets at 1024x128: {:.1} ms, {ratio:.2} times its distance matrix ({:.1} ms)\n",
        ours * 1e3,
        matrix * 1e3
    );
    operation::run(&runtime);
    slices::run(&runtime);
    transfers::run(&runtime);
    let mut criterion = Criterion::default()
        .configure_from_args()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(50);
    host(&mut criterion, &runtime, &losses);
    criterion.final_summary();
}

/// Runs two computations in turns for two seconds. Median seconds of each, and the median ratio.
fn in_turns(mut first: impl FnMut() -> Tensor, mut second: impl FnMut() -> Tensor) -> [f64; 3] {
    let time = |run: &mut dyn FnMut() -> Tensor, times: u32| {
        let begun = Instant::now();
        for _ in 0..times {
            drop(std::hint::black_box(run()));
        }
        begun.elapsed().as_secs_f64() / f64::from(times)
    };
    // Rounds of about 10 ms, after one to warm up.
    let times = (0.01 / time(&mut second, 20)).ceil() as u32;
    let begun = Instant::now();
    let mut rounds = Vec::new();
    while rounds.len() < 20 || begun.elapsed() < Duration::from_secs(2) {
        rounds.push([time(&mut first, times), time(&mut second, times)]);
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let of = |pick: fn(&[f64; 2]) -> f64| median(rounds.iter().map(pick).collect());
    [of(|[first, _]| *first), of(|[_, second]| *second), of(|[first, second]| first / second)]
}

/// What the host itself costs.
fn host(criterion: &mut Criterion, runtime: &Arc<Runtime>, plugin: &Arc<Plugin>) {
    let mut group = criterion.benchmark_group("host");
    let path = path("losses");
    group.bench_function("componentize-and-compile", |bench| {
        bench.iter(|| Plugin::load(runtime, &path, &Arc::new(Limits::default())).expect("the plugin loads"));
    });
    group.bench_function("instantiate-and-call", |bench| {
        bench.iter(|| refusal(&mut loss_slot(runtime, plugin, "triplet")));
    });
    let mut slot = loss_slot(runtime, plugin, "triplet");
    group.bench_function("call", |bench| bench.iter(|| refusal(&mut slot)));
    group.finish();
}

/// A call that ends after the first host operations: one image has no triplets.
fn refusal(slot: &mut Slot) -> Tensor {
    let embeddings = Tensor::ones([1, 1], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    component(slot, &embeddings, &Tensor::from_slice(&[0_i64]))
}

fn loss_slot(runtime: &Arc<Runtime>, plugin: &Arc<Plugin>, name: &str) -> Slot {
    slot(runtime, plugin, Role::Loss, name, &BTreeMap::new())
}

fn component(slot: &mut Slot, embeddings: &Tensor, labels: &Tensor) -> Tensor {
    let input = Input {
        embeddings: Some(embeddings.shallow_clone()),
        labels: Some(labels.shallow_clone()),
        class_count: embeddings.size()[0] / 4 + 1,
        slice_count: 1,
        ..Input::default()
    };
    slot.loss(input, &Progress::default()).expect("the loss is computed")
}

fn backward(loss: &Tensor, embeddings: &Tensor) -> Tensor {
    Tensor::run_backward(&[loss], &[embeddings], false, false).remove(0)
}
