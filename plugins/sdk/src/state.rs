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

/// Exchanges the trainable parameter `name`, which must be there, for a copy of `value`, and returns it.
///
/// The new one may have another shape. Its learning-rate multiplier stays, what the optimizer remembers of it starts
/// anew. It is kept when the call ends well. A fault: there is no such parameter, or `value` is not float.
///
/// This is for a plugin that was swapped into a running training and needs another shape than the one before. Here the
/// number of proxies of a class was raised, and each new one starts where a kept one is:
///
/// ```
/// # use lossmith_sdk::prelude::*;
/// /// Row `j * classes + c` is proxy `j` of class `c`.
/// fn proxies(classes: i64, per_class: i64, dimension: i64) -> Tensor {
///     let rows = classes * per_class;
///     let kept = state::parameter("proxies", 1.0, || random::normal(&[rows, dimension]));
///     if kept.size(0) == rows {
///         return kept;
///     }
///     let times = rows / kept.size(0) + 1;
///     state::replace_parameter("proxies", &kept.repeat(&[times, 1]).narrow(0, 0, rows))
/// }
/// ```
pub fn replace_parameter(name: &str, value: &Tensor) -> Tensor {
    Tensor::from(host::replace_parameter(name, value.handle()))
}

/// The buffer `name`, without gradient; none before [`set_buffer`].
pub fn buffer(name: &str) -> Option<Tensor> {
    host::buffer(name).map(Tensor::from)
}

/// Keeps a copy of `value`, without history, from the end of this call on. A fault: another shape or dtype than before.
pub fn set_buffer(name: &str, value: &Tensor) {
    host::set_buffer(name, value.handle());
}

/// Exchanges the buffer `name`, which must be there, for a copy of `value`, without history, from the end of this call
/// on.
///
/// Shape and dtype may be others than before, see [`replace_parameter`]. A fault: there is no such buffer.
pub fn replace_buffer(name: &str, value: &Tensor) {
    host::replace_buffer(name, value.handle());
}
