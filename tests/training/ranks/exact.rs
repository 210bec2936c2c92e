//! Several ranks train what one process trains.

use super::{OBJECTIVES, STEADY, launch, launched, log};
use crate::support::{Lab, Run, Running};

/// The plugins of the standard catalogue, and one of the tests.
const PLUGINS: [&str; 10] = [
    "losses",
    "proxies",
    "rankings",
    "regularizers",
    "miners",
    "transfers",
    "balances",
    "schedules",
    "fusions",
    "test-roles",
];

/// The largest difference between the numbers of two checkpoints of networks, where the largest number is near 1.
#[track_caller]
fn difference(a: &Run, b: &Run, checkpoint: &str) -> f32 {
    assert!(a.checkpoint(checkpoint).keys().eq(b.checkpoint(checkpoint).keys()));
    let (a, b) = (a.part(checkpoint, "model/"), b.part(checkpoint, "model/"));
    let numbers = a.iter().map(|(name, tensor)| {
        let pairs = tensor.floats().into_iter().zip(b[name].floats());
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    });
    numbers.fold(0.0, f32::max)
}

#[track_caller]
fn near(a: &Run, b: &Run, checkpoint: &str) {
    let loss = |run: &Run| run.values("step", "loss");
    assert_eq!(loss(a).len(), loss(b).len());
    for (a, b) in loss(a).into_iter().zip(loss(b)) {
        assert!((a - b).abs() < 1e-4 * b.abs(), "{a} {b}");
    }
    // Another rounding may make another pixel the largest of its pool.
    let difference = difference(a, b, checkpoint);
    assert!(difference < 5e-4, "{difference}");
}

#[test]
fn every_standard_strategy_is_on_several_ranks_what_it_is_on_one() {
    let lab = Lab::new(OBJECTIVES);
    let mut strategies = 0;
    for size in ["2", "3", "4"] {
        for plugin in PLUGINS {
            let report = lab.lossmith(&["--json", "plugin", "check", plugin, "--ranks", size]).json();
            for strategy in report["strategies"].as_array().unwrap() {
                let findings = strategy["findings"].as_array().unwrap();
                // One whose every batch is refused has a warning, and nothing to compare.
                let compared = findings.iter().filter(|finding| finding["what"] == "ranks");
                strategies += compared.inspect(|finding| assert_eq!(finding["verdict"], "passed", "{finding}")).count();
            }
        }
    }
    println!("{strategies} comparisons");
    assert!(strategies >= 3 * 60, "{strategies}");
}

#[test]
fn one_two_three_and_four_ranks_train_the_same_run() {
    let lab = Lab::new(OBJECTIVES);
    let alone = lab.train(&STEADY);
    // A batch has 40 images, which three do not divide.
    for size in ["2", "3", "4"] {
        let run = launch(&lab, size, &STEADY);
        near(&run, &alone, "epoch-0002");
        assert_eq!(run.values("evaluation", "validation/recall-at-1").len(), 2);
        assert!(log(&run, 1).contains("rank 1 of"));
    }
    let other = lab.train(&[&STEADY[..], &["objective.0.weight=1.1"]].concat());
    assert!(difference(&other, &alone, "epoch-0002") > 1e-3, "the comparison would see nothing");
}

#[test]
fn without_statistics_of_the_batch_and_in_parts_ranks_train_the_same_run_too() {
    let lab = Lab::new(OBJECTIVES);
    let sets = [&STEADY[..], &["model.freeze-batch-norm=true"]].concat();
    let alone = lab.train(&sets);
    let parts = [&sets[..], &["training.micro-batch=7"]].concat();
    near(&launch(&lab, "2", &sets), &alone, "epoch-0002");
    near(&launch(&lab, "2", &parts), &alone, "epoch-0002");
}

#[test]
fn ranks_with_a_teacher_and_a_fusion_train_the_same_run() {
    let lab = Lab::new(OBJECTIVES);
    let teacher = lab.train(&["name=teacher", "epochs=1"]);
    lab.replace(
        OBJECTIVES,
        r#"
[[objective]]
transfer = { plugin = "transfers", strategy = "relaxed-contrastive" }
balance = { plugin = "balances", strategy = "gradient-share" }

[[objective]]
on = "fused"
loss = { plugin = "losses", strategy = "sup-con" }

[fusion]
plugin = "fusions"
strategy = "learned-weights"
"#,
    );
    let teacher = format!("teacher.run={}", teacher.name());
    let sets = [&STEADY[..], &[&teacher, "model.slices=2"]].concat();
    let alone = lab.train(&sets);
    near(&launch(&lab, "2", &sets), &alone, "epoch-0002");
}

#[test]
fn a_run_that_was_stopped_goes_on_to_the_same_bits() {
    let lab = Lab::new(OBJECTIVES);
    let long = ["epochs=6", "run.keep=6"];
    let whole = launch(&lab, "2", &long);
    let cut = [&long[..], &["name=cut"]].concat();
    let mut running = Running::start(lab.command(&launched("2", &["experiment.toml"], &cut)));
    running.wait_for("step");
    running.signal(libc::SIGTERM);
    running.finish().fails(130, &["its state is saved"]);
    let run = lab.run("cut");
    assert_eq!(run.events().last().unwrap(), "interrupted");
    lab.lossmith(&launched("2", &["--resume", run.name()], &[])).ok();
    assert!(run.checkpoint("epoch-0006") == whole.checkpoint("epoch-0006"));
}

#[test]
fn a_run_goes_on_with_another_number_of_ranks() {
    let lab = Lab::new(OBJECTIVES);
    let alone = lab.train(&[&STEADY[..], &["epochs=3"]].concat());
    let run = launch(&lab, "2", &STEADY);
    lab.lossmith(&launched("3", &["--resume", run.name(), "--accept-changes"], &["epochs=3"])).ok();
    near(&run, &alone, "epoch-0003");
    let sizes: Vec<_> = run.lines("journal.jsonl").into_iter().filter_map(|line| line["size"].as_u64()).collect();
    assert_eq!(sizes, [2, 3]);
}

#[test]
fn a_revision_is_taken_by_all_ranks() {
    let lab = Lab::new(OBJECTIVES);
    let margin = ["epochs=3", "objective.1.loss.params.margin=0.4"];
    let resumed = |run: &Run, first: &[&'static str]| {
        let mut arguments = first.to_vec();
        arguments.extend(["--resume", run.name(), "--accept-changes", "--set", margin[0], "--set", margin[1]]);
        lab.lossmith(&arguments).ok();
    };
    let alone = lab.train(&STEADY);
    resumed(&alone, &["--json", "train"]);
    let together = launch(&lab, "2", &STEADY);
    resumed(&together, &["--json", "launch", "-n", "2"]);
    assert!(together.events().contains(&"swap".to_owned()));
    near(&together, &alone, "epoch-0003");
}
