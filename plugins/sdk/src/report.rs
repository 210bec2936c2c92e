//! What a strategy says about its work: lines for the run's log, and named metrics.

use crate::Operand;
use crate::bindings::lossmith::plugin::report as host;

/// A line for the plugin's author.
pub fn debug(message: &str) {
    host::log(host::Level::Debug, message);
}

/// A line for the user.
pub fn info(message: &str) {
    host::log(host::Level::Info, message);
}

/// Something is probably wrong.
pub fn warn(message: &str) {
    host::log(host::Level::Warn, message);
}

/// A named metric of this step: a number, or a tensor with one element, which the host reads later and without a wait.
pub fn metric<'a>(name: &str, value: impl Into<Operand<'a>>) {
    match value.into() {
        Operand::Tensor(value) => host::metric(name, value.handle()),
        Operand::Number(value) => host::metric_value(name, value),
    }
}
