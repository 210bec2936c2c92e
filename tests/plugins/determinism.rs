//! The same call gives the same bits: again, in a new slot, in a new engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use lossmith_plugin::{Input, Limits, Params, Plugin, Role, Runtime, Setting, Slot, Value};
use tch::Kind;

use crate::fixture::{batch, bits, epoch, setting, slot};
use crate::golden::losses;
use crate::support;
use crate::transfers::{case_for, input, names, of};

/// The bits of value and gradient.
fn outcome(slot: &mut Slot, input: &Input) -> (Vec<u64>, Vec<u64>) {
    let mut input = input.shallow_clone();
    let leaf = input.embeddings.unwrap().detach().set_requires_grad(true);
    input.embeddings = Some(leaf.shallow_clone());
    let loss = slot.loss(input, &epoch(2)).unwrap();
    loss.backward();
    (bits(&loss), bits(&leaf.grad()))
}

#[test]
fn a_loss_gives_the_same_bits_again_and_in_a_new_slot() {
    for golden in losses() {
        let input = golden.batch(Kind::Float);
        let mut slot = golden.slot(Kind::Float);
        let first = outcome(&mut slot, &input);
        assert_eq!(outcome(&mut slot, &input), first, "{}: again", golden.strategy());
        assert_eq!(outcome(&mut golden.slot(Kind::Float), &input), first, "{}: in a new slot", golden.strategy());
    }
}

#[test]
fn a_loss_gives_the_same_bits_in_a_new_engine() {
    let limits = Arc::new(Limits::default());
    let runtime = Arc::new(Runtime::new().unwrap());
    let mut loaded: BTreeMap<&str, Arc<Plugin>> = BTreeMap::new();
    for golden in losses() {
        let package = golden.package().unwrap();
        let load = || Plugin::load(&runtime, &support::guest(package), &limits).unwrap();
        let plugin = Arc::clone(loaded.entry(package).or_insert_with(load));
        let given: BTreeMap<String, Value> = serde_json::from_value(golden.params()).unwrap();
        let params = Params::new(plugin.strategy(Role::Loss, golden.strategy()).unwrap(), &given).unwrap();
        let setting = Setting { float: Kind::Float, ..setting() };
        let mut there =
            Slot::new(Arc::clone(&runtime), plugin, Role::Loss, golden.strategy(), params, setting).unwrap();
        golden.set_parameters(&mut there, Kind::Float);
        let input = golden.batch(Kind::Float);
        let here = outcome(&mut golden.slot(Kind::Float), &input);
        assert_eq!(outcome(&mut there, &input), here, "{}", golden.strategy());
    }
    assert_eq!(loaded.len(), 4);
}

#[test]
fn a_transfer_and_a_balance_give_the_same_bits_again_and_in_new_slots() {
    for transfer in names("lossmith-transfers", Role::Transfer) {
        for balance in names("lossmith-balances", Role::Balance) {
            let input = input(&case_for(&transfer, "lcg12x6"), Kind::Float);
            let slots = || {
                let new = |package, role, name: &str| slot(package, role, name, serde_json::json!({}), of(Kind::Float));
                let transfer = new("lossmith-transfers", Role::Transfer, &transfer);
                (transfer, new("lossmith-balances", Role::Balance, &balance))
            };
            let outcome = |(transfer, balance): &mut (Slot, Slot)| {
                let mut input = input.shallow_clone();
                let leaf = input.embeddings.unwrap().detach().set_requires_grad(true);
                input.embeddings = Some(leaf.shallow_clone());
                let pairs = transfer.transfer(input.shallow_clone(), &epoch(2)).unwrap();
                // Some do not know this transfer.
                let loss = balance.balance(pairs, input, &epoch(2)).ok()?.0;
                loss.backward();
                Some((bits(&loss), bits(&leaf.grad())))
            };
            let mut once = slots();
            let first = outcome(&mut once);
            assert_eq!(outcome(&mut slots()), first, "{transfer}, {balance}: in new slots");
            // Only this one remembers.
            if balance != "gradient-share" {
                assert_eq!(outcome(&mut once), first, "{transfer}, {balance}: again");
            }
        }
    }
}

#[test]
fn noise_is_the_same_for_the_same_step() {
    let input = batch(6, 4, Kind::Double);
    let noise = || slot("lossmith-test-roles", Role::Loss, "noise", serde_json::json!({}), setting());
    let mut one = noise();
    let first = outcome(&mut one, &input);
    assert_eq!(outcome(&mut one, &input), first);
    assert_eq!(outcome(&mut noise(), &input), first);
}
