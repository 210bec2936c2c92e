//! What the sandbox costs: the same losses as component and as native `tch` code, in one run.
//!
//! `make bench` runs it. Each loss is computed forward and backward on the CPU in 32 bits, with 4 images a class, by the standard
//! plugin and by the native code in `native.rs` that does the same operations. Criterion measures; at the end a table gives the
//! medians and their ratio. The plugins are those in target/plugins (`make plugins`).
#![expect(clippy::expect_used, reason = "a bench stops at the first thing that does not work")]

mod native;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion};
use lossmith::plugin::{Input, Limits, Params, Plugin, Progress, Role, Runtime, Setting, Slot};
use tch::{Device, Kind, Tensor};

const SIZES: [(i64, i64); 4] = [(32, 64), (120, 512), (512, 512), (1024, 128)];
const LOSSES: [(&str, fn(&Tensor, &Tensor) -> Tensor); 2] =
    [("contrastive", native::contrastive), ("multi-similarity", native::multi_similarity)];

fn main() {
    let mut criterion = Criterion::default()
        .configure_from_args()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(50);
    let runtime = Arc::new(Runtime::new().expect("the engine starts"));
    let losses = load(&runtime, "losses");
    for (name, native) in LOSSES {
        compare(&mut criterion, &runtime, &losses, name, native);
    }
    all_triplets(&mut criterion, &runtime, &losses);
    host(&mut criterion, &runtime, &losses);
    criterion.final_summary();
    table();
}

fn compare(
    criterion: &mut Criterion,
    runtime: &Arc<Runtime>,
    plugin: &Arc<Plugin>,
    name: &str,
    native: fn(&Tensor, &Tensor) -> Tensor,
) {
    let mut group = criterion.benchmark_group(name);
    for (batch, dimension) in SIZES {
        let (embeddings, labels) = data(batch, dimension);
        let mut slot = slot(runtime, plugin, name);
        let ours = component(&mut slot, &embeddings, &labels).double_value(&[]);
        let theirs = native(&embeddings, &labels).double_value(&[]);
        assert!((ours - theirs).abs() <= 1e-5 * theirs.abs(), "{name}: {ours} as component, {theirs} natively");
        let size = format!("{batch}x{dimension}");
        group.bench_function(BenchmarkId::new("component", &size), |bench| {
            bench.iter(|| backward(&component(&mut slot, &embeddings, &labels), &embeddings));
        });
        group.bench_function(BenchmarkId::new("native", &size), |bench| {
            bench.iter(|| backward(&native(&embeddings, &labels), &embeddings));
        });
    }
    group.finish();
}

/// All triplets, against the distance matrix that they are computed from.
fn all_triplets(criterion: &mut Criterion, runtime: &Arc<Runtime>, plugin: &Arc<Plugin>) {
    let mut group = criterion.benchmark_group("triplet");
    let (embeddings, labels) = data(1024, 128);
    let mut slot = slot(runtime, plugin, "triplet");
    group.bench_function(BenchmarkId::new("component", "1024x128"), |bench| {
        bench.iter(|| backward(&component(&mut slot, &embeddings, &labels), &embeddings));
    });
    group.bench_function(BenchmarkId::new("native", "1024x128"), |bench| {
        bench.iter(|| backward(&native::distance_matrix(&native::unit(&embeddings)).sum(Kind::Float), &embeddings));
    });
    group.finish();
}

/// What the host itself costs.
fn host(criterion: &mut Criterion, runtime: &Arc<Runtime>, plugin: &Arc<Plugin>) {
    let mut group = criterion.benchmark_group("host");
    let path = path("losses");
    group.bench_function("componentize-and-compile", |bench| {
        bench.iter(|| Plugin::load(runtime, &path, &Arc::new(Limits::default())).expect("the plugin loads"));
    });
    group.bench_function("instantiate-and-call", |bench| {
        bench.iter(|| refusal(&mut slot(runtime, plugin, "triplet")));
    });
    let mut slot = slot(runtime, plugin, "triplet");
    group.bench_function("call", |bench| bench.iter(|| refusal(&mut slot)));
    group.finish();
}

/// A call that ends after the first host operations: one image has no triplets.
fn refusal(slot: &mut Slot) -> Tensor {
    let embeddings = Tensor::ones([1, 1], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    component(slot, &embeddings, &Tensor::from_slice(&[0_i64]))
}

fn load(runtime: &Runtime, name: &str) -> Arc<Plugin> {
    Plugin::load(runtime, &path(name), &Arc::new(Limits::default())).expect("`make plugins` has been run")
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/plugins").join(name).with_extension("wasm")
}

fn slot(runtime: &Arc<Runtime>, plugin: &Arc<Plugin>, name: &str) -> Slot {
    let strategy = plugin.strategy(Role::Loss, name).expect("a standard loss");
    let params = Params::new(strategy, &BTreeMap::new()).expect("defaults fit");
    let limits = Arc::new(Limits::default());
    let setting = Setting { device: Device::Cpu, float: Kind::Float, seed: 0, slot: 0, limits };
    Slot::new(Arc::clone(runtime), Arc::clone(plugin), Role::Loss, name, params, setting).expect("a slot")
}

fn data(batch: i64, dimension: i64) -> (Tensor, Tensor) {
    tch::manual_seed(0);
    let embeddings = Tensor::randn([batch, dimension], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    (embeddings, Tensor::arange(batch, (Kind::Int64, Device::Cpu)).floor_divide_scalar(4))
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

/// Prints the medians that Criterion wrote, with ratios.
fn table() {
    let median = |group: &str, name: &str| -> Option<f64> {
        let criterion = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/criterion");
        let text = std::fs::read(criterion.join(group).join(name).join("new/estimates.json")).ok()?;
        serde_json::from_slice::<serde_json::Value>(&text).ok()?.pointer("/median/point_estimate")?.as_f64()
    };
    println!("\n{:<18} {:>9} {:>14} {:>14} {:>7}", "loss", "B x D", "component us", "native us", "ratio");
    for (name, _) in LOSSES {
        for (batch, dimension) in SIZES {
            let size = format!("{batch}x{dimension}");
            let times = median(name, &format!("component/{size}")).zip(median(name, &format!("native/{size}")));
            if let Some((component, native)) = times {
                println!(
                    "{name:<18} {size:>9} {:>14.1} {:>14.1} {:>7.3}",
                    component / 1e3,
                    native / 1e3,
                    component / native
                );
            }
        }
    }
    if let Some((triplets, matrix)) = median("triplet", "component/1024x128").zip(median("triplet", "native/1024x128"))
    {
        println!(
            "\nall triplets at 1024x128: {:.1} ms, {:.2} times its distance matrix ({:.1} ms)",
            triplets / 1e6,
            triplets / matrix,
            matrix / 1e6
        );
    }
    for (name, what) in [
        ("componentize-and-compile", "loading a core module: componentize, compile, describe"),
        ("instantiate-and-call", "a new store and instance, and the smallest call of a loss"),
        ("call", "the smallest call of a loss"),
    ] {
        if let Some(time) = median("host", name) {
            println!("{what}: {:.1} us", time / 1e3);
        }
    }
}
