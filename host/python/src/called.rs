//! What came of a call.

use lossmith_plugin::{Level, Metric};
use pyo3::prelude::*;

use crate::state::Kept;
use crate::tensor::object;

/// What came of a call.
#[pyclass(frozen, module = "lossmith._lossmith")]
pub(crate) struct Called {
    /// What the role returns.
    #[pyo3(get)]
    value: Py<PyAny>,
    /// Parameters and buffers that the call made or exchanged, for each strategy.
    #[pyo3(get)]
    changed: Vec<Vec<Kept<Py<PyAny>>>>,
    /// What it measured: tensors without gradient, or numbers.
    #[pyo3(get)]
    metrics: Vec<(String, Py<PyAny>)>,
    /// What it says: the level and the text.
    #[pyo3(get)]
    lines: Vec<(&'static str, String)>,
}

impl Called {
    pub(crate) fn new(
        python: Python<'_>,
        value: Py<PyAny>,
        changed: Vec<Vec<Kept<Py<PyAny>>>>,
        metrics: Vec<(String, Metric)>,
        lines: Vec<(Level, String)>,
    ) -> PyResult<Self> {
        let metrics = metrics.into_iter().map(|(name, metric)| {
            let value = match metric {
                Metric::Tensor(tensor) => object(python, &tensor)?,
                Metric::Number(number) => number.into_pyobject(python)?.into_any().unbind(),
            };
            Ok((name, value))
        });
        let metrics = metrics.collect::<PyResult<_>>()?;
        let lines = lines.into_iter().map(|(level, text)| (level.name(), text)).collect();
        Ok(Self { value, changed, metrics, lines })
    }
}
