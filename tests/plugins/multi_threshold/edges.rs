//! Where the loss `multi-threshold` is another loss, where there is nothing to learn from, what it warns of and what it
//! refuses.

use lossmith_plugin::{Level, Progress, Role, Tuples};
use serde_json::{Value as Json, json};
use tch::{Kind, Tensor};

use super::{Asked, Images, PACKAGE, REDUCERS, THRESHOLDS, images, metrics, mined, outcome};
use crate::fixture::{bits, epoch, numbers, slot};
use crate::golden::difference;
use crate::transfers::{assert_finite, of, refusal};

/// The bits of value and gradient.
fn exactly((loss, gradient): (Tensor, Tensor)) -> (Vec<u64>, Vec<u64>) {
    (bits(&loss), bits(&gradient))
}

/// Value and gradient of the loss `triplet`.
fn triplet(images: &Images, kind: Kind, params: Json, tuples: Option<&Tuples>) -> (Tensor, Tensor) {
    let mut slot = slot(PACKAGE, Role::Loss, "triplet", params, of(kind));
    outcome(&mut slot, images.input(kind, &[1.0], tuples.map(Tuples::shallow_clone)))
}

#[test]
fn a_batch_without_a_triplet_costs_nothing() {
    let empty = || Tensor::from_slice::<i64>(&[]);
    for labels in [[0; 6], [0, 1, 2, 3, 4, 5]] {
        let images = Images::random(&labels, 8);
        for (thresholds, kind) in THRESHOLDS.into_iter().flat_map(|it| [(it, Kind::Double), (it, Kind::Float)]) {
            for reducer in REDUCERS {
                let of_miners =
                    [Tuples::Triplets([empty(), empty(), empty()]), mined(&images, kind, "batch-hard", json!({}))];
                let cases = [("batch-hard", None), ("semi-hard", None), ("all", None)];
                for (mining, tuples) in cases.into_iter().chain(of_miners.map(|it| ("batch-hard", Some(it)))) {
                    let mut slot = Asked { reducer, ..Asked::new(thresholds, mining) }.slot(kind);
                    let (loss, gradient) = outcome(&mut slot, images.input(kind, thresholds, tuples));
                    assert_eq!(numbers(&loss), [0.0], "{mining} {thresholds:?}");
                    assert!(numbers(&gradient).iter().all(|x| *x == 0.0), "{mining} {thresholds:?}");
                    let active = metrics(&mut slot).into_iter().filter(|(name, _)| name.starts_with("active"));
                    assert!(active.map(|(_, share)| share).eq(thresholds.iter().map(|_| 0.0)));
                }
            }
        }
    }
}

/// Images of two slices, whose second one is always `part`.
fn with_second_slice(part: &[f64]) -> Images {
    let mut images = Images::random(&[0, 0, 0, 1, 1, 1, 2, 2, 2], 8);
    images.rows.iter_mut().for_each(|row| row[4..].copy_from_slice(part));
    images
}

/// All ways to choose triplets and to judge them.
fn variants() -> Vec<Asked<'static>> {
    let minings = ["semi-hard", "all"].map(|mining| Asked::new(THRESHOLDS[1], mining));
    let duals =
        ["none", "exchange", "swap", "absolute"].map(|dual| Asked { dual, ..Asked::new(THRESHOLDS[1], "batch-hard") });
    minings.into_iter().chain(duals).collect()
}

#[test]
fn a_slice_that_is_one_point_has_finite_gradients_and_no_spread() {
    for kind in [Kind::Double, Kind::Float] {
        for part in [[0.0; 4], [0.3, -0.2, 0.9, 0.1]] {
            let images = with_second_slice(&part);
            for asked in variants() {
                for tuples in [None, Some(mined(&images, kind, "batch-hard", json!({})))] {
                    let mut slot = asked.slot(kind);
                    let input = images.input(kind, asked.thresholds, tuples);
                    let leaf = input.embeddings.as_ref().unwrap().shallow_clone();
                    let loss = slot.loss(input, &epoch(0)).unwrap();
                    assert_finite(&loss, &leaf, &format!("{} {} with {part:?}", asked.mining, asked.dual));
                    let metrics = metrics(&mut slot);
                    assert!(metrics["spread.0"] > 0.1);
                    assert!(part == [0.0; 4] || metrics["spread.1"].abs() < 1e-6, "{}", metrics["spread.1"]);
                }
            }
        }
    }
}

#[test]
fn a_slice_of_zeros_has_no_spread() {
    let images = with_second_slice(&[0.0; 4]);
    let asked = Asked::new(THRESHOLDS[1], "batch-hard");
    let mut slot = asked.slot(Kind::Double);
    drop(slot.loss(images.input(Kind::Double, asked.thresholds, None), &epoch(0)).unwrap());
    assert_eq!(metrics(&mut slot)["spread.1"], 0.0);
}

#[test]
fn a_spread_is_from_0_to_1() {
    for seed in 1..40 {
        let point: Vec<f64> = (0..4).map(|at| (f64::from(seed) * 0.7 + f64::from(at)).sin()).collect();
        let images = with_second_slice(&point);
        for kind in [Kind::Double, Kind::Float] {
            let asked = Asked::new(THRESHOLDS[1], "batch-hard");
            let mut slot = asked.slot(kind);
            drop(slot.loss(images.input(kind, asked.thresholds, None), &epoch(0)).unwrap());
            let metrics = metrics(&mut slot);
            let spreads = [metrics["spread.0"], metrics["spread.1"]];
            assert!(spreads.iter().all(|spread| (0.0..=1.0).contains(spread)), "{spreads:?} in {kind:?}");
        }
    }
}

#[test]
fn a_negative_as_far_as_the_positive_is_not_semi_hard() {
    let images = with_second_slice(&[0.3, -0.2, 0.9, 0.1]);
    let asked = Asked::new(THRESHOLDS[1], "semi-hard");
    let expected = asked.expected(&images, None).loss;
    let (loss, _) = outcome(&mut asked.slot(Kind::Double), images.input(Kind::Double, asked.thresholds, None));
    let found = loss.double_value(&[]);
    assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
}

#[test]
fn one_slice_is_the_triplet_loss_to_the_last_bit() {
    for (kind, images) in [Kind::Double, Kind::Float].into_iter().flat_map(|kind| images().map(|it| (kind, it))) {
        let ours = |asked: &Asked<'_>, tuples: Option<&Tuples>| {
            let input = images.input(kind, asked.thresholds, tuples.map(Tuples::shallow_clone));
            outcome(&mut asked.slot(kind), input)
        };
        for (threshold, reducer) in [0.05, 0.3, 1.4].into_iter().flat_map(|it| REDUCERS.map(|reducer| (it, reducer))) {
            let thresholds = [threshold];
            let asked = |mining| Asked { reducer, ..Asked::new(&thresholds, mining) };
            let params = json!({ "margin": threshold, "reducer": reducer });
            let hardest = mined(&images, kind, "batch-hard", json!({}));
            let expected = exactly(triplet(&images, kind, params.clone(), Some(&hardest)));
            let what = format!("{threshold} {reducer} in {kind:?}");
            assert_eq!(exactly(ours(&asked("batch-hard"), None)), expected, "without a miner: {what}");
            assert_eq!(exactly(ours(&asked("batch-hard"), Some(&hardest))), expected, "with a miner: {what}");
            let all = exactly(triplet(&images, kind, params.clone(), None));
            assert_eq!(exactly(ours(&asked("all"), None)), all, "all: {what}");

            for found in [
                mined(&images, kind, "triplet", json!({ "margin": 0.4 })),
                mined(&images, kind, "batch-easy-hard", json!({ "positive": "hard", "negative": "all" })),
            ] {
                let expected = exactly(triplet(&images, kind, params.clone(), Some(&found)));
                assert_eq!(exactly(ours(&asked("all"), Some(&found))), expected, "another miner: {what}");
            }
            let swapped = json!({ "margin": threshold, "reducer": reducer, "swap": true });
            let expected = exactly(triplet(&images, kind, swapped, Some(&hardest)));
            let swap = Asked { dual: "swap", ..asked("batch-hard") };
            assert_eq!(exactly(ours(&swap, None)), expected, "swap: {what}");
        }
    }
}

#[test]
fn permuted_images_have_the_permuted_gradient() {
    for images in images() {
        let size = images.rows.len();
        // 5 divides neither 12 nor 16.
        let order: Vec<usize> = (0..size).map(|i| (5 * i + 2) % size).collect();
        let permuted = Images {
            rows: order.iter().map(|&i| images.rows[i].clone()).collect(),
            labels: order.iter().map(|&i| images.labels[i]).collect(),
        };
        for asked in variants() {
            let of = |images: &Images| {
                let input = images.input(Kind::Double, asked.thresholds, None);
                let (loss, gradient) = outcome(&mut asked.slot(Kind::Double), input);
                (loss.double_value(&[]), numbers(&gradient))
            };
            let ((loss, gradient), (other_loss, other)) = (of(&images), of(&permuted));
            let rows: Vec<&[f64]> = gradient.chunks(images.rows[0].len()).collect();
            let expected: Vec<f64> = order.iter().flat_map(|&i| rows[i].to_vec()).collect();
            assert!((loss - other_loss).abs() < 1e-13, "{} {}: {loss}, {other_loss}", asked.mining, asked.dual);
            assert!(difference(&other, &expected) < 1e-12, "{} {}", asked.mining, asked.dual);
        }
    }
}

/// What the loss warns of in a step of an epoch of four.
fn warnings(asked: &Asked<'_>, images: &Images, kind: Kind, step: u64) -> Vec<String> {
    let mut slot = asked.slot(kind);
    let progress = Progress { epoch: step / 4, epochs: 3, step, steps_per_epoch: 4, ..Progress::default() };
    drop(slot.loss(images.input(kind, asked.thresholds, None), &progress).unwrap());
    let lines = slot.take_report().lines;
    assert!(lines.iter().all(|(level, _)| *level == Level::Warn), "{lines:?}");
    lines.into_iter().map(|(_, text)| text).collect()
}

#[test]
fn the_last_step_of_an_epoch_warns_of_each_slice_that_is_one_point() {
    let point = |row: &[f64]| {
        let mut images = Images::random(&[0, 0, 0, 1, 1, 1], 8);
        images.rows.iter_mut().for_each(|other| other.copy_from_slice(row));
        images
    };
    let images = point(&[0.4, -0.1, 0.7, 0.2, -0.5, 0.3, 0.1, 0.6]);
    for (kind, step) in [(Kind::Double, 3), (Kind::Float, 3), (Kind::Double, 7), (Kind::Float, 11)] {
        for asked in variants().into_iter().filter(|asked| asked.mining != "semi-hard") {
            let lines = warnings(&asked, &images, kind, step);
            assert_eq!(lines.len(), 2, "{} {}: {lines:?}", asked.mining, asked.dual);
            for (slice, line) in lines.iter().enumerate() {
                let threshold = asked.thresholds[slice].to_string();
                for word in [format!("slice {slice} has collapsed"), format!("threshold {threshold};")] {
                    assert!(line.contains(&word), "{word} is not in: {line}");
                }
                let loss = asked.thresholds[slice] * if asked.dual == "exchange" { 2.0 } else { 1.0 };
                assert!(line.contains(&format!("loss of {loss:.4}")), "{line}");
            }
        }
    }
    // Of one slice, and of one among two.
    let lines = warnings(&Asked::new(&[0.3], "batch-hard"), &images, Kind::Float, 3);
    assert!(lines.len() == 1 && lines[0].contains("slice 0"), "{lines:?}");
    let lines = warnings(&variants()[2], &with_second_slice(&[0.3, -0.2, 0.9, 0.1]), Kind::Float, 3);
    assert!(lines.len() == 1 && lines[0].contains("slice 1") && lines[0].contains("0.2"), "{lines:?}");
}

#[test]
fn nothing_warns_of_features_that_are_apart_or_before_the_last_step() {
    let apart = &images()[0];
    let together = with_second_slice(&[0.3, -0.2, 0.9, 0.1]);
    for asked in variants() {
        for step in [0, 1, 2, 3, 7] {
            assert_eq!(warnings(&asked, apart, Kind::Double, step), [""; 0]);
        }
        for step in [0, 1, 2, 4, 6, 8] {
            assert_eq!(warnings(&asked, &together, Kind::Double, step), [""; 0]);
        }
    }
}

#[test]
fn thresholds_that_are_missing_or_not_above_0_are_refused() {
    let images = &images()[0];
    for mining in ["batch-hard", "semi-hard", "all"] {
        let refused = |thresholds: &[f64], slices: i64| {
            let mut input = images.input(Kind::Double, thresholds, None);
            input.slice_count = slices;
            refusal(Asked::new(thresholds, mining).slot(Kind::Double).loss(input, &epoch(0)))
        };
        for slices in [1, 2] {
            let text = refused(&[], slices);
            assert!(text.contains("threshold") && text.contains("`schedule`"), "{text}");
        }
        for (thresholds, slice, value) in [
            (&[0.0][..], 0, "0"),
            (&[0.2, 0.0], 1, "0"),
            (&[-0.5, 0.2], 0, "-0.5"),
            (&[0.1, 0.2, 0.3, -1.5], 3, "-1.5"),
        ] {
            let text = refused(thresholds, thresholds.len() as i64);
            let words = format!("the schedule's threshold of slice {slice} is {value}: it must be above 0");
            assert!(text.contains(&words), "{words} is not in: {text}");
        }
    }
}

#[test]
fn a_dual_needs_triplets_that_were_chosen() {
    let images = &images()[0];
    for (thresholds, dual) in
        THRESHOLDS.into_iter().flat_map(|it| ["exchange", "swap", "absolute"].map(|dual| (it, dual)))
    {
        for mining in ["semi-hard", "all"] {
            let asked = Asked { dual, ..Asked::new(thresholds, mining) };
            let of = |tuples| asked.slot(Kind::Double).loss(images.input(Kind::Double, thresholds, tuples), &epoch(0));
            let text = refusal(of(None));
            assert!(["`dual`", "\"batch-hard\"", "miner"].iter().all(|word| text.contains(word)), "{text}");
            assert!(of(Some(mined(images, Kind::Double, "batch-hard", json!({})))).is_ok());
        }
    }
}

#[test]
fn slices_of_a_large_batch_are_counted_as_each_by_itself() {
    // Three slices of so many images are more than what is counted at once.
    let labels: Vec<i64> = (0..840).map(|image| image % 28).collect();
    let (images, thresholds) = (Images::random(&labels, 36), [0.1, 0.5, 0.9]);
    for mining in ["all", "semi-hard"] {
        let mut together = Asked::new(&thresholds, mining).slot(Kind::Double);
        let (loss, gradient) = outcome(&mut together, images.input(Kind::Double, &thresholds, None));
        let (mut sum, mut gradients) = (0.0, Vec::new());
        for (slice, threshold) in thresholds.iter().enumerate() {
            let mut cut = Images::random(&labels, 36);
            cut.rows.iter_mut().for_each(|row| *row = row[12 * slice..12 * (slice + 1)].to_vec());
            let mut alone = Asked::new(&[*threshold], mining).slot(Kind::Double);
            let (loss, gradient) = outcome(&mut alone, cut.input(Kind::Double, &[*threshold], None));
            sum += numbers(&loss)[0];
            gradients.push(gradient / 3.0);
        }
        assert!(difference(&numbers(&loss), &[sum / 3.0]) < 1e-12, "{mining}");
        let expected = numbers(&Tensor::cat(&gradients, 1));
        assert!(difference(&numbers(&gradient), &expected) < 1e-9, "{mining}");
    }
}
