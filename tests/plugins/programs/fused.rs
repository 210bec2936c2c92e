//! Programs whose operations run as one: nearly what the operations give one by one, and the same bits from the first
//! call on.

use std::collections::BTreeMap;
use std::sync::Arc;

use lossmith_plugin::{Limits, Outline, Role, Setting, Slot, Way};
use serde_json::json;
use tch::Kind;

use super::standard::{PACKAGES, call, input_of, params, progress};
use super::{Seen, seen, with};
use crate::fixture::{plugin, slot};
use crate::transfers::names;

/// The setting of what runs as one.
fn fused(float: Kind) -> Setting {
    Setting { limits: Arc::new(Limits::default()), ..with(8, float) }
}

/// A strategy with a transfer whose pair losses it weighs, if it is a balance.
pub(super) struct Case {
    pub(super) package: &'static str,
    pub(super) role: Role,
    pub(super) strategy: String,
    transfer: Option<String>,
}

impl Case {
    pub(super) fn slot(&self, setting: Setting) -> Slot {
        slot(self.package, self.role, &self.strategy, params(self.role, &self.strategy), setting)
    }

    pub(super) fn call(&self, slot: &mut Slot, number: i64, float: Kind) -> Seen {
        let transfer = self.transfer.as_deref();
        let (input, progress) = (input_of(transfer.unwrap_or(&self.strategy), number, float), progress(number));
        seen(slot, &input, &progress, |slot, input, progress| call(slot, input, progress, transfer))
    }

    pub(super) fn name(&self) -> String {
        format!("{} {} {:?}", self.role, self.strategy, self.transfer)
    }
}

/// Every standard strategy that computes something of tensors.
pub(super) fn cases() -> Vec<Case> {
    let transfers = names("lossmith-transfers", Role::Transfer);
    let mut cases = Vec::new();
    for package in PACKAGES {
        for strategy in &plugin(package).strategies {
            let (role, strategy) = (strategy.role, strategy.name.clone());
            match role {
                Role::Miner | Role::Schedule => {}
                Role::Balance => cases.extend(transfers.iter().map(|transfer| Case {
                    package,
                    role,
                    strategy: strategy.clone(),
                    transfer: Some(transfer.clone()),
                })),
                Role::Loss | Role::Transfer | Role::Fusion => {
                    cases.push(Case { package, role, strategy, transfer: None })
                }
            }
        }
    }
    cases
}

/// Whether numbers, by their bits, differ by rounding only: in units of the largest of them.
fn near(found: &[u64], expected: &[u64]) -> bool {
    let [found, expected] =
        [found, expected].map(|bits| bits.iter().map(|bits| f64::from_bits(*bits)).collect::<Vec<_>>());
    let largest = expected.iter().fold(1.0_f64, |largest, x| largest.max(x.abs()));
    found.len() == expected.len()
        && found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits() || (a - b).abs() <= 1e-10 * largest)
}

fn all_near(found: &[(String, Vec<u64>)], expected: &[(String, Vec<u64>)]) -> bool {
    found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| a.0 == b.0 && near(&a.1, &b.1))
}

#[track_caller]
pub(super) fn assert_near(found: &Seen, expected: &Seen, what: &str) {
    match (&found.result, &expected.result) {
        (Ok(found), Ok(expected)) => {
            assert_eq!(found.len(), expected.len(), "{what}");
            assert!(found.iter().zip(expected).all(|(a, b)| near(a, b)), "{what}: {found:?} {expected:?}");
        }
        (found, expected) => assert_eq!(found, expected, "{what}"),
    }
    assert_eq!(found.gradients.len(), expected.gradients.len(), "{what}");
    assert!(found.gradients.iter().zip(&expected.gradients).all(|(a, b)| near(a, b)), "{what}: gradients");
    assert!(all_near(&found.metrics, &expected.metrics), "{what}: metrics");
    assert!(all_near(&found.state, &expected.state), "{what}: state");
    assert_eq!(found.lines, expected.lines, "{what}");
}

#[test]
fn all_give_nearly_what_single_operations_give() {
    let mut outlines = BTreeMap::new();
    for case in cases() {
        let [mut one, mut single] = [fused(Kind::Double), with(0, Kind::Double)].map(|setting| case.slot(setting));
        for number in 0..5 {
            let (found, expected) =
                (case.call(&mut one, number, Kind::Double), case.call(&mut single, number, Kind::Double));
            let what = format!("{}, call {number}", case.name());
            assert_near(&found, &expected, &what);
            assert_eq!(found.cost, expected.cost, "{what}");
        }
        if let (Way::Replayed, Some(Outline { operations, fused, .. })) = (one.way(), one.outline()) {
            outlines.insert(case.name(), (operations, fused));
        }
    }
    let whole = outlines.values().filter(|(operations, fused)| operations == fused).count();
    println!("{whole} of {} run as one: {outlines:#?}", outlines.len());
    assert!(whole > 0);
}

#[test]
fn a_slot_that_begins_in_between_gives_the_same_bits() {
    for case in cases() {
        let mut whole = case.slot(fused(Kind::Float));
        let mut state = None;
        for number in 0..5 {
            let mut begun = case.slot(fused(Kind::Float));
            if let Some(state) = state {
                *begun.state_mut() = state;
            }
            let what = format!("{}, call {number}", case.name());
            assert_eq!(
                case.call(&mut whole, number, Kind::Float),
                case.call(&mut begun, number, Kind::Float),
                "{what}"
            );
            state = Some(whole.state().copy().unwrap());
        }
    }
}

/// So many that several threads share the rows, and the blocks of rows are several.
const IMAGES: i64 = 600;

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let options = (Kind::Float, tch::Device::Cpu);
    let threads = tch::get_num_threads();
    for strategy in ["contrastive", "multi-similarity", "sup-con", "circle", "nt-xent", "nca"] {
        let results: Vec<Seen> = [1, 2, 3]
            .map(|threads| {
                tch::set_num_threads(threads);
                let mut slot = slot("lossmith-losses", Role::Loss, strategy, json!({}), fused(Kind::Float));
                let embeddings = (tch::Tensor::arange(IMAGES * 24, options) * 0.7).sin().reshape([IMAGES, 24]);
                let labels = tch::Tensor::arange(IMAGES, (Kind::Int64, tch::Device::Cpu)).remainder(50);
                let input = lossmith_plugin::Input {
                    embeddings: Some(embeddings.set_requires_grad(true)),
                    labels: Some(labels),
                    class_count: 50,
                    slice_count: 1,
                    ..lossmith_plugin::Input::default()
                };
                seen(&mut slot, &input, &progress(0), |slot, input, progress| {
                    slot.loss(input, progress).map(super::Made::Value)
                })
            })
            .into();
        assert!(results[0].result.is_ok(), "{strategy}");
        assert_eq!(results[0], results[1], "{strategy}");
        assert_eq!(results[0], results[2], "{strategy}");
    }
    tch::set_num_threads(threads);
}
