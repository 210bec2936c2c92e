//! What the benches share.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use lossmith::bench::native::find;
use lossmith::bench::rise;
use lossmith_plugin::{Limits, Params, Plugin, Role, Runtime, Setting, Slot, Value};
use tch::{Device, Kind, Tensor};

pub(crate) fn load(runtime: &Runtime, name: &str) -> Arc<Plugin> {
    Plugin::load(runtime, &path(name), &Arc::new(Limits::default())).expect("`make plugins` has been run")
}

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/plugins").join(name).with_extension("wasm")
}

pub(crate) fn slot(
    runtime: &Arc<Runtime>,
    plugin: &Arc<Plugin>,
    role: Role,
    name: &str,
    params: &BTreeMap<String, Value>,
) -> Slot {
    slot_with(runtime, plugin, role, name, params, Limits::default())
}

/// As [`slot`], with these limits.
pub(crate) fn slot_with(
    runtime: &Arc<Runtime>,
    plugin: &Arc<Plugin>,
    role: Role,
    name: &str,
    params: &BTreeMap<String, Value>,
    limits: Limits,
) -> Slot {
    let strategy = plugin.strategy(role, name).expect("a standard strategy");
    let params = Params::new(strategy, params).expect("the parameters fit");
    let setting = Setting { device: Device::Cpu, float: Kind::Float, seed: 0, slot: 0, limits: Arc::new(limits) };
    Slot::new(Arc::clone(runtime), Arc::clone(plugin), role, name, params, setting).expect("a slot")
}

pub(crate) fn data(batch: i64, dimension: i64) -> (Tensor, Tensor) {
    tch::manual_seed(0);
    let embeddings = Tensor::randn([batch, dimension], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    (embeddings, Tensor::arange(batch, (Kind::Int64, Device::Cpu)).floor_divide_scalar(4))
}

/// [`rise`] of a step that does not fail. NaN where the system does not say.
pub(crate) fn peak(step: &mut dyn FnMut()) -> f64 {
    let rise = rise(|| {
        step();
        Ok::<_, Infallible>(())
    });
    rise.ok().flatten().unwrap_or(f64::NAN)
}

/// The native form of a standard loss.
pub(crate) fn native(name: &str) -> impl Fn(&Tensor, &Tensor) -> Tensor {
    let loss = find(name).expect("a native loss");
    move |embeddings, labels| loss(embeddings, labels).expect("the native loss is computed")
}
