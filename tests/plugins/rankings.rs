//! The losses on rankings against slow formulas, with what a miner found and without.

use std::collections::BTreeSet;

use crate::catalogue::formulas::{Case, Formula, cosine, mean, number, squared};
use crate::catalogue::{assert_equal, found};

const PACKAGE: &str = "lossmith-rankings";

/// Strategies, with parameters that they are tried with.
const FORMULAS: [(&str, &str, Formula); 6] = [
    ("fast-ap", r#"{ "bins": 10 }"#, fast_ap),
    ("fast-ap", r#"{ "bins": 7 }"#, fast_ap),
    ("smooth-ap", r#"{ "temperature": 0.1 }"#, smooth_ap),
    ("smooth-ap", r#"{ "temperature": 0.03 }"#, smooth_ap),
    ("histogram", r#"{ "bins": 100 }"#, histogram),
    ("histogram", r#"{ "bins": 9 }"#, histogram),
];

/// The image's other ones, of its class and of others.
fn split(case: &Case, i: usize) -> (Vec<usize>, Vec<usize>) {
    (0..case.x.len()).filter(|&j| j != i).partition(|&j| case.labels[j] == case.labels[i])
}

/// The mean loss of the images that are not alone in their class.
fn over_images(case: &Case, loss: impl Fn(usize) -> f64) -> f64 {
    let importance = case.importance();
    let counted = (0..case.x.len()).filter(|&i| !split(case, i).0.is_empty());
    mean(&counted.map(|i| loss(i) * importance[i]).collect::<Vec<_>>())
}

/// The height of a triangle of width 2 around 0.
fn pulse(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

fn fast_ap(case: &Case) -> f64 {
    let bins = number(case.params, "bins");
    let normalized = |i: usize| {
        let length = squared(&case.x[i], &vec![0.0; case.x[i].len()]).sqrt();
        case.x[i].iter().map(|x| x / length).collect::<Vec<_>>()
    };
    over_images(case, |i| {
        let (same, others) = split(case, i);
        let height = |j: &usize, node: f64| pulse(squared(&normalized(i), &normalized(*j)) * bins / 4.0 - node);
        let (mut reached, mut all, mut precision) = (0.0, 0.0, 0.0);
        for node in 0..=bins as usize {
            let of = |images: &[usize]| images.iter().map(|j| height(j, node as f64)).sum::<f64>();
            let here = of(&same);
            reached += here;
            all += here + of(&others);
            precision += if here > 0.0 { here * reached / all } else { 0.0 };
        }
        1.0 - precision / same.len() as f64
    })
}

fn smooth_ap(case: &Case) -> f64 {
    let temperature = number(case.params, "temperature");
    over_images(case, |a| {
        let score = |j: usize| cosine(&case.x[a], &case.x[j]) / temperature;
        let rank = |i: usize, images: &[usize]| {
            let ahead = |&&j: &&usize| 1.0 / (1.0 + (score(i) - score(j)).exp());
            1.0 + images.iter().filter(|&&j| j != i).map(|j| ahead(&j)).sum::<f64>()
        };
        let same = [split(case, a).0, vec![a]].concat();
        let everything: Vec<usize> = (0..case.x.len()).collect();
        1.0 - mean(&same.iter().map(|&i| rank(i, &same) / rank(i, &everything)).collect::<Vec<_>>())
    })
}

fn histogram(case: &Case) -> f64 {
    let bins = number(case.params, "bins");
    let once = |pairs: Vec<(usize, usize)>| -> Vec<f64> {
        let pairs: BTreeSet<(usize, usize)> = pairs.into_iter().map(|(i, j)| (i.min(j), i.max(j))).collect();
        pairs.into_iter().map(|(i, j)| cosine(&case.x[i], &case.x[j])).collect()
    };
    let positive = once(case.found.triplets.iter().map(|&[a, p, _]| (a, p)).collect());
    let negative = once(case.found.triplets.iter().map(|&[a, _, n]| (a, n)).collect());
    let (mut below, mut loss) = (0.0, 0.0);
    for node in 0..=bins as usize {
        let share = |cosines: &[f64]| {
            mean(&cosines.iter().map(|s| pulse((s + 1.0) * bins / 2.0 - node as f64)).collect::<Vec<_>>())
        };
        below += share(&positive);
        loss += below * share(&negative);
    }
    loss
}

#[test]
fn rankings_and_their_gradients_are_those_of_slow_formulas() {
    for (strategy, params, formula) in FORMULAS {
        assert_equal(PACKAGE, strategy, params, formula);
    }
}

#[test]
fn what_a_miner_found_is_not_all_there_is() {
    // Else the other test would say nothing about miners.
    let labels = [0, 0, 0, 1, 1, 1, 2, 2];
    let triplets = ["none", "pairs", "triplets"].map(|miner| found(&labels, miner).triplets.len());
    assert!(triplets[0] != triplets[1] && triplets[1] != triplets[2] && triplets.iter().all(|count| *count > 0));
}
