//! The cost of one bare operation: `neg` of one element, without a gradient.

use std::collections::BTreeMap;
use std::sync::Arc;

use lossmith_plugin::{Limits, Role, Runtime, Value};
use tch::{Device, Kind, Tensor};

use super::support::{load, slot_with};
use super::{component, in_turns};

/// Operations of the two calls whose difference is looked at.
const COUNTS: [i64; 2] = [100, 1100];

pub(super) fn run(runtime: &Arc<Runtime>) {
    let plugin = load(runtime, "test-operations");
    let embeddings = Tensor::ones([1, 1], (Kind::Float, Device::Cpu));
    let labels = Tensor::from_slice(&[0_i64]);
    let of_each = |longer: f64, shorter: f64| (longer - shorter) / (COUNTS[1] - COUNTS[0]) as f64 * 1e9;
    println!("\none operation, `neg` of one element: ns");
    for (what, programs) in [("by the plugin", 0), ("in a program", 8)] {
        let [mut shorter, mut longer] = COUNTS.map(|count| {
            let params = [("what", Value::Text("long".into())), ("count", Value::Integer(count))];
            let params = BTreeMap::from(params.map(|(name, value)| (name.to_owned(), value)));
            // One by one: as one, a negative of a negative costs nothing.
            let limits = Limits { programs, fuse: false, ..Limits::default() };
            slot_with(runtime, &plugin, Role::Loss, "changes", &params, limits)
        });
        let [longer, shorter, _] =
            in_turns(|| component(&mut longer, &embeddings, &labels), || component(&mut shorter, &embeddings, &labels));
        println!("{what:<18} {:>8.0}", of_each(longer, shorter));
    }
    let native = |count: i64| (0..count).fold(embeddings.shallow_clone(), |x, _| x.f_neg().expect("a negative"));
    let [longer, shorter, _] = in_turns(|| native(COUNTS[1]), || native(COUNTS[0]));
    println!("{:<18} {:>8.0}\n", "by tch alone", of_each(longer, shorter));
}
