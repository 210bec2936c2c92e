//! Several ranks train what one process trains.

use super::{OBJECTIVES, STEADY, as_task, free_port, launch, launched, log};
use crate::support::{Lab, Run, Running};

/// The plugins of the standard catalogue.
const PLUGINS: [&str; 9] =
    ["losses", "proxies", "rankings", "regularizers", "miners", "transfers", "balances", "schedules", "fusions"];

/// Strategies that refuse every batch without parameters, and two of the tests with buffers and random numbers.
const NEEDY: [(&str, &str, &str); 4] = [
    ("schedules", "list", r#"{"thresholds": [0.5]}"#),
    ("fusions", "weighted", r#"{"weights": [2]}"#),
    ("test-roles", "running-mean", "{}"),
    ("test-roles", "noise", "{}"),
];

/// How many strategies a check compared, all of which passed.
#[track_caller]
fn compared(lab: &Lab, arguments: &[&str]) -> usize {
    let report = lab.lossmith(arguments).json();
    let findings = report["strategies"].as_array().unwrap().iter().flat_map(|one| one["findings"].as_array().unwrap());
    // One whose every batch is refused has a warning, and nothing to compare.
    let compared = findings.filter(|finding| finding["what"] == "ranks");
    compared.inspect(|finding| assert_eq!(finding["verdict"], "passed", "{finding}")).count()
}

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
    // Later another rounding may make another pixel the largest of its pool, and the steps after that go another way.
    for (step, (a, b)) in loss(a).into_iter().zip(loss(b)).enumerate() {
        assert!((a - b).abs() < if step < 2 { 1e-5 } else { 1e-3 } * b.abs(), "{step}: {a} {b}");
    }
    let difference = difference(a, b, checkpoint);
    assert!(difference < 5e-4, "{difference}");
}

#[test]
fn every_standard_strategy_is_on_several_ranks_what_it_is_on_one() {
    let lab = Lab::new(OBJECTIVES);
    let mut strategies = 0;
    for size in ["2", "3", "4"] {
        for plugin in PLUGINS {
            strategies += compared(&lab, &["--json", "plugin", "check", plugin, "--ranks", size]);
        }
        for (plugin, strategy, params) in NEEDY {
            let arguments = ["--json", "plugin", "check", plugin, "--ranks", size, "--strategy", strategy];
            strategies += compared(&lab, &[&arguments[..], &["--params", params]].concat());
        }
    }
    println!("{strategies} comparisons");
    assert!(strategies >= 3 * 80, "{strategies}");
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
    let sets = [&STEADY[..], &[&teacher, "model.slices=2", "model.freeze-batch-norm=true"]].concat();
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

#[test]
fn tasks_of_a_slurm_step_are_ranks() {
    let lab = Lab::new(OBJECTIVES);
    let port = free_port();
    let start = |rank| Running::start(as_task(lab.command(&lab.training(&["epochs=1"])), rank, &port));
    let tasks = [start(0), start(1)];
    for task in tasks {
        task.finish().ok();
    }
    assert!(log(&lab.run("tiny"), 1).contains("rank 1 of 2"));
}

#[test]
fn ranks_measure_what_one_process_measures() {
    let lab = Lab::new(OBJECTIVES);
    // 60 images to measure: nine batches of which three ranks have three each, the last with four images.
    let sets = ["epochs=1", "evaluation.batch-size=7", "evaluation.classification={}"];
    let run = launch(&lab, "3", &sets);
    let row = run.rows("evaluation").remove(0)["values"].clone();
    let measured = lab.lossmith(&["--json", "eval", run.name(), "--checkpoint", "last", "--part", "validation"]).json();
    let measured = &measured["evaluation"];
    assert_eq!(row["validation/nmi"], measured["nmi"]);
    for name in ["intra", "inter"] {
        assert_eq!(row[&format!("validation/{name}-distance")], measured["distances"][name], "{measured}");
    }
    assert_eq!(row["validation/map-at-r"], measured["retrieval"]["overall"]["map-at-r"], "{measured}");
    for confusion in run.lines("confusion.jsonl").iter().filter(|line| line["part"] == "validation") {
        let classifier = confusion["classifier"].as_str().unwrap();
        assert_eq!(confusion["confusion"], measured["classification"][classifier]["confusion"]);
    }
}
