//! A loss of a component, as another program than the trainer calls it.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use lossmith_plugin::{
    Cause, Input, Limits, Params, Plugin, PluginError, Progress, ResultFault, Role, Runtime, Setting, Slot, Value,
};
use tch::{Device, Kind, Tensor};

static RUNTIME: LazyLock<Arc<Runtime>> = LazyLock::new(|| Arc::new(Runtime::new().unwrap()));
static PLUGIN: LazyLock<Arc<Plugin>> = LazyLock::new(|| {
    Plugin::load(&RUNTIME, &support::module("lossmith-test-roles"), &Arc::new(Limits::default())).unwrap()
});

/// The mean square of the embeddings, which is not finite after the first step.
fn mean_square(limits: Limits) -> Slot {
    let strategy = PLUGIN.strategy(Role::Loss, "failing").unwrap();
    let params = Params::new(strategy, &BTreeMap::from([("after".to_owned(), Value::Integer(1))])).unwrap();
    let setting = Setting { device: Device::Cpu, float: Kind::Double, seed: 0, slot: 0, limits: Arc::new(limits) };
    Slot::new(Arc::clone(&RUNTIME), Arc::clone(&PLUGIN), Role::Loss, "failing", params, setting).unwrap()
}

fn call(slot: &mut Slot, embeddings: &Tensor, step: u64) -> Result<Tensor, PluginError> {
    let input = Input {
        embeddings: Some(embeddings.shallow_clone()),
        labels: Some(Tensor::from_slice(&[0_i64, 1])),
        class_count: 2,
        slice_count: 1,
        ..Input::default()
    };
    slot.loss(input, &Progress { step, ..Progress::default() })
}

fn embeddings() -> Tensor {
    Tensor::from_slice(&[1.0, -2.0, 3.0, -4.0]).reshape([2, 2]).set_requires_grad(true)
}

#[test]
fn a_loss_has_a_value_and_a_gradient() {
    let embeddings = embeddings();
    let value = call(&mut mean_square(Limits::default()), &embeddings, 0).unwrap();
    assert_eq!(value.double_value(&[]), 7.5);
    value.backward();
    assert_eq!(Vec::<f64>::try_from(embeddings.grad().reshape([-1])).unwrap(), [0.5, -1.0, 1.5, -2.0]);
}

#[test]
fn a_fault_ends_a_call_and_not_the_slot() {
    let (mut slot, embeddings) = (mean_square(Limits::default()), embeddings());
    let error = call(&mut slot, &embeddings, 1).unwrap_err();
    assert!(matches!(*error.cause, Cause::Result(ResultFault::NotFinite(_))), "{error}");
    assert!(call(&mut slot, &embeddings, 0).is_ok());
}

#[test]
fn a_call_is_ended_by_its_limits() {
    let error = call(&mut mean_square(Limits { fuel: 100, ..Limits::default() }), &embeddings(), 0).unwrap_err();
    assert!(matches!(*error.cause, Cause::Limit { limit: "fuel", value: 100, .. }), "{error}");
    assert!(error.help().unwrap().contains("`fuel`"));
}
