//! The one Wasm engine of a process.

use std::sync::{Arc, OnceLock};

use lossmith_plugin::Runtime;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// The engine, and the process that made it. One for a process, as [`Runtime`] says.
static ENGINE: OnceLock<(Arc<Runtime>, u32)> = OnceLock::new();

/// The engine of this process, which is made when it is first asked for.
pub(crate) fn runtime() -> PyResult<Arc<Runtime>> {
    if ENGINE.get().is_none() {
        let made =
            Runtime::without_signals().map_err(|error| PyRuntimeError::new_err(format!("no engine: {error:#}")))?;
        // Another thread may have been faster; then its engine is the one.
        let _ = ENGINE.set((Arc::new(made), std::process::id()));
    }
    not_forked()?;
    ENGINE.get().map(|(runtime, _)| Arc::clone(runtime)).ok_or_else(|| PyRuntimeError::new_err("no engine"))
}

/// An error in a process that was forked from the one that made the engine: its threads, which end calls that run too
/// long, are not in this one.
pub(crate) fn not_forked() -> PyResult<()> {
    match ENGINE.get() {
        Some((_, process)) if *process != std::process::id() => Err(PyRuntimeError::new_err(
            "this process was forked from one that used lossmith, and strategies do not run in it: compute the loss \
            in the \
             main process, or start workers with multiprocessing_context=\"spawn\"",
        )),
        Some(_) | None => Ok(()),
    }
}
