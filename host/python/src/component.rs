//! Components: loaded from a file or by a bare name, or built of a folder.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lossmith::standard::Standard;
use lossmith::toolchain::{self, Messages, UnderWay};
use lossmith_plugin::{Limits, Plugin};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error;
use crate::runtime::runtime;

/// Components that were compiled, whatever they came from. A process that makes a hundred modules of one compiles it once.
static KNOWN: Mutex<Vec<Arc<Plugin>>> = Mutex::new(Vec::new());

/// A component, compiled.
#[pyclass(frozen, module = "lossmith._lossmith")]
pub(crate) struct Component {
    pub(crate) plugin: Arc<Plugin>,
    /// What it was built of: names and contents.
    sources: Vec<(String, Vec<u8>)>,
}

#[pymethods]
impl Component {
    /// Loads a file, what a bare name means, or what is built of a folder.
    #[staticmethod]
    fn load(python: Python<'_>, source: PathBuf) -> PyResult<Self> {
        let runtime = runtime()?;
        let limits = Arc::new(Limits::default());
        let known = known();
        if is_source(&source) {
            let built = python.detach(|| toolchain::build(&source, None, Messages::Kept, &UnderWay::default()));
            let built = built.map_err(|error| error::build(python, &error))?;
            let sources = built.sources.files().map(|(name, text)| (name.to_owned(), text.to_vec())).collect();
            return Self::of_bytes(python, &built.name, built.bytes, sources);
        }
        let loaded =
            python.detach(|| Standard::from_environment().load(&runtime, &source, Path::new(""), &limits, &known));
        Ok(Self::of(loaded.map_err(|error| error::plugin(python, error))?, Vec::new()))
    }

    /// Loads bytes. Errors name it `name`.
    #[staticmethod]
    fn from_bytes(python: Python<'_>, name: &str, bytes: Vec<u8>) -> PyResult<Self> {
        Self::of_bytes(python, name, bytes, Vec::new())
    }

    #[getter]
    fn name(&self) -> &str {
        &self.plugin.name
    }

    /// SHA-256 of its bytes in hexadecimal.
    #[getter]
    fn hash(&self) -> &str {
        &self.plugin.hash
    }

    #[getter]
    fn bytes<'a>(&self, python: Python<'a>) -> Bound<'a, PyBytes> {
        PyBytes::new(python, &self.plugin.bytes)
    }

    /// The names of what it was built of, with their contents.
    #[getter]
    fn sources(&self) -> Vec<(String, Vec<u8>)> {
        self.sources.clone()
    }

    /// Its strategies as JSON.
    fn strategies(&self) -> PyResult<String> {
        serde_json::to_string(&self.plugin.strategies).map_err(|error| PyValueError::new_err(error.to_string()))
    }
}

impl Component {
    fn of_bytes(python: Python<'_>, name: &str, bytes: Vec<u8>, sources: Vec<(String, Vec<u8>)>) -> PyResult<Self> {
        let (runtime, limits) = (runtime()?, Arc::new(Limits::default()));
        if let Some(plugin) = known().into_iter().find(|plugin| plugin.bytes == bytes && plugin.name == name) {
            return Ok(Self { plugin, sources });
        }
        let loaded = python.detach(|| Plugin::from_bytes(&runtime, name, bytes, &limits));
        Ok(Self::of(loaded.map_err(|error| error::plugin(python, error))?, sources))
    }

    fn of(plugin: Arc<Plugin>, sources: Vec<(String, Vec<u8>)>) -> Self {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.iter().any(|known| Arc::ptr_eq(known, &plugin)) {
            known.push(Arc::clone(&plugin));
        }
        Self { plugin, sources }
    }
}

fn known() -> Vec<Arc<Plugin>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Whether `lossmith plugin build` builds this folder.
fn is_source(folder: &Path) -> bool {
    ["Cargo.toml", "plugin.toml"].iter().any(|file| folder.join(file).is_file())
}

/// The bare names that mean a component here.
#[pyfunction]
pub(crate) fn standard_names() -> Vec<String> {
    Standard::from_environment().known(Path::new(""))
}
