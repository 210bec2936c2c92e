//! How far a training is.

use std::collections::BTreeMap;
use std::sync::Arc;

use pyo3::prelude::*;

/// How far a training is: epoch and step from 0, how many epochs there are (0: nobody knows), steps in an epoch, and
/// the last values of metrics.
#[pyclass(frozen, module = "lossmith._lossmith")]
pub(crate) struct Progress(pub(crate) lossmith_plugin::Progress);

#[pymethods]
impl Progress {
    #[new]
    #[pyo3(signature = (epoch=0, step=0, epochs=0, steps_per_epoch=0, metrics=None))]
    fn new(epoch: u64, step: u64, epochs: u64, steps_per_epoch: u64, metrics: Option<BTreeMap<String, f64>>) -> Self {
        let metrics = Arc::new(metrics.unwrap_or_default());
        Self(lossmith_plugin::Progress { epoch, epochs, step, steps_per_epoch, metrics, place: String::new() })
    }
}
