//! Trainable parameters and buffers. The host owns them: they are in checkpoints and survive the exchange of a plugin.
//! Names are free within an objective.

use crate::Tensor;
use crate::bindings::lossmith::plugin::state as host;

/// The trainable parameter `name`; made from `initial` when there is none yet.
///
/// The run's optimizer trains it, with the run's learning rate times `learning_rate_multiplier`. A fault: `initial` is
/// not float, or the multiplier is negative or not finite.
pub fn parameter(name: &str, learning_rate_multiplier: f64, initial: impl FnOnce() -> Tensor) -> Tensor {
    Tensor::from(match host::parameter(name) {
        Some(parameter) => parameter,
        None => host::add_parameter(name, initial().handle(), learning_rate_multiplier),
    })
}

/// The buffer `name`, without gradient; none before [`set_buffer`].
pub fn buffer(name: &str) -> Option<Tensor> {
    host::buffer(name).map(Tensor::from)
}

/// Keeps a copy of `value`, without history, from the end of this call on. A fault: another shape or dtype than before.
pub fn set_buffer(name: &str, value: &Tensor) {
    host::set_buffer(name, value.handle());
}
