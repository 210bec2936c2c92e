//! The losses of `plugins/proxies` and `plugins/regularizers` against slow formulas, and where embeddings or weights
//! are extreme.

mod formulas;

use lossmith_plugin::{Input, Role, Slot, StateParameter, Tuples};
use serde_json::{Value as Json, json};
use tch::{Kind, Tensor};

use self::formulas::{
    Formula, arc_face, center, cos_face, mean, normalized_softmax, of_embeddings, penalty, proxy_nca,
    proxy_nca_plus_plus, soft_triple, sphere_face,
};
use crate::fixture::{epoch, numbers, slot};
use crate::slow::{Matrix, gradient};
use crate::transfers::{assert_close, case, input, of, refusal, tensor};

const PACKAGE: &str = "lossmith-proxies";

/// A loss: strategy, parameters, centers of each class, its trainable parameter, whether weight vectors are the columns
/// of that.
struct Case {
    strategy: &'static str,
    params: Json,
    centers: usize,
    parameter: &'static str,
    columns: bool,
    formula: Formula,
}

fn cases() -> Vec<Case> {
    let of = |strategy, params, centers, parameter, formula| {
        let columns = matches!(parameter, "W" | "fc");
        Case { strategy, params, centers, parameter, columns, formula }
    };
    vec![
        of("proxy-nca", json!({ "scale": 2.5 }), 1, "proxies", proxy_nca),
        of("proxy-nca", json!({ "scale": 9.0, "exclude-positive": true }), 1, "proxies", proxy_nca),
        of("proxy-nca-plus-plus", json!({ "temperature": 0.4 }), 1, "proxies", proxy_nca_plus_plus),
        of("proxy-nca-plus-plus", json!({}), 1, "proxies", proxy_nca_plus_plus),
        of("soft-triple", json!({ "lambda": 8.0, "gamma": 0.3, "margin": 0.2, "centers": 3 }), 3, "fc", soft_triple),
        of("arc-face", json!({ "margin-degrees": 40.0, "scale": 7.0 }), 1, "W", arc_face),
        of("arc-face", json!({ "margin-degrees": 120.0, "scale": 7.0 }), 1, "W", arc_face),
        of("sub-center-arc-face", json!({ "centers": 2, "scale": 9.0 }), 2, "W", arc_face),
        of("sub-center-arc-face", json!({}), 3, "W", arc_face),
        of("cos-face", json!({ "margin": 0.2, "scale": 9.0 }), 1, "W", cos_face),
        of("sphere-face", json!({}), 1, "W", sphere_face),
        of("sphere-face", json!({ "margin": 3, "scale": 2.0 }), 1, "W", sphere_face),
        of("normalized-softmax", json!({ "temperature": 0.3 }), 1, "W", normalized_softmax),
        of("center", json!({}), 1, "centers", center),
        of("center", json!({ "normalize": true }), 1, "centers", center),
    ]
}

/// Weight vectors without a pattern, one in each row.
fn weights(rows: usize, dimension: usize) -> Matrix {
    let entry = |i: usize| (1.3 * (i * i) as f64 + 0.7).sin();
    (0..rows).map(|row| (0..dimension).map(|column| entry(row * dimension + column)).collect()).collect()
}

fn set(slot: &mut Slot, name: &str, value: &Tensor) -> Tensor {
    let tensor = value.copy().set_requires_grad(true);
    let parameter = StateParameter { tensor: tensor.shallow_clone(), learning_rate_multiplier: 1.0 };
    slot.state_mut().parameters.insert(name.into(), parameter);
    tensor
}

/// Asserts that value and gradients of a loss with mined `tuples` are those of its formula, with a weight for each
/// image.
fn assert_equal(it: &Case, params: &Json, tuples: Option<Tuples>, shares: &[f64]) {
    let case = case("lcg16x8_imbalanced");
    let (x, labels) = (&case.student, &case.labels);
    let classes = (labels.iter().max().unwrap() + 1) as usize;
    let w = weights(classes * it.centers, x[0].len());
    let formula = |x: &Matrix, w: &Matrix| {
        let losses = (it.formula)(params, x, w, labels);
        let shared: Vec<f64> = losses.iter().zip(shares).map(|(loss, share)| loss * share).collect();
        mean(&shared) + penalty(params, w, it.centers)
    };
    let what = format!("{} {params}", it.strategy);
    let mut slot = slot(PACKAGE, Role::Loss, it.strategy, params.clone(), of(Kind::Double));
    let rows = tensor(&w, Kind::Double);
    let kept = set(&mut slot, it.parameter, &if it.columns { rows.tr().contiguous() } else { rows });
    let input = Input { tuples, ..input(&case, Kind::Double) };
    let embeddings = input.embeddings.as_ref().unwrap().shallow_clone();
    let loss = slot.loss(input, &epoch(0)).unwrap_or_else(|error| panic!("{what}: {error}"));
    loss.backward();
    assert_close(&numbers(&loss), &[formula(x, &w)], 1e-9, &what);
    let slope = gradient(x, |x| formula(x, &w));
    assert_close(&numbers(&embeddings.grad()), &slope, 1e-5, &format!("the gradient of {what}"));
    let slope = gradient(&w, |w| formula(x, w));
    let found = if it.columns { kept.grad().tr().contiguous() } else { kept.grad() };
    assert_close(&numbers(&found), &slope, 1e-5, &format!("the gradient of the weights of {what}"));
}

fn with(params: &Json, others: Json) -> Json {
    let mut params = params.clone();
    params.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
    params
}

const ALL_ONCE: [f64; 16] = [1.0; 16];

#[test]
fn losses_are_the_slow_formulas() {
    for it in cases() {
        assert_equal(&it, &it.params, None, &ALL_ONCE);
    }
}

#[test]
fn each_loss_goes_with_each_regularizer() {
    for it in cases() {
        for regularizer in ["lp", "center-invariant", "regular-face", "sparse-centers"] {
            if regularizer == "sparse-centers" && it.centers == 1 {
                continue;
            }
            let of = json!({ "regularizer": regularizer, "regularizer-weight": 0.7, "regularizer-p": 3.0 });
            assert_equal(&it, &with(&it.params, of), None, &ALL_ONCE);
        }
    }
}

#[test]
fn a_regularizer_adds_the_same_to_each_loss() {
    let case = case("lcg12x6");
    let w = weights(4, 6);
    for (strategy, parameter) in [("proxy-anchor", "proxies"), ("cross-entropy", "W")] {
        let run = |params: Json| {
            let mut slot = slot(PACKAGE, Role::Loss, strategy, params, of(Kind::Double));
            let kept = set(&mut slot, parameter, &tensor(&w, Kind::Double));
            let loss = slot.loss(input(&case, Kind::Double), &epoch(0)).unwrap();
            loss.backward();
            (numbers(&loss)[0], numbers(&kept.grad()))
        };
        let params = json!({ "regularizer": "center-invariant", "regularizer-weight": 0.4 });
        let (with, without) = (run(params.clone()), run(json!({})));
        assert_close(&[with.0], &[without.0 + penalty(&params, &w, 1)], 1e-9, strategy);
        let slope = gradient(&w, |w| penalty(&params, w, 1));
        let expected: Vec<f64> = without.1.iter().zip(&slope).map(|(a, b)| a + b).collect();
        assert_close(&with.1, &expected, 1e-6, &format!("the gradient of {strategy}"));
    }
}

#[test]
fn images_weigh_by_how_often_they_are_mined() {
    let index = |list: &[i64]| Tensor::from_slice(list);
    let (anchors, positives, negatives) = ([0, 0, 1, 9], [2, 4, 0, 11], [6, 7, 6, 6]);
    let triplets = || Tuples::Triplets([index(&anchors), index(&positives), index(&negatives)]);
    let pairs = || Tuples::Pairs([index(&anchors), index(&positives), index(&anchors[..2]), index(&negatives[..2])]);
    for it in cases() {
        let by_anchors = it.strategy.starts_with("proxy-nca");
        for tuples in [triplets(), pairs()] {
            let is_triplets = matches!(tuples, Tuples::Triplets(_));
            let lists: Vec<&[i64]> = match (by_anchors, is_triplets) {
                (true, true) => vec![&anchors],
                (true, false) => vec![&anchors, &anchors[..2]],
                (false, true) => vec![&anchors, &positives, &negatives],
                (false, false) => vec![&anchors, &positives, &anchors[..2], &negatives[..2]],
            };
            let mut counts = [0.0; 16];
            for place in lists.concat() {
                counts[place as usize] += 1.0;
            }
            let most = counts.iter().copied().fold(0.0, f64::max);
            assert_equal(&it, &it.params, Some(tuples), &counts.map(|count| count / most));
        }
    }
    let nothing = || index(&[]);
    let empty = Tuples::Triplets([nothing(), nothing(), nothing()]);
    assert_equal(&cases()[0], &cases()[0].params, Some(empty), &ALL_ONCE);
}

#[test]
fn reducers_see_the_losses_of_the_images() {
    let case = case("lcg16x8_imbalanced");
    let w = weights(4, 8);
    let losses = cos_face(&json!({ "margin": 0.1, "scale": 5.0 }), &case.student, &w, &case.labels);
    let classes = (case.labels.iter().max().unwrap() + 1) as usize;
    assert_eq!(classes, 4);
    let of_class = [1.0, 0.5, 2.0, 0.0];
    let weighted = losses.iter().zip(&case.labels).map(|(loss, label)| loss * of_class[*label as usize]);
    for (reducer, expected) in [
        (json!({ "reducer": "sum" }), losses.iter().sum::<f64>()),
        (json!({ "reducer": "divisor", "divisor": 5.0 }), losses.iter().sum::<f64>() / 5.0),
        (json!({ "reducer": "class-weighted", "class-weights": of_class }), mean(&weighted.collect::<Vec<_>>())),
    ] {
        let params = with(&json!({ "margin": 0.1, "scale": 5.0 }), reducer);
        let mut slot = slot(PACKAGE, Role::Loss, "cos-face", params.clone(), of(Kind::Double));
        let _ = set(&mut slot, "W", &tensor(&w, Kind::Double).tr().contiguous());
        let loss = slot.loss(input(&case, Kind::Double), &epoch(0)).unwrap();
        assert_close(&numbers(&loss), &[expected], 1e-9, &params.to_string());
    }
}

#[test]
fn one_center_cannot_be_sparse() {
    for strategy in ["cos-face", "proxy-anchor", "center"] {
        let mut slot =
            slot(PACKAGE, Role::Loss, strategy, json!({ "regularizer": "sparse-centers" }), of(Kind::Double));
        let text = refusal(slot.loss(input(&case("lcg12x6"), Kind::Double), &epoch(0)));
        assert!(text.contains("`sparse-centers`") && text.contains("several centers"), "{strategy}: {text}");
    }
}

#[test]
fn another_number_of_centers_is_refused() {
    let mut slot = slot(PACKAGE, Role::Loss, "soft-triple", json!({ "centers": 3 }), of(Kind::Double));
    let _ = set(&mut slot, "fc", &tensor(&weights(6, 8), Kind::Double));
    let text = refusal(slot.loss(input(&case("lcg12x6"), Kind::Double), &epoch(0)));
    assert!(text.contains("`fc` has 8 columns") && text.contains("`centers` cannot change"), "{text}");
}

/// Embeddings of eight images with their classes.
fn extremes() -> Vec<(&'static str, Matrix, Vec<i64>)> {
    let random = weights(8, 4);
    let scaled = |scale: f64| random.iter().map(|x| x.iter().map(|a| a * scale).collect()).collect();
    let three = vec![0, 0, 0, 1, 1, 1, 2, 2];
    vec![
        ("equal", vec![vec![0.3, -0.2, 0.5, 0.1]; 8], three.clone()),
        ("opposite", (0..8).map(|i| vec![f64::from(1 - 2 * (i % 2)), 0.0, 0.0, 0.0]).collect(), three.clone()),
        ("zero", vec![vec![0.0; 4]; 8], three.clone()),
        ("tiny", scaled(1e-6), three.clone()),
        ("huge", scaled(1e6), three),
        ("one class", random.clone(), vec![0; 8]),
        ("all different", random.clone(), (0..8).collect()),
        ("two images", random[..2].to_vec(), vec![0, 1]),
    ]
}

#[test]
fn extreme_embeddings_and_weights_have_finite_gradients() {
    for (name, x, labels) in extremes() {
        for it in cases() {
            let rows = (labels.iter().max().unwrap() + 1) as usize * it.centers;
            // Weights of no pattern, zeros, and a copy of an image: cosines of 1.
            for w in [weights(rows, 4), vec![vec![0.0; 4]; rows], vec![x[0].clone(); rows]] {
                let mut slot = slot(PACKAGE, Role::Loss, it.strategy, it.params.clone(), of(Kind::Double));
                let rows = tensor(&w, Kind::Double);
                let kept = set(&mut slot, it.parameter, &if it.columns { rows.tr().contiguous() } else { rows });
                let case = crate::slow::Case { student: x.clone(), teacher: x.clone(), labels: labels.clone() };
                let input = input(&case, Kind::Double);
                let embeddings = input.embeddings.as_ref().unwrap().shallow_clone();
                let loss = slot.loss(input, &epoch(0)).unwrap();
                loss.backward();
                let all = [numbers(&loss), numbers(&embeddings.grad()), numbers(&kept.grad())].concat();
                assert!(all.iter().all(|x| x.is_finite()), "{} {} on {name}", it.strategy, it.params);
            }
        }
    }
}

#[test]
fn losses_on_embeddings_alone_are_the_slow_formulas() {
    let every = [
        ("lp-norm", json!({})),
        ("lp-norm", json!({ "p": 1.0 })),
        ("lp-norm", json!({ "p": 3.5 })),
        ("zero-mean", json!({})),
        ("equal-norm", json!({})),
    ];
    for (strategy, params) in every {
        let run = |case: &crate::slow::Case| {
            let input = input(case, Kind::Double);
            let embeddings = input.embeddings.as_ref().unwrap().shallow_clone();
            let mut slot = slot("lossmith-regularizers", Role::Loss, strategy, params.clone(), of(Kind::Double));
            let loss = slot.loss(input, &epoch(0)).unwrap();
            loss.backward();
            (numbers(&loss), numbers(&embeddings.grad()))
        };
        let what = format!("{strategy} {params}");
        let case = case("lcg12x6");
        let (value, slope) = run(&case);
        let formula = |x: &Matrix| of_embeddings(strategy, &params, x);
        assert_close(&value, &[formula(&case.student)], 1e-9, &what);
        assert_close(&slope, &gradient(&case.student, formula), 1e-5, &format!("the gradient of {what}"));
        for (name, x, labels) in extremes() {
            let (value, slope) = run(&crate::slow::Case { student: x.clone(), teacher: x, labels });
            assert!(value.iter().chain(&slope).all(|x| x.is_finite()), "{what} on {name}");
        }
    }
}
