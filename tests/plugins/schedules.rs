//! The schedules of `plugins/schedules` against the formulas of their documentation.

use std::collections::BTreeMap;
use std::sync::Arc;

use lossmith_plugin::{Input, ParameterError, Params, PluginError, Progress, Role, Setting, Slot, Value};
use serde_json::{Value as Json, json};
use tch::Kind;

use crate::fixture::{batch, plugin, setting, slot};
use crate::transfers::{names, refusal};

const PACKAGE: &str = "lossmith-schedules";

/// Numbers of slices.
const COUNTS: [usize; 3] = [1, 3, 8];

fn schedule(name: &str, params: Json) -> Slot {
    slot(PACKAGE, Role::Schedule, name, params, setting())
}

/// A batch without gradient, as a schedule is told it.
fn input(slices: usize) -> Input {
    let batch = batch(6, 8 * slices as i64, Kind::Double);
    Input { slice_count: slices as i64, embeddings: batch.embeddings.as_ref().map(|x| x.detach()), ..batch }
}

fn ask(slot: &mut Slot, slices: usize, progress: &Progress) -> Result<Vec<f64>, PluginError> {
    slot.thresholds(input(slices), progress)
}

/// Step `step` of a run of some epochs of four steps.
fn at(step: u64, epochs: u64) -> Progress {
    Progress { epoch: step / 4, epochs, step, steps_per_epoch: 4, ..Progress::default() }
}

/// The first thresholds of a new slot.
fn first(name: &str, params: Json, slices: usize) -> Vec<f64> {
    ask(&mut schedule(name, params), slices, &at(0, 3)).unwrap()
}

fn assert_close(found: &[f64], expected: &[f64], what: &str) {
    let close = |(found, expected): (&f64, &f64)| (found - expected).abs() < 1e-12;
    assert!(found.len() == expected.len() && found.iter().zip(expected).all(close), "{what}: {found:?}, {expected:?}");
}

/// Thresholds at equal steps from `low` to `high`.
fn equal_steps(low: f64, high: f64, count: usize) -> Vec<f64> {
    let step = |k: usize| low + k as f64 * (high - low) / (count - 1) as f64;
    if count == 1 { vec![(low + high) / 2.0] } else { (0..count).map(step).collect() }
}

/// Saves what a slot keeps and gives it to a new one, as a resumed run does.
fn resumed(slot: &Slot, name: &str, params: Json, setting: Setting) -> Slot {
    let mut new = crate::fixture::slot(PACKAGE, Role::Schedule, name, params, setting);
    *new.state_mut() = slot.state().copy().unwrap();
    new
}

#[test]
fn every_schedule_is_tested_here() {
    let tested = ["uniform", "geometric", "stratified-random", "constant", "single", "list", "curriculum", "adaptive"];
    assert_eq!(names(PACKAGE, Role::Schedule), tested);
}

#[test]
fn uniform_goes_in_equal_steps_from_end_to_end() {
    for (low, high) in [(0.1, 1.4), (0.3, 0.3), (0.05, 2.0)] {
        for count in COUNTS {
            let found = first("uniform", json!({ "minimum": low, "maximum": high }), count);
            assert_close(&found, &equal_steps(low, high, count), "uniform");
        }
    }
    assert_close(&first("uniform", json!({}), 14), &equal_steps(0.1, 1.4, 14), "the defaults");
}

#[test]
fn geometric_goes_in_equal_ratios_from_end_to_end() {
    for (low, high) in [(0.1_f64, 1.4_f64), (0.3, 0.3), (0.05, 2.0)] {
        for count in COUNTS {
            let found = first("geometric", json!({ "minimum": low, "maximum": high }), count);
            let logarithms = equal_steps(low.ln(), high.ln(), count);
            let expected: Vec<f64> = logarithms.into_iter().map(f64::exp).collect();
            assert_close(&found, &expected, "geometric");
        }
    }
    assert_close(&first("geometric", json!({}), 1), &[(0.1_f64 * 1.4).sqrt()], "the defaults");
}

#[test]
fn constant_single_and_list_give_what_they_were_given() {
    for count in COUNTS {
        assert_eq!(first("constant", json!({ "threshold": 0.35 }), count), vec![0.35; count]);
        let listed: Vec<f64> = (0..count).map(|k| 1.1 - 0.1 * k as f64).collect();
        assert_eq!(first("list", json!({ "thresholds": listed }), count), listed);
    }
    assert_eq!(first("single", json!({ "threshold": 0.35 }), 1), [0.35]);
    assert_eq!((first("single", json!({}), 1), first("constant", json!({}), 2)), (vec![0.2], vec![0.2, 0.2]));
}

#[test]
fn a_list_or_a_single_threshold_that_does_not_fit_the_slices_is_refused() {
    let refused = |name: &str, params: Json, slices| refusal(ask(&mut schedule(name, params), slices, &at(0, 3)));
    for (listed, slices, words) in [
        (vec![0.1, 0.2, 0.3], 2, ["3 thresholds", "2 slices"]),
        (vec![0.1, 0.2, 0.3], 4, ["3 thresholds", "4 slices"]),
        (vec![0.1], 2, ["1 threshold ", "2 slices"]),
        (vec![0.1, 0.2], 1, ["2 thresholds", "1 slice:"]),
        (vec![], 3, ["0 thresholds", "3 slices"]),
    ] {
        let text = refused("list", json!({ "thresholds": listed }), slices);
        assert!(words.iter().all(|word| text.contains(word)) && text.contains("`model.slices`"), "{text}");
    }
    for slices in [2, 8] {
        let text = refused("single", json!({}), slices);
        assert!(text.contains(&format!("is {slices}")) && text.contains("`constant`"), "{text}");
    }
}

/// The schedules with a range.
const RANGED: [&str; 5] = ["uniform", "geometric", "stratified-random", "curriculum", "adaptive"];

#[test]
fn a_range_with_its_ends_the_wrong_way_round_is_refused() {
    for name in RANGED {
        let params = json!({ "minimum": 0.9, "maximum": 0.25 });
        let text = refusal(ask(&mut schedule(name, params), 3, &at(0, 3)));
        let words = ["`minimum`", "`maximum`", "0.9", "0.25"];
        assert!(words.iter().all(|word| text.contains(word)), "{name}: {text}");
    }
    for (start, epoch) in [(0.05, 0), (1.5, 2)] {
        let text = refusal(ask(&mut schedule("curriculum", json!({ "start": start })), 3, &at(4 * epoch, 3)));
        let words = ["`start`", &start.to_string(), "0.1", "1.4"];
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
}

#[test]
fn a_threshold_that_is_not_above_0_is_refused_before_a_run() {
    let mut cases: Vec<(&str, &str)> = RANGED.into_iter().flat_map(|it| [(it, "minimum"), (it, "maximum")]).collect();
    cases.extend([("constant", "threshold"), ("single", "threshold"), ("list", "thresholds"), ("curriculum", "start")]);
    for (name, parameter) in cases {
        for value in [0.0, -0.4] {
            let value = if name == "list" { Value::Numbers(vec![0.3, value]) } else { Value::Number(value) };
            let given = BTreeMap::from([(parameter.to_owned(), value)]);
            let error = Params::new(plugin(PACKAGE).strategy(Role::Schedule, name).unwrap(), &given).unwrap_err();
            assert!(matches!(error, ParameterError::Range { .. }), "{error}");
            let text = error.to_string();
            assert!([name, parameter, "above 0"].iter().all(|word| text.contains(word)), "{text}");
        }
    }
    for (name, parameter, value, bound) in [
        ("curriculum", "widening", 0.0, "above 0 and at most 1"),
        ("curriculum", "widening", 1.1, "above 0 and at most 1"),
        ("adaptive", "target", -0.1, "at least 0 and at most 1"),
        ("adaptive", "rate", -1.0, "at least 0"),
    ] {
        let given = BTreeMap::from([(parameter.to_owned(), Value::Number(value))]);
        let error = Params::new(plugin(PACKAGE).strategy(Role::Schedule, name).unwrap(), &given).unwrap_err();
        assert!(error.to_string().contains(bound), "{error}");
    }
}

#[test]
fn a_curriculum_widens_from_one_threshold_to_the_whole_range() {
    for (epochs, widening) in [(1, 0.5), (4, 0.5), (7, 0.3), (10, 1.0), (5, 0.01)] {
        for count in COUNTS {
            let params = json!({ "minimum": 0.2, "maximum": 1.2, "start": 0.4, "widening": widening });
            let mut slot = schedule("curriculum", params);
            for step in 0..4 * epochs {
                let epoch = step / 4;
                let gone = (epoch as f64 / (widening * epochs as f64)).min(1.0);
                let [low, high] = [0.2, 1.2].map(|end| 0.4 + gone * (end - 0.4));
                let found = ask(&mut slot, count, &at(step, epochs)).unwrap();
                assert_close(&found, &equal_steps(low, high, count), &format!("epoch {epoch} of {epochs}"));
                if epoch == 0 {
                    assert_close(&found, &vec![0.4; count], "the first epoch");
                }
                if epoch + 1 == epochs && epochs > 1 && widening <= 0.5 {
                    assert_close(&found, &equal_steps(0.2, 1.2, count), "the last epoch");
                }
            }
        }
    }
    // The start may be an end.
    for start in [0.1, 1.4] {
        assert_close(&first("curriculum", json!({ "start": start }), 3), &[start; 3], "start");
        let found = ask(&mut schedule("curriculum", json!({ "start": start })), 3, &at(8, 3)).unwrap();
        assert_close(&found, &[0.1, 0.75, 1.4], "the end");
    }
}

/// Thresholds of each step of a run of three epochs of four steps.
fn drawn(slot: &mut Slot, slices: usize) -> Vec<Vec<f64>> {
    (0..12).map(|step| ask(slot, slices, &at(step, 3)).unwrap()).collect()
}

fn of_seed(seed: u64, draw: &str, float: Kind) -> Slot {
    let params = json!({ "minimum": 0.2, "maximum": 1.2, "draw": draw });
    slot(PACKAGE, Role::Schedule, "stratified-random", params, Setting { seed, float, ..setting() })
}

#[test]
fn random_thresholds_are_each_in_a_part_of_its_own() {
    for count in COUNTS {
        let width = 1.0 / count as f64;
        // Where in its part each threshold is.
        let shares: Vec<f64> = (0..40)
            .flat_map(|seed| {
                let kind = if seed % 2 == 0 { Kind::Double } else { Kind::Float };
                drawn(&mut of_seed(seed, "step", kind), count)
            })
            .flat_map(|found| (0..count).map(move |k| (found[k] - 0.2 - k as f64 * width) / width).collect::<Vec<_>>())
            .collect();
        // Rounded to 32 bits.
        assert!(shares.iter().all(|share| (-1e-6..1.0 + 1e-6).contains(share)));
        // Uniform: mean 1/2, variance 1/12; five standard errors of at least 480 numbers.
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        assert!((mean - 0.5).abs() < 5.0 / (12.0 * shares.len() as f64).sqrt(), "{mean}");
        assert!(shares.iter().any(|x| *x < 0.1) && shares.iter().any(|x| *x > 0.9));
    }
}

#[test]
fn random_thresholds_depend_on_the_seed_and_are_kept_as_long_as_is_asked() {
    for (draw, kept) in [("run", 12), ("epoch", 4), ("step", 1)] {
        for float in [Kind::Double, Kind::Float] {
            let found = drawn(&mut of_seed(7, draw, float), 3);
            assert_eq!(drawn(&mut of_seed(7, draw, float), 3), found, "{draw}: the same seed");
            let other = drawn(&mut of_seed(8, draw, float), 3);
            assert!(found.iter().zip(&other).all(|(a, b)| a != b), "{draw}: another seed");
            for (step, pair) in (1..).zip(found.windows(2)) {
                assert_eq!(pair[0] == pair[1], step % kept != 0, "{draw}: step {step}");
            }
        }
    }
}

#[test]
fn a_resumed_run_goes_on_with_its_random_thresholds() {
    for draw in ["run", "epoch", "step"] {
        for float in [Kind::Double, Kind::Float] {
            let expected = drawn(&mut of_seed(7, draw, float), 3);
            for stop in [1, 3, 4, 6, 11] {
                let mut before = of_seed(7, draw, float);
                (0..stop).for_each(|step| drop(ask(&mut before, 3, &at(step, 3)).unwrap()));
                let params = json!({ "minimum": 0.2, "maximum": 1.2, "draw": draw });
                let setting = Setting { seed: 7, float, ..setting() };
                let mut after = resumed(&before, "stratified-random", params, setting);
                for step in stop..12 {
                    let found = ask(&mut after, 3, &at(step, 3)).unwrap();
                    assert_eq!(found, expected[step as usize], "{draw}: step {step} after {stop}");
                }
            }
        }
    }
}

/// The start of an epoch after one in which these shares of triplets were active.
fn after(epoch: u64, active: &[f64]) -> Progress {
    let named = |(k, share): (usize, &f64)| (format!("objective.0.loss/active.{k}"), *share);
    let metrics = Arc::new(active.iter().enumerate().map(named).collect());
    Progress { metrics, place: "objective.0".into(), ..at(4 * epoch, 9) }
}

#[test]
fn adaptive_thresholds_follow_the_active_share_once_an_epoch() {
    for count in COUNTS {
        let params = json!({ "minimum": 0.2, "maximum": 1.2, "target": 0.4, "rate": 0.8 });
        let mut slot = schedule("adaptive", params);
        let mut expected = equal_steps(0.2, 1.2, count);
        assert_close(&ask(&mut slot, count, &after(0, &[])).unwrap(), &expected, "the first epoch");
        let (mut clamped, mut moved) = (0, 0);
        for epoch in 1..9 {
            let active: Vec<f64> = (0..count).map(|k| ((k as u64 * 5 + epoch * 3) % 7) as f64 / 6.0).collect();
            for (threshold, active) in expected.iter_mut().zip(&active) {
                let wanted = *threshold * (0.8 * (0.4 - active)).exp();
                *threshold = wanted.clamp(0.2, 1.2);
                clamped += usize::from(*threshold != wanted);
                moved += usize::from(*threshold == wanted);
            }
            for step in 0..4 {
                // The metric of a later step of the epoch says nothing.
                let now = if step == 0 { active.clone() } else { vec![0.123; count] };
                let progress = Progress { step: 4 * epoch + step, ..after(epoch, &now) };
                let found = ask(&mut slot, count, &progress).unwrap();
                assert_close(&found, &expected, &format!("step {step} of epoch {epoch}"));
            }
        }
        assert!(moved > 0 && (count == 1 || clamped > 0), "{moved}, {clamped}");
    }
}

#[test]
fn an_adaptive_threshold_needs_a_loss_that_reports_and_no_more() {
    let mut slot = schedule("adaptive", json!({}));
    ask(&mut slot, 3, &after(0, &[])).unwrap();
    ask(&mut slot, 3, &Progress { step: 2, ..after(0, &[]) }).unwrap();
    for (active, missing) in [(&[][..], 0), (&[0.5, 0.5], 2)] {
        let text = refusal(ask(&mut slot, 3, &after(1, active)));
        assert!(text.contains(&format!("`active.{missing}`")) && text.contains("`multi-threshold`"), "{text}");
    }
    // A metric of another objective is not this one's.
    let text = refusal(ask(&mut slot, 3, &Progress { place: "objective.1".into(), ..after(1, &[0.5; 3]) }));
    assert!(text.contains("`active.0`"), "{text}");
    // What was refused has moved nothing; the wanted share moves nothing either.
    let found = ask(&mut slot, 3, &after(1, &[0.5; 3])).unwrap();
    assert_close(&found, &[0.1, 0.75, 1.4], "the wanted share");
}

#[test]
fn adaptive_thresholds_move_to_a_new_slot() {
    for float in [Kind::Double, Kind::Float] {
        let setting = || Setting { float, ..setting() };
        let shares = |epoch: u64| [0.1 * epoch as f64, 0.9 - 0.1 * epoch as f64, 0.3];
        let mut stays = slot(PACKAGE, Role::Schedule, "adaptive", json!({}), setting());
        let mut moves = slot(PACKAGE, Role::Schedule, "adaptive", json!({}), setting());
        for step in 0..24 {
            let progress = Progress { step, ..after(step / 4, &shares(step / 4)) };
            // At the start of an epoch and within one.
            if [5, 8, 15].contains(&step) {
                moves = resumed(&moves, "adaptive", json!({}), setting());
            }
            let [found, expected] = [&mut moves, &mut stays].map(|slot| ask(slot, 3, &progress).unwrap());
            assert_eq!(found, expected, "step {step}");
        }
        assert_ne!(ask(&mut moves, 3, &after(5, &shares(5))).unwrap(), [0.1, 0.75, 1.4]);
    }
}
