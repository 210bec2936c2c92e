//! Exceptions.

use lossmith::PluginFault;
use lossmith::toolchain::ToolchainError;
use lossmith_plugin::objective::ComputeError;
use lossmith_plugin::{Cause, Phase, PluginError, SourceLine};
use miette::Diagnostic;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::tensor::torch;

/// The exception for a fault of a plugin: `lossmith.PluginError` with the fields of its cause.
pub(crate) fn plugin(python: Python<'_>, error: PluginError) -> PyErr {
    // A hook or a mode in Python that raised during the call: libtorch only tells that something did.
    if let Some(raised) = PyErr::take(python) {
        return raised;
    }
    let fault = PluginFault::from(error);
    let fields = PyDict::new(python);
    let filled = fill(&fields, &fault);
    let help = untold(&fault.cause).map(str::to_owned).or_else(|| fault.advice());
    raised(python, "PluginError", &fault.to_string(), help, filled.map(|()| fields))
}

/// What to do about something that the trainer always tells, and a loop of others only if it is asked to.
fn untold(cause: &Cause) -> Option<&'static str> {
    match cause {
        Cause::Operation { operation: "batch.class-count", .. } => {
            Some("tell it with classes=10 where the module is made, or with prepare(dimension, classes)")
        }
        Cause::Operation { operation: "progress.epochs", .. } => Some("tell it: lossmith.progress(epochs=20)"),
        _ => None,
    }
}

/// The exception for objectives that cannot be computed.
pub(crate) fn compute(python: Python<'_>, error: ComputeError) -> PyErr {
    if let Some(raised) = PyErr::take(python) {
        return raised;
    }
    match error {
        ComputeError::Plugin(error) => plugin(python, error),
        ComputeError::Tensor(error) => torch(error),
        error @ (ComputeError::NoGradient | ComputeError::State(_)) => {
            pyo3::exceptions::PyRuntimeError::new_err(error.to_string())
        }
    }
}

/// The exception for a plugin that does not build: `lossmith.BuildError`.
pub(crate) fn build(python: Python<'_>, error: &ToolchainError) -> PyErr {
    let help = error.help().map(|help| help.to_string());
    raised(python, "BuildError", &error.to_string(), help, Ok(PyDict::new(python)))
}

/// The exception for a run that cannot be read: `lossmith.RunError`.
pub(crate) fn run(python: Python<'_>, error: &impl Diagnostic) -> PyErr {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    let help = error.help().map(|help| help.to_string());
    raised(python, "RunError", &text, help, Ok(PyDict::new(python)))
}

/// The exception for what a session refuses: `lossmith.SessionError`.
pub(crate) fn session(python: Python<'_>, text: &str, help: Option<String>) -> PyErr {
    raised(python, "SessionError", text, help, Ok(PyDict::new(python)))
}

/// An exception of the package, made of a text, what to do, and its fields.
fn raised(
    python: Python<'_>,
    class: &str,
    text: &str,
    help: Option<String>,
    fields: PyResult<Bound<'_, PyDict>>,
) -> PyErr {
    let made = fields.and_then(|fields| {
        let class = python.import("lossmith.errors")?.getattr(class)?;
        class.call((text, help), Some(&fields))
    });
    made.map_or_else(|error| error, PyErr::from_value)
}

/// Who is at fault, where, and the fields of the cause.
fn fill(fields: &Bound<'_, PyDict>, error: &PluginError) -> PyResult<()> {
    let PluginError { plugin, hash, phase, cause } = error;
    fields.set_item("plugin", plugin)?;
    fields.set_item("hash", hash)?;
    let (phase, role, strategy) = match phase {
        Phase::Load => ("load", None, None),
        Phase::Compile => ("compile", None, None),
        Phase::Instantiate => ("instantiate", None, None),
        Phase::Describe => ("describe", None, None),
        Phase::Configure => ("configure", None, None),
        Phase::Call { role, strategy } => ("call", Some(role.name()), Some(strategy)),
    };
    fields.set_item("phase", phase)?;
    fields.set_item("role", role)?;
    fields.set_item("strategy", strategy)?;
    let mut place = None;
    let kind = match &**cause {
        Cause::Read { path, .. } => {
            fields.set_item("path", path)?;
            "read"
        }
        Cause::NoPlugin { .. } => "no-plugin",
        Cause::NotWasm { .. } => "not-wasm",
        Cause::OtherEncoding { .. } => "other-encoding",
        Cause::NoComponentType | Cause::NoContract => "no-contract",
        Cause::ForeignImport { import } => {
            fields.set_item("import_", import)?;
            "foreign-import"
        }
        Cause::OtherVersion { .. } => "other-version",
        Cause::Invalid(_) => "invalid",
        Cause::RoleNotExported { .. } => "role-not-exported",
        Cause::Contradiction(_) => "contradiction",
        Cause::UnknownStrategy { role, strategy, .. } => {
            fields.set_item("role", role.name())?;
            fields.set_item("strategy", strategy)?;
            "unknown-strategy"
        }
        Cause::Parameter(error) => {
            fields.set_item("parameter", error.parameter())?;
            "parameter"
        }
        Cause::Panic { file, line, .. } => {
            fields.set_item("file", file)?;
            fields.set_item("line", line)?;
            "panic"
        }
        Cause::Trap { place: at, .. } => {
            place = at.as_ref();
            "trap"
        }
        Cause::Operation { operation, shapes, place: at, .. } => {
            fields.set_item("operation", operation)?;
            fields.set_item("shapes", shapes)?;
            place = at.as_ref();
            "operation"
        }
        Cause::Limit { limit, value, wanted, place: at } => {
            fields.set_item("limit", limit)?;
            fields.set_item("value", value)?;
            fields.set_item("wanted", wanted)?;
            place = at.as_ref();
            "limit"
        }
        Cause::Machine(_) => "machine",
        Cause::Refused(_) => "refused",
        Cause::Result(_) => "result",
        Cause::NoSystem { place: at, .. } => {
            place = at.as_ref();
            "no-system"
        }
        Cause::Abi { place: at, .. } => {
            place = at.as_ref();
            "abi"
        }
    };
    fields.set_item("cause", kind)?;
    if let Some(SourceLine { function, source }) = place {
        fields.set_item("function", function)?;
        if let Some((file, line)) = source {
            fields.set_item("file", file)?;
            fields.set_item("line", line)?;
        }
    }
    Ok(())
}
