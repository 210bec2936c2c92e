//! Every loss with every distance, reducer and miner that pytorch-metric-learning computes, against its numbers; where
//! ours are others, the catalogue says so.
//!
//! `scripts/peers/values.py` made `tests/data/golden/peers.json` and says how.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use lossmith_plugin::{Input, Role, Slot, StateParameter, Tuples};
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use tch::Tensor;

use crate::fixture::{epoch, numbers, setting, slot};
use crate::golden::{Array, sets};

#[derive(Deserialize)]
struct Peers {
    embeddings: Vec<Vec<f64>>,
    unit: Vec<Vec<f64>>,
    labels: Vec<i64>,
    reducers: BTreeMap<String, Map<String, Json>>,
    miners: Vec<Mined>,
    losses: Vec<Loss>,
}

#[derive(Deserialize)]
struct Mined {
    miner: String,
    distance: Option<String>,
    params: Map<String, Json>,
    indices: Vec<Vec<i64>>,
}

#[derive(Deserialize)]
struct Loss {
    package: String,
    loss: String,
    distance: Option<String>,
    params: Map<String, Json>,
    /// By reducer and miner: the value, the sum of the gradient with fixed weights, its norm.
    results: BTreeMap<String, BTreeMap<String, [f64; 3]>>,
    #[serde(default)]
    parameters: BTreeMap<String, Array>,
}

static PEERS: LazyLock<Peers> =
    LazyLock::new(|| serde_json::from_str(include_str!("../data/golden/peers.json")).unwrap());

fn matrix(rows: &[Vec<f64>]) -> Tensor {
    Tensor::from_slice(&rows.concat()).reshape([rows.len() as i64, rows[0].len() as i64])
}

fn input(rows: &[Vec<f64>], tuples: Option<&[Vec<i64>]>) -> Input {
    let index = |list: &Vec<i64>| Tensor::from_slice(list);
    Input {
        embeddings: Some(matrix(rows).set_requires_grad(true)),
        labels: Some(Tensor::from_slice(&PEERS.labels)),
        class_count: PEERS.labels.iter().max().unwrap() + 1,
        slice_count: 1,
        tuples: tuples.map(|parts| match parts {
            [a, p, n] => Tuples::Triplets([a, p, n].map(index)),
            [a, p, b, n] => Tuples::Pairs([a, p, b, n].map(index)),
            _ => panic!("neither triplets nor pairs"),
        }),
        ..Input::default()
    }
}

/// Losses of which theirs keeps one value in a row for each image.
const ROWS: [&str; 7] = [
    "angular",
    "circle",
    "generalized-lifted",
    "lifted-structure",
    "multi-similarity",
    "threshold-consistent-margin",
    "tuplet-margin",
];

/// What may differ; the catalogue names each.
fn differs(loss: &str, distance: Option<&str>, reducer: &str, miner: &str) -> bool {
    let triplets = ["angular", "triplet", "triplet/semi-hard"].contains(&miner);
    match (loss, reducer) {
        // Theirs divides embeddings by their p-norm first, ours by their 2-norm.
        _ if distance == Some("lp-3-normalized") => true,
        // Theirs reduces triplets, ours the two hinges of each; the sum and the mean over hinges above 0 are the same.
        ("margin", reducer) => !["sum", "average-non-zero"].contains(&reducer),
        // Theirs multiplies a column of losses by a row of weights: the mean of all losses by all weights.
        (loss, "class-weighted") if ROWS.contains(&loss) => true,
        // Theirs counts a pair that several triplets have once.
        ("contrastive" | "intra-pair-variance" | "nt-xent" | "snr-contrastive", "per-anchor") => triplets,
        ("threshold-consistent-margin", reducer) => reducer != "average-non-zero",
        ("n-pairs", "per-anchor") => true,
        ("proxy-anchor", _) => miner != "none",
        ("multi-similarity", "average-non-zero") => miner == "hdc",
        _ => false,
    }
}

#[test]
fn miners_find_what_the_peer_finds() {
    for Mined { miner, distance, params, indices } in &PEERS.miners {
        let strategy = miner.split('/').next().unwrap();
        let mut slot = slot("lossmith-miners", Role::Miner, strategy, Json::Object(params.clone()), setting());
        // The peer's angular miner does not normalise; of unit vectors both find the same.
        let rows = if miner == "angular" { &PEERS.unit } else { &PEERS.embeddings };
        let input = input(rows, None);
        let detached = input.embeddings.as_ref().map(Tensor::detach);
        let found = slot.mine(Input { embeddings: detached, ..input }, &epoch(0)).unwrap();
        let found: Vec<Vec<i64>> = found.parts().iter().map(|part| Vec::try_from(part).unwrap()).collect();
        let equal = sets(&found) == sets(indices);
        // Theirs divides by the 3-norm, and ranks otherwise in `hdc` where the distance is not that between unit
        // vectors.
        let plain = distance.as_deref().is_none_or(|distance| distance == "euclidean");
        let other = distance.as_deref() == Some("lp-3-normalized") || (miner == "hdc" && !equal && !plain);
        assert_eq!(equal, !other, "{miner} {distance:?}");
    }
}

/// The value and two numbers of the gradient, as the file has them.
fn result(slot: &mut Slot, loss: &Loss, tuples: Option<&[Vec<i64>]>) -> [f64; 3] {
    for (name, Array { shape, data }) in &loss.parameters {
        let tensor = Tensor::from_slice(data).reshape(shape).set_requires_grad(true);
        slot.state_mut().parameters.insert(name.clone(), StateParameter { tensor, learning_rate_multiplier: 1.0 });
    }
    let input = input(&PEERS.embeddings, tuples);
    let embeddings = input.embeddings.as_ref().unwrap().shallow_clone();
    let value = slot.loss(input, &epoch(0)).unwrap_or_else(|error| panic!("{error}"));
    value.backward();
    let gradient = numbers(&embeddings.grad());
    let weighted = gradient.iter().zip(0..).map(|(g, place)| g * f64::from(place).cos()).sum();
    [value.double_value(&[]), weighted, gradient.iter().map(|g| g * g).sum::<f64>().sqrt()]
}

#[test]
fn losses_have_the_peers_values_and_gradients_with_every_distance_reducer_and_miner() {
    let chosen: BTreeMap<&str, &[Vec<i64>]> = PEERS
        .miners
        .iter()
        .filter(|mined| mined.distance.as_deref().is_none_or(|distance| distance == "euclidean"))
        .map(|mined| (mined.miner.as_str(), mined.indices.as_slice()))
        .collect();
    let (mut compared, mut other, mut wrong) = (0, 0, BTreeSet::new());
    for loss in &PEERS.losses {
        for (reducer, by_miner) in &loss.results {
            let mut params = loss.params.clone();
            // One without a reducer has its only one.
            if loss.loss != "proxy-anchor" {
                params.extend(PEERS.reducers[reducer].clone());
            }
            let strategy = loss.loss.split('/').next().unwrap();
            let package = format!("lossmith-{}", loss.package);
            let mut slot = slot(&package, Role::Loss, strategy, Json::Object(params), setting());
            for (miner, expected) in by_miner {
                let found = result(&mut slot, loss, chosen.get(miner.as_str()).copied());
                let scale = expected.iter().fold(1e-3_f64, |most, x| most.max(x.abs()));
                let equal = found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-8 * scale);
                compared += 1;
                let what = format!("{} {} {reducer}", loss.loss, loss.distance.as_deref().unwrap_or("-"));
                if differs(&loss.loss, loss.distance.as_deref(), reducer, miner) {
                    other += usize::from(!equal);
                } else if !equal {
                    wrong.insert(format!("{what} {miner}: {found:?}, theirs {expected:?}"));
                }
            }
        }
    }
    let lines: Vec<_> = wrong.iter().take(40).cloned().collect();
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), lines.join("\n"));
    assert!(compared > 5000, "{compared}");
    // What is said to differ does, all but some.
    assert!(other > 500, "{other}");
}
