//! The standard plugins against reference values and gradients; `tests/data/golden` says where these are from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use lossmith_plugin::{Input, Role, Setting, Slot, StateParameter, Tuples};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tch::{Device, Kind, Tensor};

use crate::fixture::{epoch, numbers, setting, slot};

#[derive(Deserialize)]
pub(crate) struct Golden {
    pub(crate) inputs: BTreeMap<String, Case>,
    losses: Vec<Loss>,
    miners: Vec<Mined>,
}

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) embeddings: Vec<Vec<f64>>,
    pub(crate) labels: Vec<i64>,
    pub(crate) teacher: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
pub(crate) struct Loss {
    pub(crate) input: String,
    loss: String,
    pub(crate) params: Json,
    balance: Option<Balance>,
    pub(crate) value: f64,
    pub(crate) gradient: Vec<Vec<f64>>,
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, Array>,
    #[serde(default)]
    pub(crate) parameter_gradients: BTreeMap<String, Vec<f64>>,
}

/// A balance, with its parameters.
#[derive(Deserialize)]
struct Balance {
    mode: String,
    #[serde(flatten)]
    params: BTreeMap<String, Json>,
}

#[derive(Deserialize)]
pub(crate) struct Array {
    pub(crate) shape: Vec<i64>,
    pub(crate) data: Vec<f64>,
}

#[derive(Deserialize)]
pub(crate) struct Mined {
    pub(crate) input: String,
    miner: String,
    pub(crate) params: Json,
    pub(crate) indices: Vec<Vec<i64>>,
}

/// Strategies that the standard plugins have, with their package.
const LOSSES: [(&str, &str); 24] = [
    ("contrastive", "lossmith-losses"),
    ("triplet", "lossmith-losses"),
    ("multi-similarity", "lossmith-losses"),
    ("nt-xent", "lossmith-losses"),
    ("sup-con", "lossmith-losses"),
    ("multi-threshold", "lossmith-losses"),
    ("circle", "lossmith-losses"),
    ("lifted-structure", "lossmith-losses"),
    ("generalized-lifted", "lossmith-losses"),
    ("n-pairs", "lossmith-losses"),
    ("angular", "lossmith-losses"),
    ("margin", "lossmith-losses"),
    ("nca", "lossmith-losses"),
    ("tuplet-margin", "lossmith-losses"),
    ("intra-pair-variance", "lossmith-losses"),
    ("ranked-list", "lossmith-losses"),
    ("fast-ap", "lossmith-rankings"),
    ("proxy-anchor", "lossmith-proxies"),
    ("normalized-softmax", "lossmith-proxies"),
    ("proxy-nca", "lossmith-proxies"),
    ("soft-triple", "lossmith-proxies"),
    ("arc-face", "lossmith-proxies"),
    ("cos-face", "lossmith-proxies"),
    ("rkd-angle", "lossmith-transfers"),
];

/// Transfers that the standard plugins have, in one package.
const TRANSFERS: [&str; 3] = ["relaxed-contrastive", "rkd-distance", "pkt"];

pub(crate) static GOLDEN: LazyLock<Golden> =
    LazyLock::new(|| serde_json::from_str(include_str!("../data/golden/golden.json")).unwrap());

/// `triplet/swap` is a variant of `triplet`; its parameters spell it out.
fn strategy(name: &str) -> &str {
    name.split('/').next().unwrap()
}

impl Loss {
    pub(crate) fn strategy(&self) -> &str {
        strategy(&self.loss)
    }

    fn what(&self, kind: Kind) -> String {
        let balance = self.balance.as_ref().map(|balance| format!(" {} {:?}", balance.mode, balance.params));
        format!("{} {}{} on {} in {kind:?}", self.loss, self.params, balance.unwrap_or_default(), self.input)
    }

    /// The package of its strategy; none for a loss that the standard plugins do not have.
    pub(crate) fn package(&self) -> Option<&'static str> {
        LOSSES.iter().find(|(name, _)| *name == self.strategy()).map(|(_, package)| *package)
    }

    /// The parameters as our strategy has them: thresholds come from a schedule, and `dual` says in which reading.
    pub(crate) fn params(&self) -> Json {
        let mut params = self.params.clone();
        if self.params.get("thresholds").is_some() {
            let table = params.as_object_mut().unwrap();
            table.remove("thresholds");
            let dual = if table["dual"] == json!(true) { "exchange" } else { "none" };
            table.insert("dual".into(), json!(dual));
        }
        params
    }

    /// The batch, with a slice for each threshold.
    pub(crate) fn batch(&self, kind: Kind) -> Input {
        let input = GOLDEN.inputs[&self.input].input(kind);
        match self.params.get("thresholds") {
            None => input,
            Some(thresholds) => {
                let thresholds: Vec<f64> = serde_json::from_value(thresholds.clone()).unwrap();
                Input { slice_count: thresholds.len() as i64, thresholds, ..input }
            }
        }
    }

    /// The strategy at work, with the reference's parameters in its state.
    pub(crate) fn slot(&self, kind: Kind) -> Slot {
        let mut slot = slot(self.package().unwrap(), Role::Loss, self.strategy(), self.params(), of(kind));
        self.set_parameters(&mut slot, kind);
        slot
    }

    pub(crate) fn set_parameters(&self, slot: &mut Slot, kind: Kind) {
        for (name, Array { shape, data }) in &self.parameters {
            let tensor = Tensor::from_slice(data).reshape(shape.as_slice()).to_kind(kind).set_requires_grad(true);
            slot.state_mut().parameters.insert(name.clone(), StateParameter { tensor, learning_rate_multiplier: 1.0 });
        }
    }
}

impl Mined {
    pub(crate) fn strategy(&self) -> &str {
        strategy(&self.miner)
    }

    pub(crate) fn sets(&self) -> Vec<BTreeSet<Vec<i64>>> {
        sets(&self.indices)
    }
}

impl Case {
    pub(crate) fn input(&self, kind: Kind) -> Input {
        let rows = self.embeddings.len() as i64;
        let matrix = |list: &[Vec<f64>]| Tensor::from_slice(&list.concat()).reshape([rows, -1]).to_kind(kind);
        Input {
            embeddings: Some(matrix(&self.embeddings).set_requires_grad(true)),
            teacher: Some(matrix(&self.teacher)),
            labels: Some(Tensor::from_slice(&self.labels)),
            class_count: self.labels.iter().max().unwrap() + 1,
            slice_count: 1,
            ..Input::default()
        }
    }
}

fn of(kind: Kind) -> Setting {
    Setting { float: kind, device: Device::Cpu, ..setting() }
}

/// Index lists as sets of triplets, or of positive pairs and of negative pairs.
pub(crate) fn sets(indices: &[Vec<i64>]) -> Vec<BTreeSet<Vec<i64>>> {
    let set = |lists: &[Vec<i64>]| (0..lists[0].len()).map(|i| lists.iter().map(|list| list[i]).collect()).collect();
    match indices.len() {
        3 => vec![set(indices)],
        _ => vec![set(&indices[..2]), set(&indices[2..])],
    }
}

/// The largest difference, relative to the largest entry.
pub(crate) fn difference(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(f64::MIN_POSITIVE, |most, x| most.max(x.abs()));
    // `max` would hide a NaN.
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs() / scale);
    worst.fold(0.0, |most, x| if x <= most { most } else { x })
}

fn assert_close(found: &Tensor, expected: &[f64], tolerance: f64, what: &str, of: &str) {
    let worst = difference(&numbers(found), expected);
    assert!(worst <= tolerance, "{what}: {of} differs by {worst:e}");
}

const PRECISIONS: [(Kind, f64); 2] = [(Kind::Double, 1e-9), (Kind::Float, 1e-5)];

#[test]
fn losses_and_their_gradients_are_those_of_the_reference() {
    let mut compared = 0;
    for (kind, tolerance) in PRECISIONS {
        for golden in losses() {
            let what = golden.what(kind);
            let mut slot = golden.slot(kind);
            let input = golden.batch(kind);
            let embeddings = input.embeddings.as_ref().unwrap().shallow_clone();
            let loss = slot.loss(input, &epoch(0)).unwrap_or_else(|error| panic!("{what}: {error}"));
            loss.backward();
            let close =
                |found: &Tensor, expected: &[f64], of: &str| assert_close(found, expected, tolerance, &what, of);
            close(&loss, &[golden.value], "the value");
            close(&embeddings.grad(), &golden.gradient.concat(), "the gradient");
            assert_eq!(golden.parameters.len(), golden.parameter_gradients.len());
            for (name, gradient) in &golden.parameter_gradients {
                close(&slot.state().parameters[name].tensor.grad(), gradient, name);
            }
            assert_eq!(slot.state().parameters.len(), golden.parameters.len(), "{what}: parameters of its own");
            compared += 1;
        }
    }
    println!("{compared} losses compared");
    // 5 triplets, 2 contrastive losses and 21 others on 3 inputs, 2 multi-threshold losses on 2 inputs, in 2
    // precisions.
    assert_eq!(compared, ((5 + 2 + 21) * 3 + 2 * 2) * 2);
}

#[test]
fn transfers_and_balances_and_their_gradients_are_those_of_the_reference() {
    let mut compared = 0;
    for (kind, tolerance) in PRECISIONS {
        for golden in GOLDEN.losses.iter().filter(|golden| TRANSFERS.contains(&golden.strategy())) {
            let what = golden.what(kind);
            let input = GOLDEN.inputs[&golden.input].input(kind);
            let embeddings = input.embeddings.as_ref().unwrap().shallow_clone();
            let params = golden.params.clone();
            let mut transfer = slot("lossmith-transfers", Role::Transfer, golden.strategy(), params, of(kind));
            let pairs = transfer.transfer(input.shallow_clone(), &epoch(0));
            let pairs = pairs.unwrap_or_else(|error| panic!("{what}: {error}"));
            let loss = match &golden.balance {
                None => pairs.total().unwrap(),
                Some(Balance { mode, params }) => {
                    let mut balance = slot("lossmith-balances", Role::Balance, mode, json!(params), of(kind));
                    balance.balance(pairs, input, &epoch(0)).unwrap_or_else(|error| panic!("{what}: {error}")).0
                }
            };
            loss.backward();
            assert_close(&loss, &[golden.value], tolerance, &what, "the value");
            assert_close(&embeddings.grad(), &golden.gradient.concat(), tolerance, &what, "the gradient");
            compared += 1;
        }
    }
    println!("{compared} transfers compared");
    // 3 transfers, 2 of them also with 2 balances, on 3 inputs in 2 precisions.
    assert_eq!(compared, (3 + 2 * 2) * 3 * 2);
}

#[test]
fn miners_choose_the_tuples_of_the_reference() {
    let mut compared = 0;
    for (kind, _) in PRECISIONS {
        for golden in &GOLDEN.miners {
            let what = format!("{} {} on {} in {kind:?}", golden.miner, golden.params, golden.input);
            let mut slot = slot("lossmith-miners", Role::Miner, golden.strategy(), golden.params.clone(), of(kind));
            let mut input = GOLDEN.inputs[&golden.input].input(kind);
            input.embeddings = input.embeddings.map(|x| x.detach());
            let tuples = slot.mine(input, &epoch(0)).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(matches!(tuples, Tuples::Triplets(_)), golden.indices.len() == 3, "{what}");
            let indices: Vec<Vec<i64>> = tuples.parts().iter().map(|part| Vec::try_from(part).unwrap()).collect();
            let count = |lists: &[Vec<i64>]| lists.iter().map(Vec::len).sum::<usize>();
            assert_eq!(count(&indices), count(&golden.indices), "{what}: number of tuples");
            assert_eq!(sets(&indices), golden.sets(), "{what}");
            compared += 1;
        }
    }
    println!("{compared} miners compared");
    // 7 miners on 3 inputs in 2 precisions.
    assert_eq!(compared, 7 * 3 * 2);
}

#[test]
fn nothing_of_the_reference_is_skipped() {
    let ours = |name: &&str| LOSSES.iter().any(|(loss, _)| loss == name) || TRANSFERS.contains(name);
    let skipped = GOLDEN.losses.iter().map(Loss::strategy).filter(|name| !ours(name));
    assert_eq!(skipped.collect::<BTreeSet<_>>(), BTreeSet::new());
}

/// The losses that the standard plugins have.
pub(crate) fn losses() -> impl Iterator<Item = &'static Loss> {
    GOLDEN.losses.iter().filter(|golden| golden.package().is_some())
}

/// The miners.
pub(crate) fn miners() -> &'static [Mined] {
    &GOLDEN.miners
}
