//! The miners without reference values against slow formulas, and what is drawn against its distribution.

use std::collections::{BTreeMap, BTreeSet};

use lossmith_plugin::{Input, Progress, Role, Slot};
use serde_json::{Value as Json, json};
use tch::{Kind, Tensor};

use crate::fixture::{batch, epoch, slot};
use crate::golden::sets;
use crate::slow::{Case, Matrix};
use crate::transfers::{case, input, of};

const PACKAGE: &str = "lossmith-miners";

fn miner(strategy: &str, params: Json) -> Slot {
    slot(PACKAGE, Role::Miner, strategy, params, of(Kind::Double))
}

/// The index lists that a miner finds in a step.
fn mined(slot: &mut Slot, case: &Case, step: u64) -> Vec<Vec<i64>> {
    let mut input = input(case, Kind::Double);
    input.embeddings = input.embeddings.map(|x| x.detach());
    let tuples = slot.mine(input, &Progress { step, ..epoch(0) }).unwrap();
    tuples.parts().iter().map(|part| Vec::try_from(part).unwrap()).collect()
}

fn unit(rows: &Matrix) -> Matrix {
    let norm = |row: &[f64]| row.iter().map(|a| a * a).sum::<f64>().sqrt();
    rows.iter().map(|row| row.iter().map(|a| a / norm(row)).collect()).collect()
}

fn distance(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(a, b)| a * b).sum()
}

/// All ordered pairs of one class, or of two.
fn pairs(labels: &[i64], same: bool) -> Vec<(usize, usize)> {
    let size = labels.len();
    let all = (0..size).flat_map(|a| (0..size).map(move |b| (a, b)));
    all.filter(|&(a, b)| a != b && (labels[a] == labels[b]) == same).collect()
}

fn list(tuples: impl IntoIterator<Item = (usize, usize)>) -> BTreeSet<Vec<i64>> {
    tuples.into_iter().map(|(a, b)| vec![a as i64, b as i64]).collect()
}

#[test]
fn angular_finds_the_triplets_with_a_wide_angle() {
    for name in ["lcg12x6", "lcg16x8_imbalanced", "angles5"] {
        let case = case(name);
        let x = unit(&case.student);
        for degrees in [5.0, 20.0, 35.0, 45.0, 80.0] {
            let mut expected = BTreeSet::new();
            for (a, p) in pairs(&case.labels, true) {
                let center: Vec<f64> = x[a].iter().zip(&x[p]).map(|(a, b)| (a + b) / 2.0).collect();
                for n in (0..x.len()).filter(|&n| case.labels[n] != case.labels[a]) {
                    let angle = distance(&x[a], &x[p]).atan2(2.0 * distance(&x[n], &center)).to_degrees();
                    if angle > degrees {
                        expected.insert(vec![a as i64, p as i64, n as i64]);
                    }
                }
            }
            let found = mined(&mut miner("angular", json!({ "degrees": degrees })), &case, 0);
            assert_eq!(found[0].len(), expected.len(), "{name} {degrees}");
            assert_eq!(sets(&found), [expected], "{name} {degrees}");
        }
    }
}

#[test]
fn hdc_keeps_the_hardest_share() {
    let case = case("lcg16x8_imbalanced");
    let x = unit(&case.student);
    for metric in ["euclidean", "cosine"] {
        // Larger is farther.
        let farness = |(a, b): (usize, usize)| match metric {
            "cosine" => -dot(&x[a], &x[b]),
            _ => distance(&x[a], &x[b]),
        };
        // Both orders of a pair are equally hard: even numbers, so that none is kept without the other.
        for (positives, negatives, fraction) in [(86, 154, 1.0), (44, 78, 0.501), (20, 36, 0.23), (0, 0, 0.0)] {
            let share = |same: bool, count: usize| {
                let mut all = pairs(&case.labels, same);
                assert_eq!((fraction * all.len() as f64).ceil() as usize, count);
                all.sort_by(|&a, &b| {
                    let sign = if same { -1.0 } else { 1.0 };
                    (sign * farness(a)).total_cmp(&(sign * farness(b)))
                });
                list(all.into_iter().take(count))
            };
            let found = mined(&mut miner("hdc", json!({ "fraction": fraction, "distance": metric })), &case, 0);
            assert_eq!(sets(&found), [share(true, positives), share(false, negatives)], "{metric} {fraction}");
            assert_eq!([found[0].len(), found[2].len()], [positives, negatives], "{metric} {fraction}");
        }
    }
}

#[test]
fn of_equally_hard_pairs_hdc_keeps_the_first() {
    // Whole numbers on a line: distances are exact, and many are equal.
    let mut case = case("lcg16x8_imbalanced");
    for (place, row) in case.student.iter_mut().enumerate() {
        row.fill(0.0);
        row[0] = (place * 7 % 5) as f64;
    }
    for fraction in [0.07, 0.3, 0.55, 0.9] {
        let expected = |same: bool| {
            let mut all = pairs(&case.labels, same);
            let count = (fraction * all.len() as f64).ceil() as usize;
            let sign = if same { -1.0 } else { 1.0 };
            all.sort_by_key(|&(a, b)| (sign * distance(&case.student[a], &case.student[b])) as i64);
            all.truncate(count);
            all.sort_unstable();
            [all.iter().map(|pair| pair.0 as i64).collect::<Vec<_>>(), all.iter().map(|pair| pair.1 as i64).collect()]
        };
        let found = mined(&mut miner("hdc", json!({ "fraction": fraction, "normalize": false })), &case, 0);
        assert_eq!(found, [expected(true), expected(false)].concat(), "{fraction}");
    }
}

/// How often each tuple was found.
fn counts(lists: &[Vec<i64>]) -> BTreeMap<Vec<i64>, usize> {
    let mut counts = BTreeMap::new();
    for place in 0..lists[0].len() {
        *counts.entry(lists.iter().map(|list| list[place]).collect()).or_insert(0) += 1;
    }
    counts
}

/// Asserts that something of this probability was seen about as often as it should be: within 6 standard deviations.
fn assert_likely(seen: usize, draws: usize, probability: f64, what: &str) {
    let expected = draws as f64 * probability;
    let bound = 6.0 * (expected * (1.0 - probability)).sqrt() + 1.0;
    assert!((seen as f64 - expected).abs() <= bound, "{what}: seen {seen} times, expected {expected} +- {bound}");
}

#[test]
fn uniform_histogram_draws_as_many_pairs_in_each_bin() {
    let case = case("lcg16x8_imbalanced");
    let x = unit(&case.student);
    for bins in [1, 7, 100] {
        let params = json!({ "bins": bins, "positives": 3, "negatives": 4 });
        let found = mined(&mut miner("uniform-histogram", params), &case, 0);
        for (same, part, per_bin) in [(true, &found[..2], 3), (false, &found[2..], 4)] {
            let all = pairs(&case.labels, same);
            let lengths: Vec<f64> = all.iter().map(|&(a, b)| distance(&x[a], &x[b])).collect();
            let low = lengths.iter().copied().fold(f64::INFINITY, f64::min);
            let high = lengths.iter().copied().fold(0.0, f64::max);
            let bin = |length: f64| (((length - low) / (high - low) * bins as f64) as usize).min(bins - 1);
            let filled: BTreeSet<usize> = lengths.iter().map(|length| bin(*length)).collect();
            let mut drawn = BTreeMap::new();
            for (a, b) in part[0].iter().zip(&part[1]) {
                let (a, b) = (*a as usize, *b as usize);
                assert!(all.contains(&(a, b)), "{a} {b}");
                *drawn.entry(bin(distance(&x[a], &x[b]))).or_insert(0) += 1;
            }
            let expected: BTreeMap<usize, usize> = filled.into_iter().map(|bin| (bin, per_bin)).collect();
            assert_eq!(drawn, expected, "{bins} bins");
            assert!(part[0].is_sorted(), "{bins} bins");
        }
    }
}

#[test]
fn uniform_histogram_draws_each_pair_of_a_bin_equally_often() {
    let case = case("lcg12x6");
    let params = json!({ "bins": 1, "positives": 9000, "negatives": 9000 });
    let found = mined(&mut miner("uniform-histogram", params), &case, 0);
    for (same, part) in [(true, &found[..2]), (false, &found[2..])] {
        let (all, seen) = (pairs(&case.labels, same), counts(part));
        for (a, b) in &all {
            let times = seen.get(&vec![*a as i64, *b as i64]).copied().unwrap_or_default();
            assert_likely(times, 9000, 1.0 / all.len() as f64, &format!("{a} {b}"));
        }
    }
}

/// The probability with which each image is the negative of an anchor.
fn probabilities(case: &Case, anchor: usize, cutoff: f64, nonzero: f64) -> Vec<f64> {
    let x = unit(&case.student);
    let dimension = x[0].len() as f64;
    let weight = |n: usize| {
        let d = distance(&x[anchor], &x[n]).max(cutoff);
        let density = d.powf(dimension - 2.0) * (1.0 - d * d / 4.0).powf((dimension - 3.0) / 2.0);
        if case.labels[n] != case.labels[anchor] && d < nonzero { 1.0 / density } else { 0.0 }
    };
    let weights: Vec<f64> = (0..x.len()).map(weight).collect();
    let sum = weights.iter().sum::<f64>();
    weights.iter().map(|weight| if sum > 0.0 { weight / sum } else { 0.0 }).collect()
}

#[test]
fn distance_weighted_draws_by_the_density_of_distances() {
    let case = case("lcg12x6");
    for (cutoff, nonzero) in [(0.5, 1.4), (1.1, 1.9), (0.1, 3.0)] {
        let mut slot = miner("distance-weighted", json!({ "cutoff": cutoff, "nonzero-loss-cutoff": nonzero }));
        let mut seen = vec![[0; 12]; 12];
        let steps = 1500;
        for step in 0..steps {
            let found = mined(&mut slot, &case, step);
            // Each pair of an anchor that has a negative, once.
            let anchors = (0..12).filter(|&a| probabilities(&case, a, cutoff, nonzero).iter().sum::<f64>() > 0.0);
            let anchors: BTreeSet<usize> = anchors.collect();
            let all = pairs(&case.labels, true).into_iter().filter(|(a, _)| anchors.contains(a));
            let all: Vec<_> = all.collect();
            assert_eq!(found[0].len(), all.len());
            assert_eq!(sets(&[&found[..2], &found[..2]].concat())[0], list(all));
            for (a, n) in found[0].iter().zip(&found[2]) {
                seen[*a as usize][*n as usize] += 1;
            }
        }
        for (a, seen) in seen.iter().enumerate() {
            let draws = seen.iter().sum();
            for (n, probability) in probabilities(&case, a, cutoff, nonzero).into_iter().enumerate() {
                assert_likely(seen[n], draws, probability, &format!("{n} for {a}"));
                assert!(probability > 0.0 || seen[n] == 0, "{n} for {a}");
            }
        }
    }
}

#[test]
fn draws_depend_on_the_step_and_on_nothing_else() {
    let case = case("lcg12x6");
    for strategy in ["distance-weighted", "uniform-histogram"] {
        let at = |step: u64| mined(&mut miner(strategy, json!({})), &case, step);
        assert_eq!(at(3), at(3), "{strategy}");
        assert_ne!(at(3), at(4), "{strategy}");
    }
}

#[test]
fn batches_with_little_to_find_give_valid_tuples() {
    let few =
        |size: i64, labels: &[i64]| Input { labels: Some(Tensor::from_slice(labels)), ..batch(size, 4, Kind::Double) };
    let same = Tensor::from_slice(&[0.3, -0.2, 0.5, 0.1]).repeat([6, 1]);
    let opposite = Tensor::from_slice(&[1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0]).reshape([2, 4]).repeat([3, 1]);
    let of =
        |embeddings: &Tensor| Input { embeddings: Some(embeddings.shallow_clone()), ..few(6, &[0, 0, 0, 1, 1, 1]) };
    let inputs = [
        few(6, &[0; 6]),
        few(6, &[0, 1, 2, 3, 4, 5]),
        few(2, &[0, 0]),
        few(2, &[0, 1]),
        of(&same),
        of(&opposite),
        of(&(&same * 0.0)),
        of(&(&same * 1e-6)),
        of(&(&opposite * 1e6)),
    ];
    for (place, input) in inputs.iter().enumerate() {
        let labels: Vec<i64> = Vec::try_from(input.labels.as_ref().unwrap()).unwrap();
        for strategy in ["distance-weighted", "angular", "hdc", "uniform-histogram"] {
            let mut input = input.shallow_clone();
            input.embeddings = input.embeddings.map(|x| x.detach());
            let tuples = miner(strategy, json!({})).mine(input, &epoch(0)).unwrap();
            let parts: Vec<Vec<i64>> = tuples.parts().iter().map(|part| Vec::try_from(part).unwrap()).collect();
            let what = format!("{strategy} on batch {place}");
            let of = |i: &i64| labels[*i as usize];
            assert!(parts[0].iter().zip(&parts[1]).all(|(a, b)| a != b && of(a) == of(b)), "{what}");
            let negatives = if parts.len() == 3 { (&parts[0], &parts[2]) } else { (&parts[2], &parts[3]) };
            assert!(negatives.0.iter().zip(negatives.1).all(|(a, b)| of(a) != of(b)), "{what}");
        }
    }
}
