//! Every standard strategy gives the same bits with programs and without.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lossmith_plugin::{Input, PluginError, Progress, Role, Slot, Way};
use serde_json::{Value as Json, json};
use tch::{Device, Kind, Tensor};

use super::{Made, seen, with};
use crate::fixture::{plugin, slot};
use crate::transfers::{case_for, input, names};

pub(super) const PACKAGES: [&str; 9] = [
    "lossmith-losses",
    "lossmith-proxies",
    "lossmith-rankings",
    "lossmith-regularizers",
    "lossmith-transfers",
    "lossmith-balances",
    "lossmith-schedules",
    "lossmith-fusions",
    "lossmith-miners",
];

/// Those that are made by the plugin each time, and what of a call makes it so.
const STEP_BY_STEP: [(&str, &str); 12] = [
    // As many pairs, or triplets, as there are.
    ("loss n-pairs", "the size of `nonzero` depends on values"),
    ("miner angular", "the size of `nonzero` depends on values"),
    ("miner batch-easy-hard", "the size of `nonzero` depends on values"),
    ("miner batch-hard", "the size of `nonzero` depends on values"),
    ("miner distance-weighted", "the size of `nonzero` depends on values"),
    ("miner hdc", "the size of `nonzero` depends on values"),
    ("miner multi-similarity", "the size of `nonzero` depends on values"),
    ("miner pair-margin", "the size of `nonzero` depends on values"),
    ("miner triplet", "the size of `nonzero` depends on values"),
    ("miner uniform-histogram", "the size of `nonzero` depends on values"),
    // They choose by what they kept.
    ("schedule adaptive", "it reads values, as a list"),
    ("schedule stratified-random", "it reads values, as a list"),
];

/// Parameters of those that have no default for two slices.
pub(super) fn params(role: Role, strategy: &str) -> Json {
    match (role, strategy) {
        (Role::Fusion, "weighted") => json!({ "weights": [1.0, 2.0] }),
        (Role::Schedule, "list") => json!({ "thresholds": [0.3, 0.5] }),
        _ => json!({}),
    }
}

/// A batch of its own for each call, with all that a strategy can ask for but tuples.
pub(super) fn input_of(strategy: &str, call: i64, float: Kind) -> Input {
    let input = input(&case_for(strategy, "lcg16x8_imbalanced"), float);
    let scale = 1.0 + 0.1 * call as f64;
    let moved = |x: &Option<Tensor>| x.as_ref().map(|x| (x.detach() * scale).sin() * 1.5);
    let size = input.labels.as_ref().unwrap().size()[0];
    let map = |channels: i64| {
        let count = size * channels * 9;
        (Tensor::arange(count, (float, Device::Cpu)) * scale).cos().reshape([size, channels, 3, 3])
    };
    Input {
        embeddings: moved(&input.embeddings).map(|x| x.set_requires_grad(true)),
        teacher: moved(&input.teacher),
        labels: input.labels.as_ref().map(|labels| labels.roll([call], [0])),
        feature_map: Some(map(4).set_requires_grad(true)),
        teacher_feature_map: Some(map(4)),
        slice_count: if strategy == "single" { 1 } else { 2 },
        thresholds: vec![0.4, 0.6],
        ..input
    }
}

/// Three steps of an epoch, and two of the next.
pub(super) fn progress(call: i64) -> Progress {
    let slices = [("validation/slice.0.map-at-r", 0.5), ("validation/slice.1.map-at-r", 0.4)];
    let active = [("loss/active.0", 0.3), ("loss/active.1", 0.6)];
    let metrics = slices.into_iter().chain(active).map(|(name, value)| (name.to_owned(), value));
    Progress {
        epoch: call as u64 / 3,
        epochs: 10,
        step: call as u64,
        steps_per_epoch: 3,
        metrics: Arc::new(metrics.collect()),
        ..Progress::default()
    }
}

pub(super) fn call(
    slot: &mut Slot,
    input: Input,
    progress: &Progress,
    transfer: Option<&str>,
) -> Result<Made, PluginError> {
    let chosen = |input: Input| Input { embeddings: input.embeddings.map(|x| x.detach()), ..input };
    match slot.role() {
        Role::Loss => slot.loss(input, progress).map(Made::Value),
        Role::Miner => slot.mine(chosen(input), progress).map(Made::Tuples),
        Role::Transfer => slot.transfer(input, progress).map(Made::Pairs),
        Role::Balance => {
            let mut transfer = self::transfer(transfer.unwrap(), input.embeddings.as_ref().unwrap().kind());
            let pairs = transfer.transfer(input.shallow_clone(), progress)?;
            slot.balance(pairs, input, progress).map(|(value, _)| Made::Value(value))
        }
        Role::Schedule => slot.thresholds(chosen(input), progress).map(Made::Numbers),
        Role::Fusion => slot.fuse(Input { labels: None, ..input }, progress).map(Made::Value),
    }
}

fn transfer(name: &str, float: Kind) -> Slot {
    slot("lossmith-transfers", Role::Transfer, name, json!({}), with(0, float))
}

/// Makes five calls with programs and without. How the last one with was made; none if the strategy does not take them.
fn last_way(package: &str, role: Role, strategy: &str, transfer: Option<&str>) -> Option<Way> {
    let what = format!("{role} {strategy} {transfer:?}");
    let [mut on, mut off] =
        [8, 0].map(|count| slot(package, role, strategy, params(role, strategy), with(count, Kind::Float)));
    let mut good = false;
    for number in 0..5 {
        let (input, progress) = (input_of(transfer.unwrap_or(strategy), number, Kind::Float), progress(number));
        let seen = |slot: &mut Slot| {
            seen(slot, &input, &progress, |slot, input, progress| call(slot, input, progress, transfer))
        };
        let (found, expected) = (seen(&mut on), seen(&mut off));
        good |= expected.result.is_ok();
        assert_eq!(found, expected, "{what}, call {number}");
    }
    good.then(|| on.way())
}

#[test]
fn all_give_the_same_bits() {
    let (mut replayed, mut others) = (BTreeSet::new(), BTreeMap::new());
    let transfers = names("lossmith-transfers", Role::Transfer);
    for package in PACKAGES {
        for strategy in &plugin(package).strategies {
            let (role, name) = (strategy.role, strategy.name.as_str());
            let ways: Vec<Way> = match role {
                Role::Balance => transfers.iter().filter_map(|of| last_way(package, role, name, Some(of))).collect(),
                _ => last_way(package, role, name, None).into_iter().collect(),
            };
            let name = format!("{role} {name}");
            assert!(!ways.is_empty(), "{name} takes no batch of these");
            for way in ways {
                match way {
                    Way::Replayed => drop(replayed.insert(name.clone())),
                    Way::Unrecordable(reason) => drop(others.insert(name.clone(), reason)),
                    Way::Plain | Way::Recorded => panic!("{name} ended with {way:?}"),
                }
            }
        }
    }
    let others: Vec<_> = others.iter().map(|(name, reason)| (name.as_str(), *reason)).collect();
    assert_eq!(others, BTreeMap::from(STEP_BY_STEP).into_iter().collect::<Vec<_>>());
    assert!(others.iter().all(|(name, _)| !replayed.contains(*name)));
}
