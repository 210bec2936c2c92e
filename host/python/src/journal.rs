//! The journal of a session: the folder of a run, with what a loop of somebody else leaves behind.

use std::path::PathBuf;

use lossmith_run::{About, Change, Event, Manifest, PluginEntry, Process, Run, RunError, Versions, commit};
use miette::Diagnostic;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::Value;

use crate::component::Component;
use crate::error;

/// What the strategies begin with: who takes them for an experiment is shown this line.
const HEADER: &str = "# The strategies of a session in a loop of its own; its data and network are not known here.\n";

/// The folder of a session, as `lossmith runs show` reads it.
#[pyclass(frozen, module = "lossmith._lossmith")]
pub(crate) struct Journal {
    run: Run,
}

#[pymethods]
impl Journal {
    /// Makes the folder, which must be empty if it exists, and says in it that this process began.
    #[new]
    fn new(python: Python<'_>, folder: PathBuf) -> PyResult<Self> {
        let made = Run::create_in(&folder).and_then(|run| {
            run.record(Event::Started { process: Process::current() })?;
            Ok(Self { run })
        });
        made.map_err(|error| failed(python, &error))
    }

    /// Writes what ran. `plugins` are the components of the start, as JSON.
    #[expect(clippy::too_many_arguments, reason = "those of Python have names")]
    fn describe(
        &self,
        python: Python<'_>,
        command: Vec<String>,
        seed: u64,
        device: String,
        threads: u32,
        torch: String,
        plugins: &str,
    ) -> PyResult<()> {
        let plugins = parsed(plugins)?;
        let folder = std::env::current_dir().unwrap_or_default();
        let write = || {
            let journal = self.run.journal()?.rows;
            let path = self.run.path().join("journal.jsonl");
            let missing = || RunError::Damaged { path, reason: "it does not say when the session began".to_owned() };
            let started = journal.first().map(|entry| entry.time).ok_or_else(missing)?;
            self.run.write_manifest(&Manifest {
                name: self.run.name(),
                started,
                command,
                versions: Versions::current(torch),
                seed,
                device,
                threads,
                // Only the loop knows its data.
                data: String::new(),
                data_path: None,
                commit: commit(&folder),
                preprocessing: None,
                plugins,
                teacher: None,
                files: Vec::new(),
                experiment: None,
                sets: Vec::new(),
                parent: None,
            })
        };
        write().map_err(|error| failed(python, &error))
    }

    /// Keeps a component, and what it was built of.
    fn keep(&self, python: Python<'_>, component: &Component) -> PyResult<()> {
        let keep = || {
            let hash = self.run.store_plugin(&component.plugin.bytes)?;
            let sources = component.sources();
            if sources.is_empty() {
                return Ok(());
            }
            self.run.store_sources(&hash, sources.iter().map(|(name, text)| (name.as_str(), text.as_slice())))
        };
        keep().map_err(|error| failed(python, &error))
    }

    /// Keeps a revision: its strategies (as JSON) and components (likewise), and what begins anew with it. Number 0 is
    /// that of the start.
    fn keep_revision(
        &self,
        python: Python<'_>,
        number: u64,
        strategies: &str,
        plugins: &str,
        reset: Vec<String>,
    ) -> PyResult<()> {
        let strategies: Value = parsed(strategies)?;
        let toml = toml::to_string(&strategies).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let toml = format!("{HEADER}{toml}");
        let about = About { plugins: parsed::<Vec<PluginEntry>>(plugins)?, edits: Vec::new(), reset };
        let kept = match number {
            0 => self.run.write_experiment(&toml),
            number => self.run.store_revision(number, &toml, &about, None),
        };
        kept.map_err(|error| failed(python, &error))
    }

    /// Appends an event, as JSON.
    fn record(&self, python: Python<'_>, event: &str) -> PyResult<()> {
        self.run.record(parsed(event)?).map_err(|error| failed(python, &error))
    }
}

/// An event of a journal, as JSON, in words.
#[pyfunction]
pub(crate) fn event_text(event: &str) -> PyResult<String> {
    Ok(parsed::<Event>(event)?.to_string())
}

/// What differs between the strategies of two revisions, each as JSON, as a list in JSON.
#[pyfunction]
pub(crate) fn changes(from: &str, to: &str) -> PyResult<String> {
    let changes = Change::all(&parsed(from)?, &parsed(to)?);
    serde_json::to_string(&changes).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// The nearest of the known names, if one is near.
#[pyfunction]
pub(crate) fn nearest(name: &str, known: Vec<String>) -> Option<String> {
    lossmith_plugin::suggest::nearest(name, &known).map(str::to_owned)
}

fn parsed<T: serde::de::DeserializeOwned>(json: &str) -> PyResult<T> {
    serde_json::from_str(json).map_err(|error| PyValueError::new_err(format!("{error} in {json}")))
}

/// The exception for a folder that cannot be written: `lossmith.SessionError`.
fn failed(python: Python<'_>, error: &RunError) -> PyErr {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    error::session(python, &format!("{error}{cause}"), error.help().map(|help| help.to_string()))
}
