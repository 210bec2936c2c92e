//! Components: loaded from a file or by a bare name, or built of a folder.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use lossmith::standard::Standard;
use lossmith::toolchain::{self, Messages};
use lossmith_plugin::{Limits, Plugin};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error;
use crate::runtime::runtime;

/// Components that were compiled and are in use, whatever they came from. A process that makes a hundred modules of one
/// compiles it once.
static KNOWN: Mutex<Vec<Weak<Plugin>>> = Mutex::new(Vec::new());

/// The build under way of one thread: others can abandon it.
#[pyclass(frozen, module = "lossmith._lossmith")]
#[derive(Default)]
pub(crate) struct UnderWay(pub(crate) toolchain::UnderWay);

#[pymethods]
impl UnderWay {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Ends the build, which fails. Nothing where none is under way.
    fn abandon(&self) {
        self.0.abandon(self.0.round());
    }

    /// Whether the build was abandoned since this was last asked.
    fn take_abandoned(&self) -> bool {
        self.0.take_abandoned()
    }
}

/// A component, compiled.
#[pyclass(frozen, module = "lossmith._lossmith")]
pub(crate) struct Component {
    pub(crate) plugin: Arc<Plugin>,
    /// What it was built of: names and contents.
    sources: Vec<(String, Vec<u8>)>,
}

#[pymethods]
impl Component {
    /// Loads a file, what a bare name means, or what is built of a folder; the build can be abandoned by `under_way`.
    #[staticmethod]
    #[pyo3(signature = (source, under_way=None))]
    fn load(python: Python<'_>, source: PathBuf, under_way: Option<&UnderWay>) -> PyResult<Self> {
        let runtime = runtime()?;
        let limits = Arc::new(Limits::default());
        let known = known();
        if is_source(&source) {
            let under_way = under_way.map(|under_way| under_way.0.clone()).unwrap_or_default();
            let built = python.detach(|| toolchain::build(&source, None, Messages::Kept, &under_way));
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
    pub(crate) fn sources(&self) -> Vec<(String, Vec<u8>)> {
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
        known.retain(|known| known.strong_count() > 0);
        if !known.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(&plugin))) {
            known.push(Arc::downgrade(&plugin));
        }
        Self { plugin, sources }
    }
}

fn known() -> Vec<Arc<Plugin>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
}

/// Whether `lossmith plugin build` builds this folder.
pub(crate) fn is_source(folder: &Path) -> bool {
    ["Cargo.toml", "plugin.toml"].iter().any(|file| folder.join(file).is_file())
}

/// The bare names that mean a component here.
#[pyfunction]
pub(crate) fn standard_names() -> Vec<String> {
    Standard::from_environment().known(Path::new(""))
}
