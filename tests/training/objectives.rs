//! Every part of an objective in a training.

use std::collections::BTreeMap;

use crate::support::{Lab, PROXIES, Run, tensors};

const TRANSFER: &str = r#"
[[objective]]
transfer = { plugin = "test-roles", strategy = "class-cosine" }
balance = { plugin = "test-roles", strategy = "sum", params = { alpha = 4.0 } }
schedule = { plugin = "test-roles", strategy = "uniform", params = { minimum = -0.25, maximum = 0.5 } }

[fusion]
plugin = "test-roles"
strategy = "concatenation"
"#;

#[track_caller]
fn assert_finite(run: &Run) {
    let rows = run.lines("metrics.jsonl");
    assert!(!rows.is_empty());
    for row in rows {
        // A number that is not finite is written as a word.
        assert!(row["values"].as_object().unwrap().values().all(serde_json::Value::is_number), "{row}");
    }
}

/// The largest difference between the network's weights in two checkpoints of a run.
fn moved(run: &Run, from: &str, to: &str) -> f32 {
    let (from, to) = (run.part(from, "model/"), run.part(to, "model/"));
    let weights = from.iter().filter(|(name, _)| name.ends_with("weight"));
    let differences = weights.flat_map(|(name, before)| {
        let after = to[name].floats();
        before.floats().into_iter().zip(after).map(|(a, b)| (a - b).abs()).collect::<Vec<_>>()
    });
    // `max` would hide a NaN.
    differences.fold(0.0, |most, x| if x <= most { most } else { x })
}

#[test]
fn proxies_are_trained_and_kept_with_their_moments() {
    let lab = Lab::new(PROXIES);
    let run = lab.train(&[]);
    let (first, second) = (run.checkpoint("epoch-0001"), run.checkpoint("epoch-0002"));
    let proxies = "plugin/objective.0.loss/parameter/proxies";
    assert_eq!(first[proxies].shape, [10, 8]);
    assert!(first[proxies] != second[proxies]);
    let moments: BTreeMap<_, _> = run.part("epoch-0002", "optimizer/objective.0.loss/proxies.");
    assert_eq!(moments.len(), 3, "{:?}", moments.keys());
    assert!(moments["optimizer/objective.0.loss/proxies.exp_avg_sq"].floats().iter().all(|moment| *moment > 0.0));
    // A buffer of another loss.
    assert_eq!(first["plugin/objective.1.loss/buffer/mean"].shape, [8]);
    // Lines and metrics of strategies have their slot's name.
    assert_eq!(run.values("step", "objective.1.loss/step"), (0..12).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn objectives_add_up_with_their_weights() {
    let lab = Lab::new(PROXIES);
    let run = lab.train(&["epochs=1"]);
    for row in run.rows("step") {
        let value = |name: &str| row["values"][name].as_f64().unwrap();
        let sum = 0.5 * value("objective.0") + 2.0 * value("objective.1") + value("objective.2");
        assert!((value("loss") - sum).abs() < 1e-5 * sum.abs(), "{row}");
    }
}

#[test]
fn a_transfer_with_balance_schedule_and_fusion_trains_on_slices() {
    let lab = Lab::new(TRANSFER);
    let run = lab.train(&["model.slices=4"]);
    assert_finite(&run);
    let thresholds = ["0", "1", "2", "3"].map(|slice| {
        let values = run.values("step", &format!("objective.0.transfer/threshold-{slice}"));
        assert_eq!(values.len(), 12);
        values[0]
    });
    assert_eq!(thresholds, [-0.25, 0.0, 0.25, 0.5]);
    let losses = run.values("epoch", "loss");
    assert!(losses[1] < losses[0], "{losses:?}");
    // The balance counts pairs of a class four times.
    let unbalanced = Lab::new(&TRANSFER.replace("balance =", "# balance ="));
    let plain = unbalanced.train(&["model.slices=4"]);
    assert!(run.values("step", "loss")[0] > plain.values("step", "loss")[0]);
    // The fusion makes each of the four slices as long as 1.
    lab.lossmith(&["embed", run.name(), "--output", "fused.safetensors"]).ok();
    for slice in tensors(&lab.path("fused.safetensors"))["embeddings"].floats().chunks(2) {
        assert!((slice[0].hypot(slice[1]) - 1.0).abs() < 1e-5, "{slice:?}");
    }
}

#[test]
fn a_transfer_without_a_teacher_says_so_itself() {
    let lab = Lab::new(&TRANSFER.replace("class-cosine", "cosine-difference"));
    lab.try_train(&["model.slices=4"]).fails(4, &["this transfer needs a teacher", "cosine-difference"]);
    assert_eq!(lab.runs()[0].events(), ["started", "failed"]);
}

#[test]
fn bf16_trains_to_finite_numbers_and_other_ones() {
    let lab = Lab::new(PROXIES);
    let (half, whole) = (lab.train(&["precision=bf16"]), lab.train(&[]));
    assert_finite(&half);
    let weights = half.part("epoch-0002", "model/");
    assert!(weights != whole.part("epoch-0002", "model/"));
    for (name, tensor) in weights.iter().filter(|(name, _)| name.ends_with("weight")) {
        assert!(tensor.floats().iter().all(|weight| weight.is_finite()), "{name}");
    }
}

#[test]
fn every_optimizer_trains_and_keeps_its_moments() {
    let lab = Lab::new(PROXIES);
    for (optimizer, moment) in [("sgd", ".momentum_buffer"), ("adam", ".exp_avg"), ("adamw", ".exp_avg_sq")] {
        let run = lab.train(&[&format!("optimizer.name={optimizer}")]);
        assert_finite(&run);
        assert!(moved(&run, "epoch-0001", "epoch-0002") > 1e-5, "{optimizer}");
        let moments = run.part("epoch-0002", "optimizer/");
        assert!(moments.keys().any(|name| name.ends_with(moment)), "{optimizer}: {:?}", moments.keys());
    }
}

#[test]
fn clipping_bounds_a_step() {
    let lab = Lab::new(PROXIES);
    // Six steps of at most 1e-6 each.
    let sgd =
        ["optimizer.name=sgd", "optimizer.momentum=0.0", "optimizer.weight-decay=0.0", "optimizer.learning-rate=0.1"];
    let clipped = lab.train(&[sgd.as_slice(), &["optimizer.clip-norm=1e-5"]].concat());
    assert!(moved(&clipped, "epoch-0001", "epoch-0002") <= 6.5e-6);
    let free = lab.train(&sgd);
    assert!(moved(&free, "epoch-0001", "epoch-0002") > 1e-3);
    // The metric is the norm before clipping.
    assert_eq!(clipped.values("step", "gradient-norm")[0], free.values("step", "gradient-norm")[0]);
}

#[test]
fn the_learning_rate_warms_up_and_falls_along_a_cosine() {
    let sets = ["epochs=4", "learning-rate.schedule=cosine", "learning-rate.warmup-epochs=1.0"];
    let lab = Lab::new(PROXIES);
    let rates = lab.train(&sets).values("step", "learning-rate");
    assert_eq!(rates.len(), 24);
    let (warm, cold) = rates.split_at(6);
    for (step, rate) in (1..).zip(warm) {
        assert!((rate - 0.003 * f64::from(step) / 6.0).abs() < 1e-9, "{rates:?}");
    }
    assert!(cold.windows(2).all(|pair| pair[1] < pair[0]) && cold[0] <= 0.003, "{rates:?}");
    assert!(cold[17] < 0.003 * 0.05, "{rates:?}");
}
