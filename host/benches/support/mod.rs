//! What the benches share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use lossmith::plugin::{Limits, Params, Plugin, Role, Runtime, Setting, Slot, Value};
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
    let strategy = plugin.strategy(role, name).expect("a standard strategy");
    let params = Params::new(strategy, params).expect("the parameters fit");
    let limits = Arc::new(Limits::default());
    let setting = Setting { device: Device::Cpu, float: Kind::Float, seed: 0, slot: 0, limits };
    Slot::new(Arc::clone(runtime), Arc::clone(plugin), role, name, params, setting).expect("a slot")
}

pub(crate) fn data(batch: i64, dimension: i64) -> (Tensor, Tensor) {
    tch::manual_seed(0);
    let embeddings = Tensor::randn([batch, dimension], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    (embeddings, Tensor::arange(batch, (Kind::Int64, Device::Cpu)).floor_divide_scalar(4))
}

/// How much the resident memory of the process rises at most while `run` runs, in megabytes: the system's high-water mark, set
/// back before. NaN where the system has no such mark.
pub(crate) fn peak(run: &mut dyn FnMut()) -> f64 {
    let read = |name: &str| -> Option<f64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()
    };
    run();
    if std::fs::write("/proc/self/clear_refs", "5").is_err() {
        return f64::NAN;
    }
    let before = read("VmRSS");
    run();
    let peak = before.zip(read("VmHWM")).map(|(before, peak)| (peak - before) / 1024.0);
    peak.unwrap_or(f64::NAN)
}
