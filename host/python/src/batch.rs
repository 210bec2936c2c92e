//! A batch, checked: the trainer makes only batches that are right, but here anything can come.

use std::sync::Mutex;

use lossmith_plugin::objective::Batch as Tensors;
use lossmith_plugin::{Input, Tuples, is_finite};
use lossmith_torch_shim::{has_usual_modes, is_usual};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use tch::{Device, Kind, TchError, Tensor};

use crate::tensor::{are_finite, bounds, device_name, is_tensor, object, optional, tensor, torch};

/// Labels are compared as floats of 32 bits, which tell integers below this apart.
const LABELS: i64 = 1 << 24;

/// A batch: B x D embeddings of 32 or 64 bits, B labels, and what else a strategy may be told. The tensors are the
/// caller's.
#[pyclass(frozen, module = "lossmith._lossmith")]
pub(crate) struct Batch {
    /// Tensors go from thread to thread, but are not shared.
    tensors: Mutex<Tensors>,
    pub(crate) device: Device,
    pub(crate) float: Kind,
}

#[pymethods]
impl Batch {
    /// `classes` is 0 if nobody knows how many there are. Tuples are three or four vectors of positions in the batch.
    #[new]
    #[pyo3(signature = (embeddings, labels, classes=0, slices=1, tuples=None, thresholds=Vec::new(), teacher=None,
                        feature_map=None, teacher_feature_map=None))]
    #[expect(clippy::too_many_arguments, reason = "those of Python have names")]
    fn new(
        embeddings: &Bound<'_, PyAny>,
        labels: Option<&Bound<'_, PyAny>>,
        classes: i64,
        slices: i64,
        tuples: Option<Vec<Bound<'_, PyAny>>>,
        thresholds: Vec<f64>,
        teacher: Option<&Bound<'_, PyAny>>,
        feature_map: Option<&Bound<'_, PyAny>>,
        teacher_feature_map: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let embeddings = matrix(embeddings, "embeddings")?;
        let (device, float) = (embeddings.device(), embeddings.kind());
        let size = embeddings.size().first().copied().unwrap_or_default();
        let columns = embeddings.size().get(1).copied().unwrap_or_default();
        if slices < 1 || columns % slices != 0 {
            return Err(PyValueError::new_err(format!(
                "embeddings of {columns} columns cannot be divided into {slices} equal slices"
            )));
        }
        let labels = match labels {
            Some(labels) => integers(labels, "labels", size, device)?,
            None => Tensor::f_zeros([size], (Kind::Int64, device)).map_err(torch)?,
        };
        if device == Device::Cpu {
            in_range(&labels, classes)?;
        }
        finite(&embeddings, "embeddings")?;
        let like = |object: Option<&Bound<'_, PyAny>>, what: &str| {
            let found = optional(object, what)?;
            let Some(found) = found else { return Ok(None) };
            if found.device() != device || found.size().first() != Some(&size) {
                return Err(PyValueError::new_err(format!(
                    "{what} is {} on {}; a row for each of the {size} embeddings, on {}, is expected",
                    shape(&found),
                    device_name(found.device()),
                    device_name(device)
                )));
            }
            let found = found.f_to_kind(float).map_err(torch)?;
            finite(&found, what)?;
            Ok(Some(found))
        };
        let tensors = Tensors {
            labels,
            class_count: if classes > 0 { classes } else { -1 },
            slice_count: slices,
            feature_map: like(feature_map, "feature_map")?,
            teacher: like(teacher, "teacher")?,
            teacher_feature_map: like(teacher_feature_map, "teacher_feature_map")?,
            tuples: tuples.map(|tuples| self::tuples(&tuples, device, size)).transpose()?,
            thresholds,
            embeddings,
            measured: false,
        };
        Ok(Self { tensors: Mutex::new(tensors), device, float })
    }

    /// The same numbers as leaves of a graph of their own, for a strategy that was told of so many classes.
    fn leaves(&self, classes: i64) -> PyResult<Self> {
        let mut tensors = self.tensors(Tensors::leaves).map_err(torch)?;
        tensors.class_count = classes;
        Ok(Self { tensors: Mutex::new(tensors), device: self.device, float: self.float })
    }

    /// Its embeddings: the caller's own.
    #[getter]
    fn embeddings(&self, python: Python<'_>) -> PyResult<Py<PyAny>> {
        object(python, &self.tensors(|tensors| tensors.embeddings.shallow_clone()))
    }

    /// Its number of images.
    fn __len__(&self) -> usize {
        self.tensors(|tensors| tensors.embeddings.size().first().copied().unwrap_or_default()).unsigned_abs() as usize
    }

    /// The same numbers without a way back into the network.
    pub(crate) fn detach(&self) -> PyResult<Self> {
        let tensors = Mutex::new(self.tensors(Tensors::detached).map_err(torch)?);
        Ok(Self { tensors, device: self.device, float: self.float })
    }
}

impl Batch {
    /// A batch of what most losses are given: a matrix and labels, both as they come from a network and a loader. None
    /// if anything has to be looked at first.
    pub(crate) fn usual(
        embeddings: &Bound<'_, PyAny>,
        labels: &Bound<'_, PyAny>,
        classes: i64,
        slices: i64,
    ) -> PyResult<Option<Self>> {
        if !has_usual_modes() || !is_tensor(embeddings)? || !is_tensor(labels)? {
            return Ok(None);
        }
        let (rows, classes_of) = (tensor(embeddings, "embeddings")?, tensor(labels, "labels")?);
        let usual = is_usual(&rows).and_then(|usual| Ok(usual && is_usual(&classes_of)?)).map_err(torch)?;
        let many = rows.dim() == 2 && rows.size().first().is_some_and(|size| *size > 1);
        if !usual || !many || !matches!(rows.kind(), Kind::Float | Kind::Double) || classes_of.kind() != Kind::Int64 {
            return Ok(None);
        }
        Self::new(embeddings, Some(labels), classes, slices, None, Vec::new(), None, None, None).map(Some)
    }

    /// Runs `look` on the tensors.
    pub(crate) fn tensors<T>(&self, look: impl FnOnce(&Tensors) -> T) -> T {
        // A thread that panicked has not changed them.
        look(&self.tensors.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// What a strategy is told.
    pub(crate) fn input(&self) -> Input {
        self.tensors(Tensors::input)
    }
}

/// B x D floats of 32 or 64 bits.
fn matrix(object: &Bound<'_, PyAny>, what: &str) -> PyResult<Tensor> {
    let found = tensor(object, what)?;
    if !matches!(found.kind(), Kind::Float | Kind::Double) {
        return Err(PyTypeError::new_err(format!(
            "{what} must be float32 or float64, not {}: take {what}.float()",
            dtype(found.kind())
        )));
    }
    match found.size().as_slice() {
        [0, _] | [_, 0] => Err(PyValueError::new_err(format!("{what} is empty: {}", shape(&found)))),
        [_, _] => Ok(found),
        _ => Err(PyValueError::new_err(format!(
            "{what} must be a matrix of B x D, one row for each image, not {}: take {what}.flatten(1)",
            shape(&found)
        ))),
    }
}

/// A vector of 64-bit integers for the rows of a batch.
fn integers(object: &Bound<'_, PyAny>, what: &str, size: i64, device: Device) -> PyResult<Tensor> {
    let found = tensor(object, what)?;
    if !matches!(found.kind(), Kind::Int64 | Kind::Int | Kind::Int16 | Kind::Int8 | Kind::Uint8) {
        return Err(PyTypeError::new_err(format!(
            "{what} must be integers, one class for each embedding, not {}: take {what}.long()",
            dtype(found.kind())
        )));
    }
    if found.size() != [size] {
        return Err(PyValueError::new_err(format!(
            "{what} must be a vector of {size}, one for each embedding, not {}",
            shape(&found)
        )));
    }
    if found.device() != device {
        return Err(PyValueError::new_err(format!(
            "{what} are on {} and the embeddings are on {}: take {what}.to(embeddings.device)",
            object.getattr("device")?,
            device_name(device)
        )));
    }
    found.f_to_kind(Kind::Int64).map_err(torch)
}

/// An error if a label is no class. `classes` is 0 if nobody knows how many there are.
fn in_range(labels: &Tensor, classes: i64) -> PyResult<()> {
    let Some((low, high)) = bounds(labels).map_err(torch)? else { return Ok(()) };
    if low < 0 {
        return Err(PyValueError::new_err(format!(
            "a label is {low}: labels are numbers of classes from 0; take out rows without a class before"
        )));
    }
    if classes > 0 && high >= classes {
        return Err(PyValueError::new_err(format!(
            "a label is {high}, but with {classes} classes labels are from 0 to {}: number the classes from 0, or \
            tell their number with classes={}",
            classes - 1,
            high + 1
        )));
    }
    if high >= LABELS {
        return Err(PyValueError::new_err(format!(
            "a label is {high}, and losses tell labels below {LABELS} apart: number the classes from 0, for instance \
            with torch.unique(labels, return_inverse=True)[1]"
        )));
    }
    Ok(())
}

/// An error if a number is not finite. On another device than the CPU nothing looks, as that would wait for it.
fn finite(rows: &Tensor, what: &str) -> PyResult<()> {
    if rows.device() != Device::Cpu {
        return Ok(());
    }
    if are_finite(rows).map_or_else(|| is_finite(rows), Ok).map_err(torch)? {
        return Ok(());
    }
    Err(not_finite(rows, what).unwrap_or_else(torch))
}

fn not_finite(rows: &Tensor, what: &str) -> Result<PyErr, TchError> {
    let foreign = rows.f_isfinite()?.f_logical_not()?;
    let places = foreign.f_flatten(1, -1)?.f_any_dim(1, false)?.f_nonzero()?.f_reshape([-1])?;
    let first = places.f_int64_value(&[0])?;
    let number = rows.f_masked_select(&foreign)?.f_double_value(&[0])?;
    let (count, all) = (places.numel(), rows.size().first().copied().unwrap_or_default());
    Ok(PyValueError::new_err(format!(
        "{what}: {number} in row {first}, and {count} of {all} rows have a number that is not finite, which a network \
         made, not the loss: look at its inputs and the learning rate"
    )))
}

/// Three or four vectors of positions.
fn tuples(parts: &[Bound<'_, PyAny>], device: Device, size: i64) -> PyResult<Tuples> {
    let vector = |part: &Bound<'_, PyAny>| {
        let found = tensor(part, "a vector of tuples")?;
        if found.dim() != 1 || found.kind() != Kind::Int64 || found.device() != device {
            return Err(PyValueError::new_err(format!(
                "a vector of tuples is {} on {}; a vector of int64 positions in the batch on {} is expected",
                shape(&found),
                device_name(found.device()),
                device_name(device)
            )));
        }
        if device == Device::Cpu
            && let Some((low, high)) = bounds(&found).map_err(torch)?
            && (low < 0 || high >= size)
        {
            return Err(PyValueError::new_err(format!(
                "tuples have positions from {low} to {high}, and the batch has 0 to {}",
                size - 1
            )));
        }
        Ok(found)
    };
    let parts: Vec<Tensor> = parts.iter().map(vector).collect::<PyResult<_>>()?;
    let length = |part: &Tensor| part.numel();
    match <[Tensor; 3]>::try_from(parts) {
        Ok(parts) if parts.iter().all(|part| length(part) == length(&parts[0])) => Ok(Tuples::Triplets(parts)),
        Ok(_) => Err(PyValueError::new_err("anchors, positives and negatives of triplets must have one length")),
        Err(parts) => match <[Tensor; 4]>::try_from(parts) {
            Ok(parts) if length(&parts[0]) == length(&parts[1]) && length(&parts[2]) == length(&parts[3]) => {
                Ok(Tuples::Pairs(parts))
            }
            Ok(_) => Err(PyValueError::new_err("the two vectors of each kind of pairs must have one length")),
            Err(parts) => Err(PyValueError::new_err(format!(
                "tuples are 3 vectors (anchors, positives, negatives) or 4 (anchors, positives, anchors, negatives), \
                not {}",
                parts.len()
            ))),
        },
    }
}

fn shape(tensor: &Tensor) -> String {
    let sizes: Vec<_> = tensor.size().iter().map(i64::to_string).collect();
    format!(
        "{} of {}",
        dtype(tensor.kind()),
        if sizes.is_empty() { "no dimension".to_owned() } else { sizes.join(" x ") }
    )
}

/// The name that PyTorch gives a dtype.
fn dtype(kind: Kind) -> &'static str {
    match kind {
        Kind::Uint8 => "uint8",
        Kind::Int8 => "int8",
        Kind::Int16 => "int16",
        Kind::Int => "int32",
        Kind::Int64 => "int64",
        Kind::Half => "float16",
        Kind::Float => "float32",
        Kind::Double => "float64",
        Kind::ComplexHalf => "complex32",
        Kind::ComplexFloat => "complex64",
        Kind::ComplexDouble => "complex128",
        Kind::Bool => "bool",
        Kind::QInt8 => "qint8",
        Kind::QUInt8 => "quint8",
        Kind::QInt32 => "qint32",
        Kind::BFloat16 => "bfloat16",
        _ => "another dtype",
    }
}
