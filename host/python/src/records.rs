//! What a run left behind: read by the crates that wrote it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lossmith::data::Preparation;
use lossmith::train::TrainedNetwork;
use lossmith_run::{Lines, Run, RunError, Status};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use tch::Tensor;

use crate::error;
use crate::tensor::{object, tensor, torch};

/// Kind, epochs, steps, and numbers by name.
type Measured = (String, u64, u64, BTreeMap<String, f64>);

/// The folder of a run as it is at this moment.
#[pyclass(frozen, get_all, module = "lossmith._lossmith")]
pub(crate) struct RunFolder {
    name: String,
    status: String,
    /// `manifest.json`.
    manifest: String,
    /// `experiment.toml`, as a dict.
    experiment: Py<PyAny>,
    /// The events as a list in JSON.
    journal: String,
    metrics: Vec<Measured>,
    /// Lines that could not be read, from 1, by file.
    unread: Vec<(&'static str, Vec<usize>)>,
}

/// Reads the folder of a run. What was undone is not among the metrics.
#[pyfunction]
pub(crate) fn read_run(python: Python<'_>, path: PathBuf) -> PyResult<RunFolder> {
    let wrong = |error: RunError| error::run(python, &error);
    let run = opened(&path).map_err(wrong)?;
    // First, so that of a run that ends meanwhile no row is missing.
    let Lines { rows: journal, skipped: unread_journal } = run.journal().map_err(wrong)?;
    let Lines { rows: metrics, skipped: unread_metrics } = run.metrics().map_err(wrong)?;
    let path = run.experiment_path();
    let experiment: toml::Table =
        toml::from_str(&run.experiment().map_err(wrong)?).map_err(|error| wrong(RunError::damaged(&path)(error)))?;
    let measured = metrics.into_iter().map(|row| (row.kind.to_string(), row.epoch, row.step, row.values));
    Ok(RunFolder {
        name: run.name(),
        status: Status::of(&journal).to_string(),
        manifest: json(&run.manifest().map_err(wrong)?)?,
        experiment: value(python, toml::Value::Table(experiment))?,
        journal: json(&journal)?,
        metrics: measured.collect(),
        unread: vec![("journal.jsonl", unread_journal), ("metrics.jsonl", unread_metrics)],
    })
}

/// The network of a run as a checkpoint has it.
#[pyclass(frozen, get_all, module = "lossmith._lossmith")]
pub(crate) struct TrainedState {
    /// What it is, in JSON.
    description: String,
    /// Parameters and buffers by name, on the CPU.
    state: BTreeMap<String, Py<PyAny>>,
}

/// Reads the network of a run's checkpoint: `best`, `last`, or the number of an epoch.
#[pyfunction]
pub(crate) fn read_network(python: Python<'_>, path: PathBuf, checkpoint: &str) -> PyResult<TrainedState> {
    opened(&path).map_err(|error| error::run(python, &error))?;
    let network = TrainedNetwork::open(&path, checkpoint).map_err(|error| error::run(python, &error))?;
    let state = network.state.iter().map(|(name, tensor)| Ok((name.clone(), object(python, tensor)?)));
    Ok(TrainedState { description: json(&network.description)?, state: state.collect::<PyResult<_>>()? })
}

/// An image as a network sees it in evaluation, channels x `size` x `size`. `pixels` are height x width x channels
/// bytes on the CPU, with as many channels as there are means.
#[pyfunction]
pub(crate) fn prepare(pixels: &Bound<'_, PyAny>, size: usize, mean: Vec<f64>, std: Vec<f64>) -> PyResult<Py<PyAny>> {
    let python = pixels.py();
    let pixels = tensor(pixels, "pixels")?;
    let (height, width, channels) = pixels.size3().map_err(torch)?;
    let mut bytes = vec![0; pixels.numel()];
    pixels.f_contiguous().and_then(|pixels| pixels.f_copy_data_u8(&mut bytes, pixels.numel())).map_err(torch)?;
    let prepared = Preparation::new(size, &mean, &std).evaluated(&bytes, height as usize, width as usize);
    let prepared = prepared.ok_or_else(|| {
        PyValueError::new_err(format!(
            "an image of {height} x {width} x {channels} numbers was given, where height x width x {} are expected",
            mean.len()
        ))
    })?;
    let shape = [channels, size as i64, size as i64];
    object(python, &Tensor::f_from_slice(&prepared).and_then(|flat| flat.f_reshape(shape)).map_err(torch)?)
}

fn opened(path: &Path) -> Result<Run, RunError> {
    // "no journal.jsonl" is no help where there is no folder.
    std::fs::metadata(path).map_err(RunError::io("open", path))?;
    Run::open(path)
}

fn json(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|error| PyRuntimeError::new_err(error.to_string()))
}

/// A value of TOML as one of Python. A date is a text.
fn value(python: Python<'_>, given: toml::Value) -> PyResult<Py<PyAny>> {
    Ok(match given {
        toml::Value::String(text) => text.into_pyobject(python)?.into_any().unbind(),
        toml::Value::Integer(number) => number.into_pyobject(python)?.into_any().unbind(),
        toml::Value::Float(number) => number.into_pyobject(python)?.into_any().unbind(),
        toml::Value::Boolean(yes) => yes.into_pyobject(python)?.to_owned().into_any().unbind(),
        toml::Value::Datetime(date) => date.to_string().into_pyobject(python)?.into_any().unbind(),
        toml::Value::Array(items) => {
            let items = items.into_iter().map(|item| value(python, item)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(python, items)?.into_any().unbind()
        }
        toml::Value::Table(table) => {
            let dict = PyDict::new(python);
            for (key, item) in table {
                dict.set_item(key, value(python, item)?)?;
            }
            dict.into_any().unbind()
        }
    })
}
