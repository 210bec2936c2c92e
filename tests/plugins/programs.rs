//! Recorded calls: a strategy gives the same bits whether its plugin makes each call or a program does; where
//! operations run as one, always the same other ones.

mod blocks;
mod changes;
mod fused;
mod standard;

use std::sync::Arc;

use lossmith_plugin::{Cost, Input, Limits, Metric, PairLosses, PluginError, Progress, Setting, Slot, Tuples, Way};
use tch::{Kind, Tensor};

use crate::fixture::{bits, kept};

/// The limits with so many programs, whose operations run one by one.
fn programs(count: u32) -> Arc<Limits> {
    Arc::new(Limits { programs: count, fuse: false, ..Limits::default() })
}

/// The setting with so many programs.
fn with(count: u32, float: Kind) -> Setting {
    Setting { limits: programs(count), float, ..crate::fixture::setting() }
}

/// All that can be seen of a call, by its bits.
#[derive(Debug, PartialEq)]
struct Seen {
    result: Result<Vec<Vec<u64>>, String>,
    gradients: Vec<Vec<u64>>,
    metrics: Vec<(String, Vec<u64>)>,
    lines: Vec<String>,
    state: Vec<(String, Vec<u64>)>,
    /// All of the cost but fuel, which an instance that was used before takes less of.
    cost: [u64; 5],
}

/// What a strategy returns.
enum Made {
    Value(Tensor),
    Pairs(PairLosses),
    Tuples(Tuples),
    Numbers(Vec<f64>),
}

/// Makes a call and its backward pass, and a step of gradient descent of the parameters.
fn seen(
    slot: &mut Slot,
    input: &Input,
    progress: &Progress,
    call: impl FnOnce(&mut Slot, Input, &Progress) -> Result<Made, PluginError>,
) -> Seen {
    let leaf = |x: &Option<Tensor>| x.as_ref().map(|x| x.detach().set_requires_grad(x.requires_grad()));
    let leaves = [leaf(&input.embeddings), leaf(&input.feature_map)];
    let mut own = input.shallow_clone();
    let [embeddings, map] = leaves.each_ref().map(|leaf| leaf.as_ref().map(Tensor::shallow_clone));
    (own.embeddings, own.feature_map) = (embeddings, map);
    let made = call(slot, own, progress);
    let result = made.map_err(|error| error.to_string()).map(|made| {
        let value = match &made {
            Made::Value(value) => Some(value.sum(Kind::Double)),
            Made::Pairs(pairs) => Some(pairs.total().unwrap().sum(Kind::Double)),
            Made::Tuples(_) | Made::Numbers(_) => None,
        };
        if let Some(value) = value.filter(Tensor::requires_grad) {
            value.backward();
        }
        match made {
            Made::Value(value) => vec![bits(&value)],
            Made::Pairs(pairs) => std::iter::once(&pairs.values).chain(pairs.parts.values()).map(bits).collect(),
            Made::Tuples(tuples) => tuples.parts().iter().map(bits).collect(),
            Made::Numbers(numbers) => vec![numbers.into_iter().map(f64::to_bits).collect()],
        }
    });
    let gradient = |x: &Tensor| if x.grad().defined() { bits(&x.grad()) } else { Vec::new() };
    let mut gradients: Vec<_> = leaves.iter().flatten().map(gradient).collect();
    for parameter in slot.state_mut().parameters.values_mut() {
        let slope = parameter.tensor.grad();
        gradients.push(gradient(&parameter.tensor));
        if slope.defined() {
            tch::no_grad(|| drop(parameter.tensor.f_sub_(&(slope * 0.1)).unwrap()));
            parameter.tensor.zero_grad();
        }
    }
    let report = slot.take_report();
    let number = |metric: Metric| match metric {
        Metric::Tensor(tensor) => bits(&tensor),
        Metric::Number(number) => vec![number.to_bits()],
    };
    let Cost { host_elements, tensors, tensor_bytes, draws, given_gradients, .. } = slot.probe_mut().cost;
    Seen {
        result,
        gradients,
        metrics: report.metrics.into_iter().map(|(name, metric)| (name, number(metric))).collect(),
        lines: report.lines.into_iter().map(|(_, line)| line).collect(),
        state: kept(slot.state()).into_iter().collect(),
        cost: [host_elements, tensors, tensor_bytes, draws, given_gradients],
    }
}

/// How a call was made, in a letter: recorded, replayed, by the plugin each time, or unrecordable.
fn letter(way: Way) -> char {
    match way {
        Way::Recorded => 'r',
        Way::Replayed => 'R',
        Way::Plain => '-',
        Way::Unrecordable(_) => 'u',
    }
}
