//! A threshold for each slice: the loss `multi-threshold` and the schedules.

use std::fs;

use serde_json::Value;

use crate::support::{Lab, Run, Running, fashion_mnist, gzip, idx_images};

/// An objective of the loss with parameters and a schedule.
fn thresholds(params: &str, schedule: &str) -> String {
    format!(
        "\n[[objective]]\nloss = {{ plugin = \"losses\", strategy = \"multi-threshold\", params = {{ {params} }} }}\n\
         schedule = {{ plugin = \"schedules\", {schedule} }}\n"
    )
}

fn listed(values: &str) -> String {
    format!("strategy = \"list\", params = {{ thresholds = [{values}] }}")
}

/// The texts of the lines that a slot printed.
fn lines(stdout: &str, slot: &str) -> Vec<String> {
    let events = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ours = events.filter(|event| event["event"] == "line" && event["slot"] == slot);
    ours.map(|event| event["text"].as_str().unwrap().to_owned()).collect()
}

/// What each step had as the threshold of a slice.
fn recorded(run: &Run, slice: usize) -> Vec<f64> {
    run.values("step", &format!("objective.0.schedule/threshold.{slice}"))
}

/// Every row without what the strategies of the objective report.
fn shared(run: &Run) -> Vec<Value> {
    let mut rows = run.lines("metrics.jsonl");
    for row in &mut rows {
        row["values"].as_object_mut().unwrap().retain(|name, _| !name.starts_with("objective.0."));
    }
    rows
}

#[track_caller]
fn assert_finite(run: &Run) {
    for row in run.lines("metrics.jsonl") {
        assert!(row["values"].as_object().unwrap().values().all(Value::is_number), "{row}");
    }
    for (name, tensor) in run.part("epoch-0002", "model/").iter().filter(|(name, _)| name.ends_with("weight")) {
        assert!(tensor.floats().iter().all(|weight| weight.is_finite()), "{name}");
    }
}

#[test]
fn one_slice_with_one_threshold_is_the_triplet_loss_to_the_last_bit() {
    // Where operations run as one, two formulas of one value have other last bits.
    let single = "limits.fuse=false";
    let triplet = |params: &str, miner: &str| {
        let loss = format!("loss = {{ plugin = \"losses\", strategy = \"triplet\", params = {{ {params} }} }}");
        let lab = Lab::new(&format!("\n[[objective]]\n{loss}\n{miner}\n"));
        let run = lab.train(&[single]);
        (shared(&run), run.checkpoint("epoch-0002"))
    };
    let run = |params: &str, schedule: &str| {
        let lab = Lab::new(&thresholds(params, schedule));
        let run = lab.train(&["model.slices=1", single]);
        assert_eq!(recorded(&run, 0), [0.3; 12]);
        (shared(&run), run.checkpoint("epoch-0002"))
    };
    let miner = "miner = { plugin = \"miners\", strategy = \"batch-hard\" }";
    let expected = triplet("margin = 0.3, reducer = \"mean\"", miner);
    let range = "params = { minimum = 0.3, maximum = 0.3 }";
    for schedule in [
        "strategy = \"single\", params = { threshold = 0.3 }",
        "strategy = \"constant\", params = { threshold = 0.3 }",
        &listed("0.3"),
        &format!("strategy = \"uniform\", {range}"),
        &format!("strategy = \"geometric\", {range}"),
    ] {
        assert!(run("mining = \"batch-hard\"", schedule) == expected, "{schedule}");
    }
    // With the miner as a strategy of its own, and the other forms that one slice shares with the triplet loss.
    let constant = "strategy = \"single\", params = { threshold = 0.3 }";
    assert!(run("", &format!("{constant} }}\nminer = {{ plugin = \"miners\", strategy = \"batch-hard\"")) == expected);
    let all = run("mining = \"all\", reducer = \"average-non-zero\"", constant);
    assert!(all == triplet("margin = 0.3", "") && all != expected);
    let swap = run("dual = \"swap\"", constant);
    assert!(swap == triplet("margin = 0.3, reducer = \"mean\", swap = true", miner) && swap != expected);
}

#[test]
fn the_record_has_the_thresholds_of_each_step() {
    let run = |schedule: &str| {
        let lab = Lab::new(&thresholds("", schedule));
        let run = lab.train(&["model.slices=4", "epochs=3"]);
        (lab, run)
    };
    let (_lab, listed) = run(&listed("0.3, 0.1, 1.0, 0.2"));
    let constant = |run: &Run| {
        let slices = (0..4).map(|slice| {
            let values = recorded(run, slice);
            assert!(values.len() == 18 && values.iter().all(|value| *value == values[0]), "{values:?}");
            values[0]
        });
        slices.collect::<Vec<_>>()
    };
    assert_eq!(constant(&listed), [0.3, 0.1, 1.0, 0.2]);
    assert!(recorded(&listed, 4).is_empty());
    assert_eq!(listed.values("epoch", "objective.0.schedule/threshold.2"), [1.0; 3]);
    for slice in 0..4 {
        for name in ["active", "spread"] {
            let shares = listed.values("step", &format!("objective.0.loss/{name}.{slice}"));
            assert!(shares.len() == 18 && shares.iter().all(|share| (0.0..=1.0).contains(share)), "{shares:?}");
        }
    }
    let near = |found: Vec<f64>, expected: [f64; 4]| {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?} {expected:?}");
    };
    let range = "params = { minimum = 0.1, maximum = 0.8 }";
    near(constant(&run(&format!("strategy = \"uniform\", {range}")).1), [0.1, 1.0 / 3.0, 17.0 / 30.0, 0.8]);
    near(constant(&run(&format!("strategy = \"geometric\", {range}")).1), [0.1, 0.2, 0.4, 0.8]);

    // Each from its part of the range, drawn anew for each epoch.
    let (_lab, drawn) =
        run("strategy = \"stratified-random\", params = { minimum = 0.2, maximum = 1.0, draw = \"epoch\" }");
    for (slice, low) in [0.2, 0.4, 0.6, 0.8].into_iter().enumerate() {
        let values = recorded(&drawn, slice);
        assert!(values.iter().all(|value| *value >= low - 1e-6 && *value <= low + 0.2 + 1e-6), "{values:?}");
        let epochs: Vec<f64> = values.chunks(6).map(|epoch| epoch[0]).collect();
        assert!(values.iter().zip(0..).all(|(value, step)| *value == epochs[step / 6]), "{values:?}");
        assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2], "{epochs:?}");
    }
    // One threshold at first, a third of the way in each epoch.
    let params = "params = { minimum = 0.1, maximum = 1.0, start = 0.4, widening = 1.0 }";
    let (_lab, widening) = run(&format!("strategy = \"curriculum\", {params}"));
    for (slice, end) in [(0, 0.1), (3, 1.0)] {
        let values = recorded(&widening, slice);
        for (step, value) in values.iter().enumerate() {
            let expected = 0.4 + (step / 6) as f64 / 3.0 * (end - 0.4);
            assert!((value - expected).abs() < 1e-9, "{slice}: {values:?}");
        }
    }
}

#[test]
fn a_threshold_that_classes_cannot_meet_is_told_once() {
    let largest = (2.0_f64 * 10.0 / 9.0).sqrt();
    let told = |last: f64| {
        let lab = Lab::new(&thresholds("", &listed(&format!("0.2, {last}"))));
        let stdout = lab.try_train(&["model.slices=2"]).ok();
        (lines(&stdout, "objective.0.schedule"), lab.run_of(&stdout).events().last().unwrap().clone())
    };
    let (above, ended) = told(largest + 0.001);
    assert!(above.len() == 1 && ended == "finished", "{above:?}");
    for phrase in ["slice 1", "10 classes", &format!("{largest:.4}"), "never becomes 0"] {
        assert!(above[0].contains(phrase), "{phrase}: {above:?}");
    }
    assert_eq!(told(largest - 0.001).0, Vec::<String>::new());
    // To people it is a warning.
    let lab = Lab::new(&thresholds("", &listed("1.9, 0.2")));
    let text = lab.lossmith(&["train", "experiment.toml", "--set", "model.slices=2"]).ok();
    assert_eq!(text.matches("objective.0.schedule warning: the threshold of slice 0 is 1.9").count(), 1, "{text}");
}

#[test]
fn thresholds_with_a_memory_are_the_same_after_a_stop() {
    let range = "minimum = 0.2, maximum = 1.2";
    for schedule in [
        format!("strategy = \"adaptive\", params = {{ {range}, target = 0.3, rate = 0.8 }}"),
        format!("strategy = \"stratified-random\", params = {{ {range}, draw = \"step\" }}"),
    ] {
        let lab = Lab::new(&thresholds("mining = \"all\"", &schedule));
        let sets = ["model.slices=4", "epochs=12", "run.keep=12"];
        let whole = lab.train(&sets);
        // They move, so that a resumed run has something to forget.
        let moving = recorded(&whole, 1);
        assert!(moving.chunks(6).skip(1).all(|epoch| epoch[0] != moving[0]), "{moving:?}");
        for (name, signal) in [("interrupted", libc::SIGINT), ("killed", libc::SIGKILL)] {
            let name = format!("name={name}");
            let sets = [sets.as_slice(), &[name.as_str()]].concat();
            let mut running = Running::start(lab.command(&lab.training(&sets)));
            running.wait_for("epoch");
            running.wait_for("step");
            running.signal(signal);
            let outcome = running.finish();
            assert_ne!(outcome.code, Some(0), "it was not stopped: {outcome:?}");
            let run = lab.run(name.strip_prefix("name=").unwrap());
            lab.lossmith(&["--json", "train", "--resume", run.name()]).ok();
            assert!(run.checkpoint("epoch-0012") == whole.checkpoint("epoch-0012"), "{schedule}, {name}");
            for kind in ["step", "epoch", "evaluation"] {
                assert_eq!(run.rows(kind), whole.rows(kind), "{schedule}, {name}");
            }
        }
    }
}

#[test]
fn a_branch_goes_on_with_the_thresholds_of_its_origin() {
    for schedule in ["strategy = \"adaptive\"", "strategy = \"stratified-random\", params = { draw = \"epoch\" }"] {
        let lab = Lab::new(&thresholds("mining = \"all\"", schedule));
        let run = lab.train(&["model.slices=4", "epochs=3", "run.keep=12"]);
        let from = format!("{}@2", run.name());
        let branch = lab.run_of(&lab.lossmith(&["--json", "train", "--from", &from]).ok());
        assert_eq!(recorded(&branch, 1), recorded(&run, 1)[12..], "{schedule}");
        assert!(branch.part("epoch-0003", "model/") == run.part("epoch-0003", "model/"), "{schedule}");
    }
}

#[test]
fn a_repetition_draws_the_same_thresholds() {
    let schedule = "strategy = \"stratified-random\", params = { draw = \"step\" }";
    let lab = Lab::new(&thresholds("dual = \"exchange\"", schedule));
    let run = lab.train(&["model.slices=4"]);
    let said = lab.lossmith(&["--json", "replay", run.name()]).ok();
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let comparison = &last["comparison"];
    assert_eq!(comparison["different"], 0, "{last}");
    assert!(comparison["equal"].as_u64() > Some(0) && comparison["equal-tensors"].as_u64() > Some(0), "{last}");
    // Another seed draws others.
    assert_ne!(recorded(&lab.train(&["model.slices=4", "seed=2"]), 0), recorded(&run, 0));
}

#[test]
fn what_a_file_says_of_thresholds_is_checked_with_its_place() {
    const PLACE: &str = "[experiment.toml:";
    let constant = "strategy = \"constant\", params = { threshold = 0.2 }";
    for (from, to, phrases) in [
        ("slices = 2", "slices = 3", ["8 dimensions cannot be cut into 3 equal slices", PLACE]),
        ("slices = 2", "slices = 0", ["slices", PLACE]),
        ("threshold = 0.2", "threshold = 0.0", ["parameter `threshold` of `constant` must be above 0", PLACE]),
        ("threshold = 0.2", "threshold = -0.5", ["parameter `threshold` of `constant` must be above 0", PLACE]),
        ("threshold = 0.2", "thresholds = [0.2]", ["did you mean `threshold`?", PLACE]),
        (constant, &listed("0.2, -0.1"), ["parameter `thresholds` of `list` must be numbers, each above 0", PLACE]),
        (
            constant,
            "strategy = \"uniform\", params = { minimum = 0 }",
            ["`minimum` of `uniform` must be above 0", PLACE],
        ),
        ("\"constant\"", "\"constnat\"", ["did you mean `constant`?", PLACE]),
        ("mining = \"batch-hard\"", "mining = \"batch-hrad\"", ["batch-hrad", PLACE]),
    ] {
        let lab = Lab::new(&thresholds("mining = \"batch-hard\"", constant));
        lab.replace("embedding = 8", "embedding = 8\nslices = 2");
        lab.replace(from, to);
        lab.try_train(&[]).fails(3, &phrases);
        assert!(lab.runs().is_empty(), "a run was made");
    }
}

#[test]
fn thresholds_that_do_not_fit_the_slices_end_the_first_step() {
    let fails = |objective: &str, phrases: &[&str]| {
        let lab = Lab::new(objective);
        lab.try_train(&["model.slices=2"]).fails(4, phrases);
        assert!(lab.runs()[0].rows("step").is_empty());
    };
    fails(&thresholds("", &listed("0.1, 0.2, 0.3")), &["3 thresholds for 2 slices", "list one for each slice"]);
    fails(&thresholds("", &listed("0.1")), &["1 threshold for 2 slices"]);
    fails(&thresholds("", "strategy = \"single\""), &["a single threshold is for one slice", "take `constant`"]);
    let upside_down = "strategy = \"uniform\", params = { minimum = 0.9, maximum = 0.3 }";
    fails(&thresholds("", upside_down), &["`minimum` is 0.9 and must not be above `maximum`, which is 0.3"]);
    let whole = thresholds("", "strategy = \"constant\"");
    fails(&whole.replace("schedule =", "# schedule ="), &["needs a threshold for each slice", "a `schedule`"]);
    let dual = thresholds("mining = \"all\", dual = \"exchange\"", "strategy = \"constant\"");
    fails(&dual, &["`dual` judges triplets that were chosen", "batch-hard"]);
    // A schedule of somebody else may say anything.
    let other = whole.replace("\"schedules\", strategy = \"constant\"", "\"test-roles\", strategy = \"uniform\"");
    let other = other.replace("strategy = \"uniform\"", "strategy = \"uniform\", params = { minimum = -0.25 }");
    fails(&other, &["the schedule's threshold of slice 0 is -0.25: it must be above 0"]);
}

#[test]
fn an_adaptive_schedule_needs_a_loss_that_counts() {
    let objective = thresholds("", "strategy = \"adaptive\"").replace("multi-threshold", "triplet");
    let lab = Lab::new(&objective);
    lab.try_train(&[]).fails(4, &["reported no `active.0`", "`multi-threshold`"]);
}

/// A lab whose images are all the same one.
fn collapsed(params: &str) -> Lab {
    let lab = Lab::new(&thresholds(params, &listed("0.2, 0.9")));
    let data = lab.path("data");
    fashion_mnist(&data);
    for (name, count) in [("train", 300), ("t10k", 100)] {
        let one = idx_images(7, 1);
        let mut bytes = one[..4].to_vec();
        bytes.extend((count as u32).to_be_bytes());
        bytes.extend(&one[8..16]);
        bytes.extend(one[16..].repeat(count));
        fs::write(data.join(format!("{name}-images-idx3-ubyte.gz")), gzip(&bytes)).unwrap();
    }
    lab
}

#[test]
fn slices_that_have_collapsed_are_named_and_stay_finite() {
    for params in [
        "mining = \"batch-hard\"",
        "mining = \"batch-hard\", dual = \"exchange\"",
        "mining = \"batch-hard\", dual = \"swap\"",
        "mining = \"batch-hard\", dual = \"absolute\"",
        "mining = \"all\"",
    ] {
        let lab = collapsed(params);
        let sets = ["model.slices=2", "data.path='data'", "data.augmentation.enabled=false"];
        let stdout = lab.try_train(&sets).ok();
        assert_finite(&lab.run_of(&stdout));
        let told = lines(&stdout, "objective.0.loss");
        // Once in each of two epochs.
        for (slice, threshold) in [(0, 0.2), (1, 0.9)] {
            let begin = format!("slice {slice} has collapsed");
            let ours: Vec<_> = told.iter().filter(|text| text.starts_with(&begin)).collect();
            assert_eq!(ours.len(), 2, "{params}: {told:?}");
            assert!(ours.iter().all(|text| text.contains(&format!("threshold {threshold};"))), "{params}: {told:?}");
        }
    }
}

#[test]
fn slices_that_are_at_work_are_not_warned_of() {
    let lab = Lab::new(&thresholds("", &listed("0.2, 0.9")));
    let stdout = lab.try_train(&["model.slices=2"]).ok();
    assert_eq!(lines(&stdout, "objective.0.loss"), Vec::<String>::new());
}
