//! The losses on pairs and triplets against slow formulas, with what a miner found and without, and where there is
//! little or nothing to learn from.

pub(crate) mod formulas;

use lossmith_plugin::{Input, Role, Tuples};
use tch::{Kind, Tensor};

use crate::fixture::{epoch, numbers, slot};
use crate::slow::{Matrix, gradient};
use crate::transfers::{self, assert_close, json, names, of, tensor};
use formulas::{Case, FORMULAS, Formula, Found, margin_at, unit};

const PACKAGE: &str = "lossmith-losses";

/// All pairs and triplets, or some pairs or some triplets, a few of them twice.
pub(crate) fn found(labels: &[i64], miner: &str) -> Found {
    let images = 0..labels.len();
    let all: Vec<(usize, usize)> = images.clone().flat_map(|i| images.clone().map(move |j| (i, j))).collect();
    let (mut positive, mut negative): (Vec<_>, Vec<_>) =
        all.into_iter().filter(|(i, j)| i != j).partition(|&(i, j)| labels[i] == labels[j]);
    let some = |pairs: &[(usize, usize)], step: usize| -> Vec<(usize, usize)> {
        let chosen = pairs.iter().enumerate().filter(|(place, _)| place % step != 0).map(|(_, pair)| *pair);
        chosen.chain(pairs.iter().copied().step_by(7)).collect()
    };
    let columns = |pairs: &[(usize, usize)]| -> [Vec<usize>; 2] { pairs.iter().copied().unzip().into() };
    let mut tuples = None;
    if miner == "pairs" {
        (positive, negative) = (some(&positive, 2), some(&negative, 3));
        tuples = Some([columns(&positive), columns(&negative)].concat());
    }
    let join = |&(a, p): &(usize, usize)| negative.iter().filter(move |pair| pair.0 == a).map(move |&(_, n)| [a, p, n]);
    let mut triplets: Vec<[usize; 3]> = positive.iter().flat_map(join).collect();
    if miner == "triplets" {
        triplets = triplets.iter().copied().step_by(5).chain(triplets.iter().copied().step_by(35)).collect();
        positive = triplets.iter().map(|&[a, p, _]| (a, p)).collect();
        negative = triplets.iter().map(|&[a, _, n]| (a, n)).collect();
        tuples = Some((0..3).map(|part| triplets.iter().map(|triplet| triplet[part]).collect()).collect());
    }
    Found { positive, negative, triplets, tuples }
}

fn tuples(lists: &[Vec<usize>]) -> Tuples {
    let index = |list: &Vec<usize>| Tensor::from_slice(&list.iter().map(|&i| i as i64).collect::<Vec<_>>());
    match lists {
        [a, p, n] => Tuples::Triplets([a, p, n].map(index)),
        [a, p, b, n] => Tuples::Pairs([a, p, b, n].map(index)),
        _ => panic!("neither triplets nor pairs"),
    }
}

/// Value and gradient of a strategy are those of the formula, for each kind of what a miner finds.
pub(crate) fn assert_equal(package: &str, strategy: &str, params: &str, formula: Formula) {
    let (case, params) = (transfers::case("lcg16x8_imbalanced"), json(params));
    for miner in ["none", "pairs", "triplets"] {
        let what = format!("{strategy} {params}, {miner}");
        let found = found(&case.labels, miner);
        let input = Input { tuples: found.tuples.as_deref().map(tuples), ..transfers::input(&case, Kind::Double) };
        let embeddings = input.embeddings.as_ref().unwrap().shallow_clone();
        let loss = slot(package, Role::Loss, strategy, params.clone(), of(Kind::Double)).loss(input, &epoch(0));
        let loss = loss.unwrap_or_else(|error| panic!("{what}: {error}"));
        loss.backward();
        let at = &case.student;
        let value = |x: &Matrix| formula(&Case { params: &params, x, at, labels: &case.labels, found: &found });
        assert_close(&numbers(&loss), &[value(at)], 1e-9, &what);
        assert_close(&numbers(&embeddings.grad()), &gradient(at, value), 1e-5, &format!("{what}, gradient"));
    }
}

#[test]
fn losses_and_their_gradients_are_those_of_slow_formulas() {
    for (strategy, params, formula) in FORMULAS {
        assert_equal(PACKAGE, strategy, params, formula);
    }
}

#[test]
fn the_boundary_of_margin_learns() {
    let case = transfers::case("lcg16x8_imbalanced");
    let found = found(&case.labels, "none");
    for (learning, count) in [("one", 1), ("per-class", 4)] {
        let params = json(&format!(
            r#"{{ "distance": "euclidean", "beta": 1.1, "margin": 0.2, "nu": 0.3, "learn-beta": "{learning}" }}"#
        ));
        let mut slot = slot(PACKAGE, Role::Loss, "margin", params.clone(), of(Kind::Double));
        slot.loss(transfers::input(&case, Kind::Double), &epoch(0)).unwrap().backward();
        let beta = &slot.state().parameters["beta"].tensor;
        assert_eq!(numbers(beta), vec![1.1; count], "{learning}");
        // All of them moved at once.
        let (x, labels) = (&case.student, &case.labels);
        let slow = Case { params: &params, x, at: x, labels, found: &found };
        let slope = (margin_at(&slow, 1.1 + 1e-6) - margin_at(&slow, 1.1 - 1e-6)) / 2e-6;
        let moved: f64 = numbers(&beta.grad()).iter().sum();
        assert_close(&[moved], &[slope], 1e-6, learning);
    }
}

#[test]
fn each_loss_with_a_memory_compares_with_earlier_batches() {
    let case = transfers::case("lcg16x8_imbalanced");
    let strategies =
        ["circle", "generalized-lifted", "margin", "tuplet-margin", "snr-contrastive", "threshold-consistent-margin"];
    for strategy in strategies {
        let run = |size: i64| {
            let params = json(&format!(r#"{{ "memory-size": {size} }}"#));
            let mut slot = slot(PACKAGE, Role::Loss, strategy, params, of(Kind::Double));
            let _ = slot.loss(transfers::input(&case, Kind::Double), &epoch(0)).unwrap();
            let input = transfers::input(&case, Kind::Double);
            let embeddings = input.embeddings.as_ref().unwrap().shallow_clone();
            slot.loss(input, &epoch(0)).unwrap().backward();
            numbers(&embeddings.grad())
        };
        let (without, with) = (run(0), run(20));
        assert_ne!(without, with, "{strategy}");
        assert!(with.iter().all(|x| x.is_finite()), "{strategy}");
    }
}

/// Value and gradient of a loss with its defaults.
fn run(package: &str, strategy: &str, rows: &Matrix, labels: &[i64], kind: Kind) -> Vec<f64> {
    let embeddings = tensor(rows, kind).set_requires_grad(true);
    let input = Input {
        embeddings: Some(embeddings.shallow_clone()),
        labels: Some(Tensor::from_slice(labels)),
        class_count: labels.iter().max().unwrap() + 1,
        slice_count: 1,
        ..Input::default()
    };
    let loss = slot(package, Role::Loss, strategy, json("{}"), of(kind)).loss(input, &epoch(0));
    let loss = loss.unwrap_or_else(|error| panic!("{strategy}: {error}"));
    loss.backward();
    [numbers(&loss), numbers(&embeddings.grad())].concat()
}

/// All losses that need no schedule, with their packages.
fn strategies() -> Vec<(&'static str, String)> {
    let of = |package| names(package, Role::Loss).into_iter().map(move |name| (package, name));
    [PACKAGE, "lossmith-rankings"].into_iter().flat_map(of).filter(|(_, name)| name != "multi-threshold").collect()
}

#[test]
fn values_and_gradients_are_finite_at_the_ends() {
    let rows = transfers::case("lcg12x6").student[..8].to_vec();
    let scaled = |norm: f64| rows.iter().map(|row| unit(row).iter().map(|x| x * norm).collect()).collect();
    let classes = vec![0, 0, 0, 1, 1, 1, 2, 2];
    let cases: [(&str, Matrix, Vec<i64>); 10] = [
        ("identical", vec![rows[0].clone(); 8], classes.clone()),
        ("zeros", vec![vec![0.0; 6]; 8], classes.clone()),
        ("a zero", [vec![vec![0.0; 6]], rows[1..].to_vec()].concat(), classes.clone()),
        ("one class", rows.clone(), vec![0; 8]),
        ("all different", rows.clone(), (0..8).collect()),
        ("short", scaled(1e-6), classes.clone()),
        ("long", scaled(1e6), classes),
        ("two of one class", rows[..2].to_vec(), vec![0, 0]),
        ("two of two classes", rows[..2].to_vec(), vec![0, 1]),
        ("one image", rows[..1].to_vec(), vec![0]),
    ];
    for (package, strategy) in strategies() {
        for (what, rows, labels) in &cases {
            for kind in [Kind::Float, Kind::Double] {
                let found = run(package, &strategy, rows, labels, kind);
                assert!(found.iter().all(|x| x.is_finite()), "{strategy}, {what}, {kind:?}: {found:?}");
            }
        }
    }
}

#[test]
fn one_image_costs_nothing() {
    // The hinges of `vicreg` are on the spread of a batch.
    for (package, strategy) in strategies().into_iter().filter(|(_, name)| name != "vicreg") {
        let found = run(package, &strategy, &vec![vec![0.3, -0.2, 0.5]], &[0], Kind::Double);
        assert!(found.iter().all(|x| *x == 0.0), "{strategy}: {found:?}");
    }
}
