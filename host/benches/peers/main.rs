//! Our losses and miners as `scripts/peers/theirs.py` measures those of another library: the same batches, in the same
//! form.
//!
//! `make peers` runs both and prints the table. Each case runs in a process of its own, so that no memory of an earlier
//! one is there to be used again. A loss is computed forward and backward, to the embeddings and to its own parameters,
//! a miner forward; 32 bits on the CPU, D = 128, normal random embeddings, four images a class in order, our defaults.
//! A line of JSON for each case: the median of the steps, and how far the resident memory rises above what it was
//! before one more. That is measured in a second process, whose allocator keeps nothing, as on the other side. A loss
//! that is in `lossmith::bench::native` has a second line, for that.
//! Arguments choose cases by name.
//!
//! With `--turns LOSS B D` it makes steps of one loss when `scripts/peers/compiled.py` asks for them (`turns.rs`).
#![expect(clippy::expect_used, reason = "a bench stops at the first thing that does not work")]

#[path = "../support/mod.rs"]
mod support;
mod turns;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lossmith::bench::native::NAMES;
use lossmith_plugin::{Input, Progress, Role, Runtime, Slot, Value};
use serde_json::json;
use tch::{Kind, Tensor};

use support::{data, load, native, peak, slot};

const DIMENSION: i64 = 128;
const SIZES: [i64; 4] = [120, 256, 512, 1024];
/// Classes of a loss with proxies, whatever the batch: image `i` of it is of the class of another one modulo this.
const CLASSES: i64 = 100;

/// Where a case's strategy is; the case `triplet/all` is `triplet` with other parameters.
struct Case {
    name: &'static str,
    package: &'static str,
    role: Role,
    params: &'static str,
}

const fn case(package: &'static str, role: Role, name: &'static str, params: &'static str) -> Case {
    Case { name, package, role, params }
}

const fn loss(package: &'static str, name: &'static str) -> Case {
    case(package, Role::Loss, name, "{}")
}

const fn miner(name: &'static str) -> Case {
    case("miners", Role::Miner, name, "{}")
}

const CASES: [Case; 40] = [
    loss("losses", "contrastive"),
    loss("losses", "triplet"),
    loss("losses", "multi-similarity"),
    loss("losses", "sup-con"),
    loss("losses", "nt-xent"),
    loss("losses", "circle"),
    loss("losses", "lifted-structure"),
    loss("losses", "generalized-lifted"),
    loss("losses", "n-pairs"),
    loss("losses", "angular"),
    loss("losses", "margin"),
    loss("losses", "nca"),
    loss("losses", "tuplet-margin"),
    loss("losses", "intra-pair-variance"),
    loss("losses", "ranked-list"),
    loss("losses", "snr-contrastive"),
    loss("losses", "threshold-consistent-margin"),
    loss("losses", "vicreg"),
    case("losses", Role::Loss, "cross-batch-memory", r#"{ "memory-size": 1024 }"#),
    loss("rankings", "fast-ap"),
    loss("rankings", "smooth-ap"),
    loss("rankings", "histogram"),
    loss("proxies", "proxy-nca"),
    loss("proxies", "proxy-anchor"),
    loss("proxies", "soft-triple"),
    loss("proxies", "arc-face"),
    loss("proxies", "sub-center-arc-face"),
    loss("proxies", "cos-face"),
    loss("proxies", "sphere-face"),
    loss("proxies", "normalized-softmax"),
    miner("batch-hard"),
    miner("batch-easy-hard"),
    case("miners", Role::Miner, "triplet/all", r#"{ "kind": "all" }"#),
    case("miners", Role::Miner, "triplet/semi-hard", r#"{ "kind": "semi-hard" }"#),
    miner("multi-similarity"),
    miner("pair-margin"),
    miner("distance-weighted"),
    miner("angular"),
    miner("hdc"),
    miner("uniform-histogram"),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [flag, role, name, size, who] = arguments.as_slice()
        && (flag == "--time" || flag == "--memory")
    {
        let is = |case: &&Case| case.name == name && case.role.to_string() == *role;
        let case = CASES.iter().find(is).expect("a case of this name");
        let measured = case.measure(size.parse().expect("a batch size"), who, flag == "--memory");
        return println!("{measured}");
    }
    if let [flag, name, size, dimension] = arguments.as_slice()
        && flag == "--turns"
    {
        let is = |case: &&Case| case.name == name && case.role == Role::Loss;
        let case = CASES.iter().find(is).expect("a loss of this name");
        return turns::run(case, size.parse().expect("a batch size"), dimension.parse().expect("a dimension"));
    }
    for case in CASES.iter().filter(|case| arguments.is_empty() || arguments.iter().any(|name| name == case.name)) {
        for size in SIZES {
            for who in ["component"].into_iter().chain(case.has_native().then_some("native")) {
                let run = |flag: &str| {
                    let mut command = Command::new(std::env::current_exe().expect("this program"));
                    command.args([flag, &case.role.to_string(), case.name, &size.to_string(), who]);
                    if flag == "--memory" {
                        command.envs(lossmith::bench::KEEP_NOTHING);
                    }
                    let output = command.stderr(Stdio::inherit()).output().expect("a case starts");
                    assert!(output.status.success(), "{} {size} {who}", case.name);
                    String::from_utf8_lossy(&output.stdout).trim().parse::<f64>().expect("a number")
                };
                let (milliseconds, megabytes) = (run("--time"), run("--memory"));
                let line = json!({
                    "who": who, "role": case.role.to_string(), "op": case.name, "size": size,
                    "milliseconds": milliseconds, "megabytes": megabytes, "reason": null,
                    "threads": tch::get_num_threads(),
                });
                println!("{line}");
            }
        }
    }
}

impl Case {
    fn has_native(&self) -> bool {
        self.role == Role::Loss && NAMES.contains(&self.name)
    }

    /// Milliseconds, or megabytes.
    fn measure(&self, size: i64, who: &str, memory: bool) -> f64 {
        let quantity = |step: &mut dyn FnMut()| if memory { peak(step) } else { time(step) };
        let (embeddings, labels) = data(size, DIMENSION);
        let (labels, class_count) = match self.package {
            "proxies" => (labels.remainder(CLASSES), CLASSES),
            _ => (labels, size / 4),
        };
        if who == "native" {
            let native = native(self.name);
            return quantity(&mut || drop(backward(&native(&embeddings, &labels), &[&embeddings])));
        }
        let mut slot = self.slot();
        let input = || Input {
            embeddings: Some(embeddings.shallow_clone()),
            labels: Some(labels.shallow_clone()),
            class_count,
            slice_count: 1,
            ..Input::default()
        };
        quantity(&mut || self.step(&mut slot, input(), &embeddings))
    }

    fn slot(&self) -> Slot {
        let runtime = Arc::new(Runtime::new().expect("the engine starts"));
        let strategy = match self.name {
            // The loss that the memory is measured with.
            "cross-batch-memory" => "contrastive",
            name => name.split('/').next().expect("a name"),
        };
        let params: BTreeMap<String, Value> = serde_json::from_str(self.params).expect("parameters");
        slot(&runtime, &load(&runtime, self.package), self.role, strategy, &params)
    }

    fn step(&self, slot: &mut Slot, input: Input, embeddings: &Tensor) {
        let progress = Progress { epochs: 2, steps_per_epoch: 2, ..Progress::default() };
        if self.role == Role::Miner {
            let detached = input.embeddings.as_ref().map(Tensor::detach);
            drop(slot.mine(Input { embeddings: detached, ..input }, &progress).expect("the batch is mined"));
            return;
        }
        let loss = slot.loss(input, &progress).expect("the loss is computed");
        drop(slot.take_report());
        let parameters: Vec<Tensor> = slot.state().parameters.values().map(|it| it.tensor.shallow_clone()).collect();
        let learning: Vec<&Tensor> = std::iter::once(embeddings).chain(&parameters).collect();
        drop(backward(&loss, &learning));
    }
}

fn backward(loss: &Tensor, learning: &[&Tensor]) -> Vec<Tensor> {
    Tensor::run_backward(&[loss.to_kind(Kind::Float)], learning, false, false)
}

/// Median milliseconds of at least 7 steps and a second, after ten to warm up.
fn time(step: &mut dyn FnMut()) -> f64 {
    (0..10).for_each(|_| step());
    let (begun, mut times) = (Instant::now(), Vec::new());
    while times.len() < 7 || begun.elapsed() < Duration::from_secs(1) {
        let begun = Instant::now();
        step();
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
