//! Many slices with a threshold each, against one loss on the whole embedding, and how time and memory grow with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use lossmith_plugin::{Input, Plugin, Progress, Role, Runtime, Slot, Value};
use tch::Tensor;

use super::support::{data, load, peak, slot};
use super::{backward, in_turns};

const DIMENSION: i64 = 512;
const SLICES: [i64; 4] = [1, 4, 16, 64];
const SIZES: [i64; 3] = [64, 256, 1024];

pub(super) fn run(runtime: &Arc<Runtime>) {
    let [losses, miners] = ["losses", "miners"].map(|name| load(runtime, name));
    println!(
        "{:<32} {:>9} {:>12} {:>12} {:>7}",
        "16 slices / whole embedding", "B x D", "slices us", "whole us", "ratio"
    );
    for (mining, dual) in [("batch-hard", "none"), ("batch-hard", "exchange"), ("semi-hard", "none"), ("all", "none")] {
        let (embeddings, labels) = data(256, DIMENSION);
        let mut sliced = sliced(runtime, &losses, mining, dual);
        let mut whole = slot(runtime, &losses, Role::Loss, "triplet", &BTreeMap::new());
        let mut miner = slot(runtime, &miners, Role::Miner, "batch-hard", &BTreeMap::new());
        let batch = |slices| input(&embeddings, &labels, slices);
        let mut single = || {
            let tuples = Some(miner.mine(batch(1), &Progress::default()).expect("the batch is mined"));
            compute(&mut whole, Input { tuples, ..batch(1) })
        };
        let [ours, theirs, ratio] =
            in_turns(|| backward(&compute(&mut sliced, batch(16)), &embeddings), || backward(&single(), &embeddings));
        let name = if dual == "none" { mining.to_owned() } else { format!("{mining}, {dual}") };
        println!("{name:<32} {:>9} {:>12.1} {:>12.1} {ratio:>7.2}", "256x512", ours * 1e6, theirs * 1e6);
    }
    println!("\n{:<32} {:>9} {:>12} {:>12} {:>9}", "multi-threshold", "B x D", "us", "/ one slice", "peak MB");
    for (mining, dual) in [("batch-hard", "exchange"), ("all", "none")] {
        for size in SIZES {
            let (embeddings, labels) = data(size, DIMENSION);
            for slices in SLICES {
                let mut sliced = sliced(runtime, &losses, mining, dual);
                let mut one = self::sliced(runtime, &losses, mining, dual);
                let mut step = || backward(&compute(&mut sliced, input(&embeddings, &labels, slices)), &embeddings);
                let peak = peak(&mut || drop(std::hint::black_box(step())));
                let [ours, _, ratio] =
                    in_turns(step, || backward(&compute(&mut one, input(&embeddings, &labels, 1)), &embeddings));
                let name = format!("{mining}, {dual}, {slices} slices");
                let size = format!("{size}x{DIMENSION}");
                println!("{name:<32} {size:>9} {:>12.1} {ratio:>12.2} {peak:>9.1}", ours * 1e6);
            }
        }
    }
    println!();
}

fn sliced(runtime: &Arc<Runtime>, losses: &Arc<Plugin>, mining: &str, dual: &str) -> Slot {
    let text = |name: &str, value: &str| (name.to_owned(), Value::Text(value.to_owned()));
    let params = BTreeMap::from([text("mining", mining), text("dual", dual)]);
    slot(runtime, losses, Role::Loss, "multi-threshold", &params)
}

fn input(embeddings: &Tensor, labels: &Tensor, slice_count: i64) -> Input {
    Input {
        embeddings: Some(embeddings.shallow_clone()),
        labels: Some(labels.shallow_clone()),
        class_count: labels.size()[0] / 4 + 1,
        slice_count,
        thresholds: (1..=slice_count).map(|slice| 1.4 * slice as f64 / slice_count as f64).collect(),
        ..Input::default()
    }
}

fn compute(slot: &mut Slot, input: Input) -> Tensor {
    let loss = slot.loss(input, &Progress { steps_per_epoch: 2, ..Progress::default() }).expect("the loss is computed");
    drop(slot.take_report());
    loss
}
