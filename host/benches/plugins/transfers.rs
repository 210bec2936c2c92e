//! A step of an embedding transfer: transfer, balance and the backward pass to the student's embeddings.
//!
//! The native forms of the transfers and of the balance `sum` are at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use lossmith::bench::native::{distance_matrix, unit};
use lossmith_plugin::{Input, Plugin, Progress, Role, Runtime, Slot, Value};
use tch::{Kind, Tensor};

use super::{backward, data, in_turns, load, slot};

const SIZES: [i64; 3] = [90, 180, 512];
const DIMENSION: i64 = 512;
const ALPHA: f64 = 16.0;
type Native = fn(&Tensor, &Tensor) -> (Tensor, f64);
const TRANSFERS: [(&str, Native); 2] = [("relaxed-contrastive", relaxed_contrastive), ("rkd-distance", rkd_distance)];

/// What a step needs.
struct Batch {
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
}

pub(super) fn run(runtime: &Arc<Runtime>) {
    let plugins = [load(runtime, "transfers"), load(runtime, "balances")];
    println!("\n{:<22} {:>9} {:>14} {:>14} {:>7}", "transfer, sum", "B x D", "component us", "native us", "ratio");
    for (name, transfer) in TRANSFERS {
        for size in SIZES {
            let batch = batch(size);
            let mut sum = Step::new(runtime, &plugins, name, "sum", &[("alpha", ALPHA)]);
            let native = || native_sum(&batch, transfer);
            let (ours, theirs) = (sum.loss(&batch).double_value(&[]), native().double_value(&[]));
            assert!((ours - theirs).abs() <= 1e-5 * theirs.abs(), "{name}: {ours} as component, {theirs} natively");
            let [ours, theirs, ratio] =
                in_turns(|| backward(&sum.loss(&batch), &batch.student), || backward(&native(), &batch.student));
            print_row(name, size, ours, theirs, ratio);
        }
    }
    println!("\n{:<22} {:>9} {:>14} {:>14} {:>7}", "gradient-share", "B x D", "it us", "sum us", "ratio");
    for (name, transfer) in TRANSFERS {
        for size in SIZES {
            let batch = batch(size);
            let mut share = Step::new(runtime, &plugins, name, "gradient-share", &[]);
            let mut sum = Step::new(runtime, &plugins, name, "sum", &[("alpha", ALPHA)]);
            let [ours, theirs, ratio] = in_turns(
                || backward(&share.loss(&batch), &batch.student),
                || backward(&sum.loss(&batch), &batch.student),
            );
            print_row(name, size, ours, theirs, ratio);
            // What one more backward pass costs by itself.
            let [ours, theirs, ratio] = in_turns(
                || {
                    let loss = native_sum(&batch, transfer);
                    drop(Tensor::run_backward(&[&loss], &[&batch.student], true, false));
                    backward(&loss, &batch.student)
                },
                || backward(&native_sum(&batch, transfer), &batch.student),
            );
            print_row("  native, 2 : 1 passes", size, ours, theirs, ratio);
        }
    }
}

fn print_row(name: &str, size: i64, ours: f64, theirs: f64, ratio: f64) {
    let size = format!("{size}x{DIMENSION}");
    println!("{name:<22} {size:>9} {:>14.1} {:>14.1} {ratio:>7.3}", ours * 1e6, theirs * 1e6);
}

fn batch(size: i64) -> Batch {
    let (student, labels) = data(size, DIMENSION);
    // Drawn after the student, so another matrix.
    let teacher = student.detach().randn_like();
    Batch { student, teacher, labels }
}

fn native_sum(batch: &Batch, transfer: Native) -> Tensor {
    let (values, divisor) = transfer(&batch.student, &batch.teacher);
    weighted_sum(&values, &batch.labels, ALPHA, divisor)
}

/// A transfer and its balance.
struct Step {
    transfer: Slot,
    balance: Slot,
}

impl Step {
    fn new(
        runtime: &Arc<Runtime>,
        [transfers, balances]: &[Arc<Plugin>; 2],
        transfer: &str,
        balance: &str,
        params: &[(&str, f64)],
    ) -> Self {
        let params = params.iter().map(|(name, value)| ((*name).to_owned(), Value::Number(*value))).collect();
        Self {
            transfer: slot(runtime, transfers, Role::Transfer, transfer, &BTreeMap::new()),
            balance: slot(runtime, balances, Role::Balance, balance, &params),
        }
    }

    fn loss(&mut self, batch: &Batch) -> Tensor {
        let input = Input {
            embeddings: Some(batch.student.shallow_clone()),
            labels: Some(batch.labels.shallow_clone()),
            teacher: Some(batch.teacher.shallow_clone()),
            class_count: batch.labels.size()[0] / 4 + 1,
            slice_count: 1,
            ..Input::default()
        };
        let progress = Progress::default();
        let pairs = self.transfer.transfer(input.shallow_clone(), &progress).expect("the pair losses are computed");
        let loss = self.balance.balance(pairs, input, &progress).expect("the loss is weighed").0;
        drop(self.balance.take_report());
        loss
    }
}

fn distances(x: &Tensor) -> Tensor {
    distance_matrix(x).expect("the distances are computed")
}

/// Pair losses and divisor of the relaxed contrastive loss with sigma 1 and delta 1.
fn relaxed_contrastive(student: &Tensor, teacher: &Tensor) -> (Tensor, f64) {
    let size = student.size()[0];
    let unit = unit(teacher).expect("unit vectors");
    let relations = ((unit.matmul(&unit.transpose(0, 1)) - 1.0).clamp_max(0.0) * 2.0).exp();
    let distances = distances(student);
    let means = distances.mean_dim(1, true, None).clamp_min(1e-12);
    let relative = distances / means;
    let pairs = Tensor::eye(size, (Kind::Float, student.device())).rsub_scalar(1.0);
    let attract = relations * &pairs;
    let repel = pairs - &attract;
    let pull = relative.square() * attract;
    let push = relative.rsub_scalar(1.0).relu().square() * repel;
    (pull + push, size as f64)
}

/// Pair losses and divisor of RKD's distances.
fn rkd_distance(student: &Tensor, teacher: &Tensor) -> (Tensor, f64) {
    let relative = |x: &Tensor| {
        let distances = distances(x);
        let count = distances.gt(0.0).sum(Kind::Int64).to_kind(Kind::Float).clamp_min(1.0);
        let mean = (distances.sum(Kind::Float) / count).clamp_min(1e-12);
        distances / mean
    };
    let teacher = relative(&unit(teacher).expect("unit vectors"));
    let values = relative(student).smooth_l1_loss(&teacher, tch::Reduction::None, 1.0);
    let size = student.size()[0] as f64;
    (values, size * size)
}

/// The balance `sum` by labels.
fn weighted_sum(values: &Tensor, labels: &Tensor, alpha: f64, divisor: f64) -> Tensor {
    let (rows, columns) = (labels.unsqueeze(1), labels.unsqueeze(0));
    let itself = Tensor::eye(labels.size()[0], (Kind::Bool, labels.device()));
    let same = rows.eq_tensor(&columns).logical_xor(&itself);
    let weights = same.to_kind(Kind::Float) * (alpha - 1.0) + 1.0;
    (values * weights).sum(Kind::Float) / divisor
}
