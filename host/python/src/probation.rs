//! Probation: the first calls of a revision, whose losses are looked at.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

use crate::tensor::tensor;

/// The first calls of a revision.
#[pyclass(frozen, module = "lossmith._lossmith")]
pub(crate) struct Probation(Mutex<lossmith_plugin::candidate::Probation>);

#[pymethods]
impl Probation {
    /// Of a revision that takes over at a step, for so many steps.
    #[new]
    fn new(step: u64, steps: u64) -> Self {
        Self(Mutex::new(lossmith_plugin::candidate::Probation::new(step, steps)))
    }

    /// Why the revision cannot go on after the loss of this step; None if it can. It waits for the device. `before` is
    /// the loss before these steps: more than `divergence` times the larger of it and the first one is too much.
    fn check(&self, loss: &Bound<'_, PyAny>, step: u64, before: f64, divergence: f64) -> PyResult<Option<String>> {
        let loss = tensor(loss, "a loss")?;
        let mut probation = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let checked = probation.check(&loss, step, before, divergence);
        Ok(checked.err().map(|error| error.to_string()))
    }
}
