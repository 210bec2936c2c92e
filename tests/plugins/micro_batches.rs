//! Gradient caching: a batch in parts has the gradients of the whole batch, for objectives of every kind.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use lossmith::model::Parts;
use lossmith::train::{first_pass, second_pass};
use lossmith_plugin::objective::{Batch, ComputedOn, Objective, Objectives};
use lossmith_plugin::{Progress, Role, Setting, Slot};
use serde_json::{Value as Json, json};
use tch::{Device, Kind, TchError, Tensor};

use crate::fixture::{batch, bits, setting, slot};

const IMAGES: usize = 13;
const DIMENSION: i64 = 8;
/// Two steps, so that the second has a memory of the first.
const STEPS: u64 = 2;
const CPU: (Kind, Device) = (Kind::Double, Device::Cpu);

/// Numbers between -1 and 1, other ones for each `number`.
fn numbers(size: &[i64], number: i64) -> Tensor {
    let count: i64 = size.iter().product();
    ((Tensor::arange(count, CPU) + 0.37) * (1.7 + number as f64)).sin().reshape(size)
}

/// A convolution and a linear map of the mean of its map, in 64 bits.
struct Network {
    convolution: Tensor,
    head: Tensor,
    /// Whether numbers of the map are dropped, other ones in each step and part.
    drops: bool,
    step: RefCell<u64>,
    /// Of every call: how many images, whether it keeps a graph, and the bits of its embeddings.
    calls: RefCell<Vec<(i64, bool, Vec<u64>)>>,
}

impl Network {
    fn new(drops: bool) -> Self {
        let parameter = |tensor: Tensor| tensor.set_requires_grad(true);
        let (convolution, head) = (numbers(&[4, 1, 3, 3], 1), numbers(&[DIMENSION, 4], 2));
        let (convolution, head) = (parameter(convolution), parameter(head));
        Self { convolution, head, drops, step: RefCell::new(0), calls: RefCell::default() }
    }

    fn forward(&self, images: &Tensor, part: usize) -> Result<(Tensor, Option<Tensor>), TchError> {
        let map = images.f_conv2d(&self.convolution, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1)?.f_tanh()?;
        let drawn = numbers(&map.size(), 10 * *self.step.borrow() as i64 + part as i64);
        let map = if self.drops { map.f_mul(&drawn.f_gt(-0.4)?)? } else { map };
        let embeddings = map.f_mean_dim([2i64, 3].as_slice(), false, None)?.f_linear(&self.head, None::<&Tensor>)?;
        self.calls.borrow_mut().push((images.size()[0], embeddings.requires_grad(), bits(&embeddings)));
        Ok((embeddings, Some(map)))
    }

    /// The gradients of its parameters, which have none then.
    fn gradients(&self) -> [Tensor; 2] {
        [&self.convolution, &self.head].map(taken)
    }
}

/// The gradient of a parameter, which has none then.
fn taken(parameter: &Tensor) -> Tensor {
    let mut parameter = parameter.shallow_clone();
    let gradient = parameter.grad();
    let gradient = if gradient.defined() { gradient.copy() } else { parameter.detach().zeros_like() };
    parameter.zero_grad();
    gradient
}

/// How a step gets the results of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// With the graph of the whole batch, computed in these parts.
    Plain(Parts),
    /// By gradient caching.
    Cached(Parts),
}

/// The loss and the gradients of all parameters in each of two steps.
fn train(objectives: &mut Objectives, network: &Network, way: Way) -> Vec<BTreeMap<String, Tensor>> {
    let (Way::Plain(parts) | Way::Cached(parts)) = way;
    let step = |step: u64| {
        *network.step.borrow_mut() = step;
        let images = numbers(&[IMAGES as i64, 1, 6, 6], 3 + step as i64);
        let embed = |part| network.forward(&parts.rows(&images, part)?, part);
        let results = if let Way::Plain(_) = way { parts.join(embed) } else { first_pass(parts, embed) };
        let (embeddings, feature_map) = results.unwrap();
        let told = batch(IMAGES as i64, DIMENSION, Kind::Double);
        let batch = Batch {
            embeddings,
            labels: told.labels.unwrap(),
            class_count: told.class_count,
            slice_count: 2,
            feature_map,
            teacher: Some(numbers(&[IMAGES as i64, 5], 7)),
            teacher_feature_map: Some(numbers(&[IMAGES as i64, 3, 6, 6], 8)),
            tuples: None,
            thresholds: Vec::new(),
            measured: true,
        };
        let progress = Progress { epochs: 1, step, steps_per_epoch: STEPS, ..Progress::default() };
        let total = objectives.compute(&batch, &progress).unwrap().total;
        total.backward();
        if let Way::Cached(_) = way {
            second_pass(parts, (&batch.embeddings, batch.feature_map.as_ref()), embed).unwrap();
        }
        let [convolution, head] = network.gradients();
        let own = objectives.parameters().into_iter().map(|(name, tensor, _)| (name, taken(&tensor)));
        let network = [("loss", total.detach()), ("convolution", convolution), ("head", head)];
        own.chain(network.map(|(name, tensor)| (name.to_owned(), tensor))).collect()
    };
    (0..STEPS).map(step).collect()
}

/// A strategy in 64 bits.
fn of(package: &str, role: Role, strategy: &str, params: Json) -> Slot {
    slot(package, role, strategy, params, Setting { seed: 3, ..setting() })
}

fn loss(strategy: &str, params: Json) -> Slot {
    of("lossmith-losses", Role::Loss, strategy, params)
}

fn single(on: ComputedOn, loss: Slot) -> Objective {
    Objective::of_loss("objective.0".to_owned(), 1.5, on, loss)
}

/// Objectives of a kind, made anew.
fn objectives(kind: &str) -> Objectives {
    let embedding = ComputedOn::Embedding;
    let fused = |on| {
        let fusion = of("lossmith-fusions", Role::Fusion, "learned-weights", json!({}));
        let own = single(embedding, loss("contrastive", json!({})));
        let on_fused = loss("multi-similarity", json!({}));
        let on_fused = Objective::of_loss("objective.1".to_owned(), 1.0, on, on_fused);
        Objectives::new(vec![own, on_fused], Some(fusion))
    };
    let one = |objective| Objectives::new(vec![objective], None);
    match kind {
        "loss" => one(single(embedding, loss("sup-con", json!({})))),
        "mined" => {
            let miner = of("lossmith-miners", Role::Miner, "batch-hard", json!({}));
            one(single(embedding, loss("triplet", json!({}))).with_miner(miner))
        }
        "thresholds" => {
            let schedule = of("lossmith-schedules", Role::Schedule, "uniform", json!({}));
            one(single(embedding, loss("multi-threshold", json!({}))).with_schedule(schedule))
        }
        "balanced" => {
            let transfer = of("lossmith-transfers", Role::Transfer, "relaxed-contrastive", json!({}));
            let balance = of("lossmith-balances", Role::Balance, "gradient-share", json!({}));
            one(Objective::of_transfer("objective.0".to_owned(), 1.0, embedding, transfer, Some(balance)))
        }
        "proxies" => one(single(embedding, of("lossmith-proxies", Role::Loss, "proxy-anchor", json!({})))),
        "memory" => one(single(embedding, loss("contrastive", json!({ "memory-size": 20 })))),
        "map" => one(single(embedding, of("lossmith-transfers", Role::Loss, "attention", json!({})))),
        "fused" => fused(ComputedOn::Fused),
        "fused-only" => fused(ComputedOn::FusedOnly),
        _ => panic!("there is no kind {kind}"),
    }
}

const KINDS: [&str; 9] = ["loss", "mined", "thresholds", "balanced", "proxies", "memory", "map", "fused", "fused-only"];

fn parts(most: usize) -> Parts {
    Parts::new(IMAGES, NonZeroUsize::new(most))
}

#[track_caller]
fn assert_equal(found: &[BTreeMap<String, Tensor>], expected: &[BTreeMap<String, Tensor>], what: &str) {
    for (step, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (name, expected) in expected {
            let far = (&found[name] - expected).abs().max().double_value(&[]);
            assert!(far < 1e-9, "{what}, step {step}: {name} is off by {far}");
        }
        // A comparison of zeros would say nothing.
        assert!(
            expected["convolution"].abs().max().double_value(&[]) > 1e-6,
            "{what}, step {step}: there is no gradient"
        );
    }
}

#[test]
fn parts_have_the_gradients_of_the_whole_batch_whatever_the_objective() {
    for kind in KINDS {
        let plain = train(&mut objectives(kind), &Network::new(false), Way::Plain(parts(IMAGES)));
        for most in [1, 4, 7] {
            let cached = train(&mut objectives(kind), &Network::new(false), Way::Cached(parts(most)));
            assert_equal(&cached, &plain, &format!("{kind}, at most {most}"));
        }
    }
}

#[test]
fn what_the_network_drops_in_a_part_it_drops_in_both_passes() {
    for kind in KINDS {
        let parts = parts(4);
        let plain = train(&mut objectives(kind), &Network::new(true), Way::Plain(parts));
        let network = Network::new(true);
        let cached = train(&mut objectives(kind), &network, Way::Cached(parts));
        assert_equal(&cached, &plain, kind);
        for step in network.calls.borrow().chunks(2 * parts.count()) {
            let (first, second) = step.split_at(parts.count());
            assert!(first.iter().zip(second).all(|((_, _, first), (_, _, second))| first == second), "{kind}");
        }
    }
}

#[test]
fn the_network_sees_one_part_at_a_time_and_keeps_no_graph_of_the_first_pass() {
    let network = Network::new(false);
    train(&mut objectives("loss"), &network, Way::Cached(parts(4)));
    let calls: Vec<_> = network.calls.borrow().iter().map(|(images, graph, _)| (*images, *graph)).collect();
    let step = [4, 3, 3, 3].map(|images| (images, false)).into_iter().chain([4, 3, 3, 3].map(|images| (images, true)));
    assert_eq!(calls, [step.clone().collect::<Vec<_>>(), step.collect()].concat());
}

#[test]
fn there_is_no_second_pass_without_a_gradient() {
    let parts = parts(4);
    let (network, images) = (Network::new(false), numbers(&[IMAGES as i64, 1, 6, 6], 3));
    let embed = |part| network.forward(&parts.rows(&images, part)?, part);
    let (embeddings, map) = first_pass(parts, embed).unwrap();
    second_pass(parts, (&embeddings, map.as_ref()), embed).unwrap();
    assert_eq!(network.calls.borrow().len(), parts.count());
    assert!(!network.head.grad().defined());
}
