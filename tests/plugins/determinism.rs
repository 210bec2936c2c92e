//! The same call gives the same bits: again, in a new slot, in a new engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use lossmith::plugin::{Input, Limits, Params, Plugin, Role, Runtime, Setting, Slot, Value};
use tch::Kind;

use crate::fixture::{batch, bits, epoch, setting, slot};
use crate::golden::{GOLDEN, losses};
use crate::support;

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
        let input = GOLDEN.inputs[&golden.input].input(Kind::Float);
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
        let given: BTreeMap<String, Value> = serde_json::from_value(golden.params.clone()).unwrap();
        let params = Params::new(plugin.strategy(Role::Loss, golden.strategy()).unwrap(), &given).unwrap();
        let setting = Setting { float: Kind::Float, ..setting() };
        let mut there =
            Slot::new(Arc::clone(&runtime), plugin, Role::Loss, golden.strategy(), params, setting).unwrap();
        golden.set_parameters(&mut there, Kind::Float);
        let input = GOLDEN.inputs[&golden.input].input(Kind::Float);
        let here = outcome(&mut golden.slot(Kind::Float), &input);
        assert_eq!(outcome(&mut there, &input), here, "{}", golden.strategy());
    }
    assert_eq!(loaded.len(), 2);
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
