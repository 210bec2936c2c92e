//! What the host waits for on a device in a call with its backward pass: counted on the CPU, where the same code runs
//! as on a device. `docs/using/gpu.md` has the list of those that wait, with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use lossmith_plugin::objective::gradient_of;
use lossmith_plugin::{Input, Limits, PluginError, Role, Setting, Slot, Tuples, Way};
use lossmith_torch_shim::count_waits;
use serde_json::json;
use tch::{Device, Kind, Tensor};

use crate::fixture::{batch, bits, epoch, slot};
use crate::transfers::{names, of};

const WIDTH: &str = "the most positives that an anchor has decide a shape, or how often a loop runs";
const CLASSES: &str = "one pair of each class: how many classes the batch has decides a shape";
const TUPLES: &str = "where a mask is true, and whether the positions are in the batch";
const BINS: &str = "as other miners; and the ends of the bins, for positives and negatives";
const THRESHOLDS: &str = "a schedule gives numbers of the host, which it keeps in a buffer";

/// Strategies that wait, with what they are given, how often in a call, and why. All others wait for nothing.
const WAITING: [(&str, u64, &str); 22] = [
    ("loss triplet", 1, WIDTH),
    ("loss triplet with pairs", 1, "how many triplets the pairs of one anchor make decides a shape"),
    ("loss n-pairs", 2, CLASSES),
    ("loss n-pairs with triplets", 1, CLASSES),
    ("loss n-pairs with pairs", 1, CLASSES),
    ("loss angular", 1, WIDTH),
    ("loss angular with triplets", 1, WIDTH),
    ("loss angular with pairs", 1, WIDTH),
    ("loss smooth-ap", 1, WIDTH),
    ("loss smooth-ap with triplets", 1, WIDTH),
    ("loss smooth-ap with pairs", 1, WIDTH),
    ("miner batch-hard", 2, TUPLES),
    ("miner batch-easy-hard", 2, TUPLES),
    ("miner triplet", 4, TUPLES),
    ("miner multi-similarity", 3, TUPLES),
    ("miner pair-margin", 3, TUPLES),
    ("miner distance-weighted", 2, TUPLES),
    ("miner angular", 4, TUPLES),
    ("miner hdc", 15, BINS),
    ("miner uniform-histogram", 9, BINS),
    ("schedule stratified-random", 1, THRESHOLDS),
    ("schedule adaptive", 1, THRESHOLDS),
];

/// The packages of the standard plugins, with the roles in each.
const PACKAGES: [(&str, &[Role]); 9] = [
    ("lossmith-losses", &[Role::Loss]),
    ("lossmith-proxies", &[Role::Loss]),
    ("lossmith-rankings", &[Role::Loss]),
    ("lossmith-regularizers", &[Role::Loss]),
    ("lossmith-miners", &[Role::Miner]),
    ("lossmith-transfers", &[Role::Loss, Role::Transfer]),
    ("lossmith-balances", &[Role::Balance]),
    ("lossmith-schedules", &[Role::Schedule]),
    ("lossmith-fusions", &[Role::Fusion, Role::Loss]),
];

/// A batch of 24 images in classes of three, with a teacher of as many dimensions.
fn plain() -> Input {
    let input = batch(24, 8, Kind::Float);
    let teacher = input.embeddings.as_ref().unwrap().detach() * 3.0;
    Input { teacher: Some(teacher.sin()), ..input }
}

fn with_thresholds() -> Input {
    Input { slice_count: 2, thresholds: vec![0.3, 0.7], ..plain() }
}

fn with_feature_maps() -> Input {
    let map = || Tensor::arange(24 * 3 * 4, (Kind::Float, Device::Cpu)).sin().reshape([24, 3, 2, 2]);
    Input { feature_map: Some(map().set_requires_grad(true)), teacher_feature_map: Some(map() * 2.0), ..plain() }
}

fn index(list: impl Iterator<Item = i64>) -> Tensor {
    Tensor::from_slice(&list.collect::<Vec<_>>())
}

/// Each image with the next one of its class, and with one of the next class.
fn triplets() -> Input {
    let next = |i: i64| i / 3 * 3 + (i + 1) % 3;
    let parts = [index(0..24), index((0..24).map(next)), index((0..24).map(|i| (i + 3) % 24))];
    Input { tuples: Some(Tuples::Triplets(parts)), ..plain() }
}

fn pairs() -> Input {
    let next = |i: i64| i / 3 * 3 + (i + 1) % 3;
    let positive = [index(0..24), index((0..24).map(next))];
    let [a, p] = positive;
    let parts = [a, p, index(0..24), index((0..24).map(|i| (i + 3) % 24))];
    Input { tuples: Some(Tuples::Pairs(parts)), ..plain() }
}

/// What a strategy computes of a batch, with the gradient at the embeddings.
fn call(slot: &mut Slot, input: Input) -> Result<Vec<Tensor>, PluginError> {
    let embeddings = input.embeddings.as_ref().unwrap().shallow_clone();
    let progress = epoch(1);
    let value = match slot.role() {
        Role::Loss => slot.loss(input, &progress)?,
        Role::Transfer => slot.transfer(input, &progress)?.total().unwrap(),
        Role::Balance => {
            // Of a divergence for the one that weighs its rows.
            let name = if slot.strategy() == "row-wise" { "pkt" } else { "relaxed-contrastive" };
            let mut transfer = new(("lossmith-transfers", Role::Transfer, name), Limits::default());
            let pairs = transfer.transfer(input.shallow_clone(), &progress)?;
            slot.balance(pairs, input, &progress)?.0
        }
        Role::Fusion => slot.fuse(Input { labels: None, ..input }, &progress)?.square().sum(Kind::Float),
        Role::Miner => {
            let input = Input { embeddings: Some(embeddings.detach()), ..input };
            return Ok(slot.mine(input, &progress)?.parts().iter().map(Tensor::shallow_clone).collect());
        }
        Role::Schedule => return Ok(vec![Tensor::from_slice(&slot.thresholds(input, &progress)?)]),
    };
    value.backward();
    Ok(vec![value, gradient_of(&embeddings).unwrap()])
}

/// A strategy at work, with its defaults where it has them.
fn new((package, role, name): (&str, Role, &str), limits: Limits) -> Slot {
    let params = match name {
        "weighted" => json!({ "weights": [1.0, 2.0] }),
        "list" => json!({ "thresholds": [0.3, 0.7] }),
        _ => json!({}),
    };
    slot(package, role, name, params, Setting { limits: Arc::new(limits), ..of(Kind::Float) })
}

/// The ways in which calls are made: by the plugin, by a program as on a GPU, and by one that runs operations as one,
/// as the CPU does.
fn ways() -> [Limits; 3] {
    [(0, false), (8, false), (8, true)].map(|(programs, fuse)| Limits { programs, fuse, ..Limits::default() })
}

/// The waits of a third call, in which what the strategy keeps is there already, and a program where it can be one;
/// none where the strategy refuses such a batch. What it computes is the same bits as where nothing is counted.
fn waits(of: (&str, Role, &str), input: fn() -> Input, limits: &Limits) -> Option<(BTreeMap<String, u64>, Way)> {
    let (mut watched, mut free) = (new(of, limits.clone()), new(of, limits.clone()));
    call(&mut watched, input()).ok()?;
    call(&mut free, input()).unwrap();
    call(&mut watched, input()).unwrap();
    call(&mut free, input()).unwrap();
    let inputs = (input(), input());
    let (computed, counts) = count_waits(Device::Cpu, || call(&mut watched, inputs.0).unwrap()).unwrap();
    let expected = call(&mut free, inputs.1).unwrap();
    let of_all = |tensors: &[Tensor]| tensors.iter().map(bits).collect::<Vec<_>>();
    assert_eq!(of_all(&computed), of_all(&expected), "{of:?}");
    assert_eq!(watched.way(), free.way(), "{of:?}");
    Some((counts, watched.way()))
}

/// The waits of all standard strategies that have any, and how many calls were made by programs.
fn all_waits(limits: &Limits) -> (BTreeMap<String, u64>, usize) {
    let (mut found, mut never, mut replayed) = (BTreeMap::new(), BTreeSet::new(), 0);
    for (package, roles) in PACKAGES {
        for &role in roles {
            for name in names(package, role) {
                let mut computed = false;
                type Make = fn() -> Input;
                let kinds: [(&str, Make); 5] = [
                    ("", plain),
                    ("", with_thresholds),
                    ("", with_feature_maps),
                    (" with triplets", triplets),
                    (" with pairs", pairs),
                ];
                for (kind, input) in kinds {
                    // Tuples are for losses, and never for a program; a batch of another kind only where the plain one
                    // is refused.
                    let tuples = role == Role::Loss && limits.programs == 0;
                    if kind.is_empty() && computed || !kind.is_empty() && !tuples {
                        continue;
                    }
                    let Some((counts, way)) = waits((package, role, &name), input, limits) else { continue };
                    computed = true;
                    replayed += usize::from(way == Way::Replayed);
                    println!("{role} {name}{kind}: {way:?} {counts:?}");
                    let count: u64 = counts.values().sum();
                    if count > 0 {
                        found.insert(format!("{role} {name}{kind}"), count);
                    }
                }
                if !computed {
                    never.insert(format!("{role} {name}"));
                }
            }
        }
    }
    assert_eq!(never, BTreeSet::new(), "refused every batch");
    (found, replayed)
}

#[test]
fn no_standard_strategy_waits_for_a_device_but_those_with_a_reason() {
    let expected: BTreeMap<_, _> = WAITING.map(|(what, count, _)| (what.to_owned(), count)).into_iter().collect();
    for limits in ways() {
        let (found, replayed) = all_waits(&limits);
        let mut expected = expected.clone();
        expected.retain(|what, _| limits.programs == 0 || !what.contains(" with "));
        assert_eq!(found, expected, "with {} programs, as one: {}", limits.programs, limits.fuse);
        assert_eq!(replayed > 0, limits.programs > 0, "{replayed} calls by programs");
    }
}

#[test]
fn the_guide_lists_the_strategies_that_wait() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/using/gpu.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, table) = page.split_once("| strategy | waits | why |\n|---|---|---|\n").unwrap();
    let rows: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
    assert_eq!(rows, WAITING.map(|(what, count, why)| format!("| {what} | {count} | {why} |")));
}

/// A memory keeps the embeddings of batches that are over.
#[test]
fn a_memory_waits_for_nothing() {
    let mut slot = slot("lossmith-losses", Role::Loss, "contrastive", json!({ "memory-size": 40 }), of(Kind::Float));
    let inputs = [plain(), plain(), plain()];
    let counts = count_waits(Device::Cpu, || {
        for input in inputs {
            call(&mut slot, input).unwrap();
        }
    });
    assert_eq!(counts.unwrap().1, BTreeMap::new());
}

/// On a device no error tells of numbers outside of the range, as looking would wait. Other misuses are errors there,
/// too.
#[test]
fn counting_without_waiting_refuses_what_can_be_told_without_the_numbers() {
    let cases = [("", true), ("/negative", true), ("/floats", false), ("/matrix", false), ("/size", false)];
    for (case, goes_on) in cases {
        let params = json!({ "case": format!("bincount{case}") });
        let mut slot = slot("lossmith-test-operations", Role::Loss, "misuse", params, of(Kind::Float));
        assert!(slot.loss(plain(), &epoch(0)).is_err(), "{case}");
        let input = plain();
        let (computed, waits) = count_waits(Device::Cpu, || slot.loss(input, &epoch(0))).unwrap();
        assert_eq!((computed.is_ok(), waits), (goes_on, BTreeMap::new()), "{case}");
    }
}
