//! Faults that the host raises inside a call.

use tch::{TchError, Tensor};

use crate::dtype::dtype_name;
use crate::handles::StaleHandle;
use crate::printable::{LONGEST, cut};

/// A fault that the host raises inside a call. It ends the call as a trap and comes out of it again by its type.
#[derive(Debug, thiserror::Error)]
pub(super) enum HostFault {
    #[error("operation `{operation}` failed on {shapes}: {message}")]
    Operation { operation: &'static str, shapes: String, message: String },
    #[error("limit {limit} = {value}")]
    Limit { limit: &'static str, value: u64, wanted: Option<u64> },
    #[error("out of memory: {0}")]
    Machine(String),
}

pub(super) fn over(limit: &'static str, value: u64, wanted: u64) -> Result<(), HostFault> {
    if wanted > value { Err(HostFault::Limit { limit, value, wanted: Some(wanted) }) } else { Ok(()) }
}

pub(super) fn stale_handle(operation: &'static str, stale: StaleHandle) -> HostFault {
    HostFault::Operation { operation, shapes: "a stale handle".into(), message: stale.to_string() }
}

/// The message of a libtorch error, without its own backtrace.
#[must_use]
pub fn brief(error: &TchError) -> String {
    let text = match error {
        TchError::Torch(text) => text.clone(),
        other => other.to_string(),
    };
    let message = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    cut(message, LONGEST).into_owned()
}

/// The fault of an operation that libtorch refused.
pub(super) fn fault(operation: &'static str, inputs: &[&Tensor], error: &TchError) -> HostFault {
    let message = brief(error);
    if is_exhausted(&message) {
        return HostFault::Machine(message);
    }
    HostFault::Operation { operation, shapes: describe(inputs), message }
}

/// Whether an error says that the machine, or its accelerator, has no more memory.
#[must_use]
pub fn is_exhausted(text: &str) -> bool {
    const SIGNS: [&str; 6] = [
        "can't allocate memory",
        "not enough memory",
        "out of memory",
        "Cannot allocate memory",
        "std::bad_alloc",
        "os error 12)",
    ];
    SIGNS.iter().any(|sign| text.contains(sign))
}

/// Shapes and dtypes, for messages.
pub(super) fn describe(inputs: &[&Tensor]) -> String {
    if inputs.is_empty() {
        return "no tensors".into();
    }
    let one = |tensor: &&Tensor| format!("{} {:?}", dtype_name(tensor.kind()), tensor.size());
    inputs.iter().map(one).collect::<Vec<_>>().join(" and ")
}
