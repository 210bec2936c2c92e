//! The engine, the loaded guests and a batch, shared by all tests of this binary.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use lossmith_plugin::{Input, Limits, Params, Plugin, Progress, Role, Runtime, Setting, Slot, State, Value};
use serde_json::Value as Json;
use tch::{Device, Kind, Tensor};

use crate::support;

pub(crate) static RUNTIME: LazyLock<Arc<Runtime>> = LazyLock::new(|| Arc::new(Runtime::new().unwrap()));

/// A guest package, loaded once.
pub(crate) fn plugin(package: &str) -> Arc<Plugin> {
    static LOADED: LazyLock<Mutex<BTreeMap<String, Arc<Plugin>>>> = LazyLock::new(Mutex::default);
    let mut loaded = LOADED.lock().unwrap();
    let load = || Plugin::load(&RUNTIME, &support::guest(package), &Arc::new(Limits::default())).unwrap();
    Arc::clone(loaded.entry(package.to_owned()).or_insert_with(load))
}

/// Float64 on the CPU with the default limits.
pub(crate) fn setting() -> Setting {
    Setting { device: Device::Cpu, float: Kind::Double, seed: 1, slot: 0, limits: Arc::new(Limits::default()) }
}

/// A strategy of a guest at work; `params` is a JSON object.
pub(crate) fn slot(package: &str, role: Role, strategy: &str, params: Json, setting: Setting) -> Slot {
    let plugin = plugin(package);
    let given: BTreeMap<String, Value> = serde_json::from_value(params).unwrap();
    let params = Params::new(plugin.strategy(role, strategy).unwrap(), &given).unwrap();
    Slot::new(Arc::clone(&RUNTIME), plugin, role, strategy, params, setting).unwrap()
}

/// B images of `dimension` numbers between -1 and 1, in classes of three.
pub(crate) fn batch(size: i64, dimension: i64, kind: Kind) -> Input {
    let count = size * dimension;
    // 37 steps through the count in an order without pattern; the middle of the range is not met.
    let numbers: Vec<f64> = (0..count).map(|i| 1.8 * ((i * 37 + 11) % count) as f64 / count as f64 - 0.895).collect();
    let embeddings = Tensor::from_slice(&numbers).reshape([size, dimension]).to_kind(kind);
    Input {
        embeddings: Some(embeddings.set_requires_grad(true)),
        labels: Some(Tensor::arange(size, (Kind::Int64, Device::Cpu)).floor_divide_scalar(3)),
        class_count: (size + 2) / 3,
        slice_count: 1,
        ..Input::default()
    }
}

/// The start of an epoch of four steps.
pub(crate) fn epoch(epoch: u64) -> Progress {
    Progress { epoch, epochs: 3, step: 4 * epoch, steps_per_epoch: 4, ..Progress::default() }
}

/// All elements as numbers.
pub(crate) fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).reshape([-1])).unwrap()
}

/// The bits of all elements.
pub(crate) fn bits(tensor: &Tensor) -> Vec<u64> {
    numbers(tensor).into_iter().map(f64::to_bits).collect()
}

/// Names and bits of all that a slot keeps.
pub(crate) fn kept(state: &State) -> BTreeMap<String, Vec<u64>> {
    let parameters =
        state.parameters.iter().map(|(name, parameter)| (format!("parameter {name}"), bits(&parameter.tensor)));
    let buffers = state.buffers.iter().map(|(name, buffer)| (format!("buffer {name}"), bits(buffer)));
    parameters.chain(buffers).collect()
}
