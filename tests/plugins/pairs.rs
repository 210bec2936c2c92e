//! Distances, reducers and the cross-batch memory, which the losses share, against slow formulas.

use lossmith_plugin::{Input, Role, Slot};
use serde_json::{Value as Json, json};
use tch::{Kind, Tensor};

use crate::fixture::{batch, bits, epoch, numbers, slot};
use crate::slow::{Matrix, gradient};
use crate::transfers::{assert_close, of, refusal, tensor};

const PACKAGE: &str = "lossmith-losses";
pub(crate) const DISTANCES: [&str; 6] = ["euclidean", "squared-euclidean", "lp", "cosine", "dot", "snr"];
const SIZE: usize = 12;

fn rows(input: &Input) -> (Matrix, Vec<i64>) {
    let embeddings = Vec::<Vec<f64>>::try_from(input.embeddings.as_ref().unwrap().detach()).unwrap();
    (embeddings, Vec::try_from(input.labels.as_ref().unwrap()).unwrap())
}

/// The distance of two embeddings; a similarity counts negative.
pub(crate) fn farness(params: &Json, x: &[f64], y: &[f64]) -> f64 {
    let unit = |x: &[f64]| {
        let norm = x.iter().map(|a| a * a).sum::<f64>().sqrt();
        x.iter().map(|a| a / norm).collect::<Vec<_>>()
    };
    let name = params["distance"].as_str().unwrap();
    let normalize = params.get("normalize").is_none_or(|it| it == &json!(true)) || name == "cosine";
    let (x, y) = if normalize { (unit(x), unit(y)) } else { (x.to_vec(), y.to_vec()) };
    let power = |p: f64| x.iter().zip(&y).map(|(a, b)| (a - b).abs().powf(p)).sum::<f64>();
    let variance = |x: &[f64]| {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        x.iter().map(|a| (a - mean) * (a - mean)).sum::<f64>() / x.len() as f64
    };
    match name {
        "euclidean" => power(2.0).sqrt(),
        "squared-euclidean" => power(2.0),
        "lp" => power(params["p"].as_f64().unwrap()).powf(1.0 / params["p"].as_f64().unwrap()),
        "cosine" | "dot" => -x.iter().zip(&y).map(|(a, b)| a * b).sum::<f64>(),
        _ => variance(&x.iter().zip(&y).map(|(a, b)| a - b).collect::<Vec<_>>()) / variance(&x),
    }
}

/// Losses with their anchors, reduced.
pub(crate) fn reduced(params: &Json, losses: &[(usize, f64)], labels: &[i64]) -> f64 {
    let mean = |of: &[f64]| of.iter().sum::<f64>() / (of.len() as f64).max(1.0);
    let all: Vec<f64> = losses.iter().map(|(_, loss)| *loss).collect();
    let where_ = |keep: &dyn Fn(f64) -> bool| mean(&all.iter().copied().filter(|x| keep(*x)).collect::<Vec<_>>());
    match params["reducer"].as_str().unwrap() {
        "mean" => mean(&all),
        "sum" => all.iter().sum(),
        "divisor" => all.iter().sum::<f64>() / params["divisor"].as_f64().unwrap(),
        "average-non-zero" => where_(&|x| x > 0.0),
        "threshold" => {
            let limit = |name: &str| params[name].as_f64().unwrap();
            where_(&|x| x > limit("reducer-low") && x < limit("reducer-high"))
        }
        "per-anchor" => {
            let of = |anchor| losses.iter().filter(|it| it.0 == anchor).map(|it| it.1).collect::<Vec<_>>();
            mean(&(0..labels.len()).map(|anchor| mean(&of(anchor))).collect::<Vec<_>>())
        }
        _ => {
            let weight = |anchor: usize| params["class-weights"][labels[anchor] as usize].as_f64().unwrap();
            mean(&losses.iter().map(|(anchor, loss)| weight(*anchor) * loss).collect::<Vec<_>>())
        }
    }
}

pub(crate) fn reducers() -> Vec<Json> {
    vec![
        json!({ "reducer": "mean" }),
        json!({ "reducer": "sum" }),
        json!({ "reducer": "average-non-zero" }),
        json!({ "reducer": "threshold", "reducer-low": 0.15, "reducer-high": 0.6 }),
        json!({ "reducer": "per-anchor" }),
        json!({ "reducer": "class-weighted", "class-weights": [1.0, 0.5, 2.0, 0.0] }),
        json!({ "reducer": "divisor", "divisor": 7.0 }),
    ]
}

pub(crate) fn with(mut params: Json, others: Json) -> Json {
    params.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
    params
}

/// Anchor in `x` and references in `references`, which is `x` itself for a batch.
fn contrastive(params: &Json, x: &Matrix, labels: &[i64], references: Option<(&Matrix, &[i64])>) -> f64 {
    let (others, other_labels) = references.unwrap_or((x, labels));
    let similarity = matches!(params["distance"].as_str().unwrap(), "cosine" | "dot");
    let margin = |name: &str| params[name].as_f64().unwrap() * if similarity { -1.0 } else { 1.0 };
    let (mut pull, mut push) = (Vec::new(), Vec::new());
    for (i, a) in x.iter().enumerate() {
        for (j, b) in others.iter().enumerate() {
            if references.is_none() && i == j {
                continue;
            }
            let d = farness(params, a, b);
            if labels[i] == other_labels[j] {
                pull.push((i, (d - margin("positive-margin")).max(0.0)));
            } else {
                push.push((i, (margin("negative-margin") - d).max(0.0)));
            }
        }
    }
    reduced(params, &pull, labels) + reduced(params, &push, labels)
}

fn triplet(params: &Json, x: &Matrix, labels: &[i64]) -> f64 {
    let mut losses = Vec::new();
    let margin = params["margin"].as_f64().unwrap();
    let is = |name: &str| params.get(name) == Some(&json!(true));
    for a in 0..x.len() {
        for p in (0..x.len()).filter(|&p| p != a && labels[p] == labels[a]) {
            for n in (0..x.len()).filter(|&n| labels[n] != labels[a]) {
                let d = |i: usize, j: usize| farness(params, &x[i], &x[j]);
                let nearest = if is("swap") { d(a, n).min(d(p, n)) } else { d(a, n) };
                let v = d(a, p) - nearest + margin;
                losses.push((a, if is("smooth") { (1.0 + v.exp()).ln() } else { v.max(0.0) }));
            }
        }
    }
    reduced(params, &losses, labels)
}

pub(crate) fn assert_equal(strategy: &str, params: &Json, formula: impl Fn(&Matrix, &[i64]) -> f64) {
    let input = batch(SIZE as i64, 5, Kind::Double);
    let (x, labels) = rows(&input);
    let embeddings = input.embeddings.as_ref().unwrap().shallow_clone();
    let loss = slot(PACKAGE, Role::Loss, strategy, params.clone(), of(Kind::Double)).loss(input, &epoch(0));
    let loss = loss.unwrap_or_else(|error| panic!("{strategy} {params}: {error}"));
    loss.backward();
    let what = format!("{strategy} {params}");
    assert_close(&numbers(&loss), &[formula(&x, &labels)], 1e-9, &what);
    let slope = gradient(&x, |x| formula(x, &labels));
    assert_close(&numbers(&embeddings.grad()), &slope, 1e-5, &format!("{what}, gradient"));
}

#[test]
fn each_distance_goes_with_each_reducer() {
    for distance in DISTANCES {
        let similarity = matches!(distance, "cosine" | "dot");
        let (positive, negative) = match distance {
            _ if similarity => (0.9, 0.1),
            // Farther than two unit vectors are by the Euclidean distance.
            "squared-euclidean" => (0.1, 3.0),
            _ => (0.1, 0.9),
        };
        for (place, reducer) in reducers().into_iter().enumerate() {
            let params = json!({ "distance": distance, "p": 3.0, "normalize": place % 2 == 0 });
            let params = with(params, reducer);
            let margins = json!({ "positive-margin": positive, "negative-margin": negative });
            let of_pairs = with(params.clone(), margins);
            assert_equal("contrastive", &of_pairs, |x, labels| contrastive(&of_pairs, x, labels, None));
            let of_triplets = with(params, json!({ "margin": 0.3 }));
            assert_equal("triplet", &of_triplets, |x, labels| triplet(&of_triplets, x, labels));
        }
    }
}

#[test]
fn the_forms_of_the_triplet_loss_go_with_each_reducer() {
    for reducer in reducers() {
        for form in [json!({ "swap": true }), json!({ "smooth": true }), json!({ "swap": true, "smooth": true })] {
            let params = with(json!({ "distance": "euclidean", "margin": 0.3 }), with(reducer.clone(), form));
            assert_equal("triplet", &params, |x, labels| triplet(&params, x, labels));
        }
    }
}

#[test]
fn equal_embeddings_have_a_finite_gradient_at_every_distance() {
    for distance in DISTANCES {
        let embeddings = Tensor::from_slice(&[0.5, 0.2, -0.1]).repeat([6, 1]).set_requires_grad(true);
        let input = Input { embeddings: Some(embeddings.shallow_clone()), ..batch(6, 3, Kind::Double) };
        let params = json!({ "distance": distance, "p": 1.5 });
        slot(PACKAGE, Role::Loss, "contrastive", params, of(Kind::Double)).loss(input, &epoch(0)).unwrap().backward();
        assert!(numbers(&embeddings.grad()).iter().all(|x| x.is_finite()), "{distance}");
    }
}

#[test]
fn class_weights_of_another_number_are_refused() {
    let params = json!({ "reducer": "class-weighted", "class-weights": [1.0] });
    let mut slot = slot(PACKAGE, Role::Loss, "contrastive", params, of(Kind::Double));
    let text = refusal(slot.loss(batch(12, 4, Kind::Double), &epoch(0)));
    assert!(text.contains("4 classes") && text.contains("class-weights") && text.contains("there are 1"), "{text}");
}

/// A batch of four images, another one for each `step`.
fn small(step: u64) -> Input {
    let whole = batch(40, 3, Kind::Double);
    let part = |x: &Option<Tensor>| x.as_ref().unwrap().detach().narrow(0, 4 * step as i64, 4);
    Input {
        embeddings: Some(part(&whole.embeddings).set_requires_grad(true)),
        labels: Some(part(&whole.labels).remainder(2)),
        class_count: 2,
        ..whole
    }
}

fn with_memory(size: i64, warm_up: i64) -> Slot {
    let params = json!({ "memory-size": size, "memory-warm-up": warm_up, "reducer": "mean" });
    slot(PACKAGE, Role::Loss, "contrastive", params, of(Kind::Double))
}

fn step(step: u64) -> lossmith_plugin::Progress {
    lossmith_plugin::Progress { step, ..epoch(0) }
}

#[test]
fn a_memory_adds_the_pairs_with_the_last_embeddings_of_earlier_batches() {
    let params = json!({ "distance": "euclidean", "reducer": "mean", "positive-margin": 0.0, "negative-margin": 1.0 });
    let mut slot = with_memory(10, 2);
    // What a queue of ten would hold, oldest first.
    let (mut queue, mut queue_labels) = (Matrix::new(), Vec::new());
    for at in 0..7 {
        let input = small(at);
        let (x, labels) = rows(&input);
        let embeddings = input.embeddings.as_ref().unwrap().shallow_clone();
        let loss = slot.loss(input, &step(at)).unwrap();
        loss.backward();
        let formula = |x: &Matrix| {
            let of_batch = contrastive(&params, x, &labels, None);
            let held = (!queue.is_empty()).then_some((&queue, queue_labels.as_slice()));
            of_batch + held.map_or(0.0, |held| contrastive(&params, x, &labels, Some(held)))
        };
        assert_close(&numbers(&loss), &[formula(&x)], 1e-9, &format!("step {at}"));
        let slope = gradient(&x, formula);
        assert_close(&numbers(&embeddings.grad()), &slope, 1e-5, &format!("gradient of step {at}"));
        if at >= 2 {
            queue.extend(x);
            queue_labels.extend(labels);
            let beyond = queue.len().saturating_sub(10);
            queue.drain(..beyond);
            queue_labels.drain(..beyond);
        }
    }
}

#[test]
fn a_memory_that_was_kept_goes_on_where_it_was() {
    let mut whole = with_memory(10, 0);
    let mut before = with_memory(10, 0);
    for at in 0..3 {
        let _ = whole.loss(small(at), &step(at)).unwrap();
        let _ = before.loss(small(at), &step(at)).unwrap();
    }
    let mut after = with_memory(10, 0);
    for (name, buffer) in &before.state().buffers {
        after.state_mut().buffers.insert(name.clone(), buffer.copy());
    }
    for at in 3..6 {
        let [a, b] = [&mut whole, &mut after].map(|slot| slot.loss(small(at), &step(at)).unwrap());
        assert_eq!(bits(&a), bits(&b), "step {at}");
    }
}

#[test]
fn a_memory_of_another_size_starts_anew() {
    let mut edited = with_memory(8, 0);
    let mut fresh = with_memory(12, 0);
    let _ = edited.loss(small(0), &step(0)).unwrap();
    let kept: Vec<_> = edited.state().buffers.iter().map(|(name, buffer)| (name.clone(), buffer.copy())).collect();
    let mut edited = with_memory(12, 0);
    edited.state_mut().buffers.extend(kept);
    for at in 1..5 {
        let [a, b] = [&mut edited, &mut fresh].map(|slot| slot.loss(small(at), &step(at)).unwrap());
        assert_eq!(bits(&a), bits(&b), "step {at}");
    }
}

#[test]
fn a_memory_smaller_than_a_batch_is_refused() {
    let text = refusal(with_memory(3, 0).loss(small(0), &step(0)));
    assert!(text.contains("`memory-size` is 3") && text.contains("4 images"), "{text}");
    // At once, not when the warm-up is over.
    let text = refusal(with_memory(3, 1000).loss(small(0), &step(0)));
    assert!(text.contains("`memory-size` is 3") && text.contains("4 images"), "{text}");
}

#[test]
fn each_loss_with_a_memory_has_a_gradient_through_it() {
    for strategy in ["contrastive", "triplet", "multi-similarity", "nt-xent", "sup-con"] {
        let run = |size: i64| {
            let params = json!({ "memory-size": size });
            let mut slot = slot(PACKAGE, Role::Loss, strategy, params, of(Kind::Double));
            let _ = slot.loss(small(0), &step(0)).unwrap();
            let input = small(1);
            let embeddings = input.embeddings.as_ref().unwrap().shallow_clone();
            slot.loss(input, &step(1)).unwrap().backward();
            tensor(&Vec::try_from(embeddings.grad()).unwrap(), Kind::Double)
        };
        assert_ne!(numbers(&run(0)), numbers(&run(8)), "{strategy}");
    }
}
