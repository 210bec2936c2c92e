//! What a step waits for on a device, the host's own work included: counted on the CPU, where the same code runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use lossmith::experiment::Source;
use lossmith::standard::Standard;
use lossmith::train::{Interrupts, Training, TrainingEvent};
use lossmith_plugin::Runtime;
use lossmith_torch_shim::count_waits;
use tch::Device;

use crate::support::Lab;

const CONTRASTIVE: &str = r#"
[[objective]]
loss = { plugin = "losses", strategy = "contrastive" }
"#;

const TWO_WITH_STATE: &str = r#"
[[objective]]
loss = { plugin = "proxies", strategy = "proxy-anchor" }

[[objective]]
loss = { plugin = "losses", strategy = "contrastive", params = { memory-size = 64 } }
"#;

/// Steps and waits of an epoch without a row of metrics inside.
fn epoch(lab: &Lab, sets: &[&str]) -> (u64, BTreeMap<String, u64>) {
    let directory = format!("run.directory={:?}", lab.path("runs"));
    // How often k-means goes round, which the evaluation does for `nmi`, depends on the weights.
    let evaluation = "evaluation.nmi=false";
    // As on a GPU: what runs as one does so on the CPU alone.
    let fuse = "limits.fuse=false";
    let common = ["epochs=1", "run.log-every=100000", evaluation, fuse, directory.as_str()];
    let sets: Vec<String> = common.iter().chain(sets).map(|set| (*set).to_owned()).collect();
    let source = Source::read(&lab.path("experiment.toml"), &sets).unwrap();
    let runtime = Arc::new(Runtime::new().unwrap());
    let mut training = Training::start(&source, runtime, &Standard::from_environment()).unwrap();
    let mut steps = 0;
    let mut watch = |event: TrainingEvent<'_>| steps += u64::from(matches!(event, TrainingEvent::Step { .. }));
    let trained = count_waits(Device::Cpu, || training.train(&Interrupts::default(), &mut watch));
    let (ended, waits) = trained.unwrap();
    ended.unwrap();
    (steps, waits)
}

/// Asserts that more steps are no more waits: what waits is the end of the epoch, with its evaluation.
fn assert_steps_do_not_wait(objectives: &str, sets: &[&str]) {
    let lab = Lab::new(objectives);
    let with = |samples: &'static str| epoch(&lab, &[&[samples], sets].concat());
    let ((few, of_few), (many, of_many)) = (with("sampler.samples=4"), with("sampler.samples=2"));
    assert!(many > few, "{many} steps, {few} steps");
    assert!(!of_few.is_empty(), "the evaluation reads nothing");
    assert_eq!(of_few, of_many, "in {few} steps, in {many} steps");
}

#[test]
fn a_step_without_logging_waits_for_nothing() {
    assert_steps_do_not_wait(CONTRASTIVE, &["optimizer.clip-norm=1.0"]);
}

#[test]
fn state_and_other_optimizers_wait_for_nothing() {
    assert_steps_do_not_wait(TWO_WITH_STATE, &["optimizer.name=\"sgd\"", "optimizer.momentum=0.9"]);
}

#[test]
fn a_bfloat16_network_waits_for_nothing() {
    assert_steps_do_not_wait(CONTRASTIVE, &["precision=\"bf16\""]);
}

#[test]
fn operations_that_run_as_one_wait_for_nothing() {
    assert_steps_do_not_wait(CONTRASTIVE, &["limits.fuse=true"]);
}

#[test]
fn a_batch_in_parts_waits_for_nothing() {
    assert_steps_do_not_wait(CONTRASTIVE, &["training.micro-batch=5"]);
}
