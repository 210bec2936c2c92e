//! Probes for a check of a plugin: the cost of a call, and its values that no gradient flows through.

use tch::Tensor;

use crate::not_finite::Watch;

/// The cost of a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Wasm instructions, roughly.
    pub fuel: u64,
    /// Elements that the host read and wrote, as [`crate::Limits::host_elements`] counts.
    pub host_elements: u64,
    /// Tensors to which the call held handles at one time, at most.
    pub tensors: u64,
    /// Bytes of these tensors, at most.
    pub tensor_bytes: u64,
    /// Random tensors drawn.
    pub draws: u64,
    /// Values whose gradient the plugin gave itself, with `with-gradients`.
    pub given_gradients: u64,
}

/// The treatment of values that no gradient flows through: results of `detach` and `gradient`.
#[derive(Debug, Default)]
pub enum Stopped {
    /// They are what they are.
    #[default]
    Computed,
    /// They are kept, in the order of the call.
    Kept(Vec<Tensor>),
    /// They are those of an earlier call with the same steps, from the given position on.
    Frozen(Vec<Tensor>, usize),
}

impl Stopped {
    /// The value that stands for the next one, if it is frozen and of this shape.
    pub(super) fn next(&mut self, like: &Tensor) -> Option<Tensor> {
        let Self::Frozen(values, position) = self else { return None };
        let value = values.get(*position)?;
        *position += 1;
        (value.size() == like.size()).then(|| value.shallow_clone())
    }

    pub(super) fn keep(&mut self, value: &Tensor) {
        if let Self::Kept(values) = self {
            values.push(value.shallow_clone());
        }
    }
}

impl Probe {
    /// Whether nothing is observed but what calls cost.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.stopped, Stopped::Computed) && !self.watch.is_on()
    }
}

/// The observations of a slot's calls.
#[derive(Debug, Default)]
pub struct Probe {
    /// Of the next call: how values without gradient are treated; of the last call: what was kept.
    pub stopped: Stopped,
    /// Of the calls from now on: what is told of their operations.
    pub watch: Watch,
    /// Of the last call.
    pub cost: Cost,
}
