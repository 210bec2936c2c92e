//! A batch that a user wrote down as JSON: the input of `plugin eval`, and of `plugin check --batch`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lossmith_plugin::{Input, State, StateParameter, Value};
use serde::Deserialize;
use tch::{Device, Kind, TchError, Tensor};

use super::batch::TrialBatch;

/// A batch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Case {
    /// B rows of D numbers.
    pub embeddings: Vec<Vec<f64>>,
    /// B classes, from 0 and below 2^24.
    pub labels: Vec<i64>,
    /// B rows of numbers.
    pub teacher: Option<Vec<Vec<f64>>>,
    /// One for each slice.
    pub thresholds: Option<Vec<f64>>,
    /// Three index lists: triplets; four: pairs.
    pub tuples: Option<Vec<Vec<i64>>>,
    /// Trainable tensors of the strategy.
    #[serde(default, deserialize_with = "crate::unique::map")]
    pub parameters: BTreeMap<String, Array>,
    /// Number of training classes; by default one more than the largest label.
    pub class_count: Option<i64>,
    /// For a transfer: the balance that weighs its pair losses.
    pub balance: Option<BalanceCase>,
    /// What a strategy should make of it.
    pub expect: Option<Expected>,
}

/// More classes than a 32-bit float can tell apart, or than any strategy has parameters for.
const MOST_CLASSES: i64 = 1 << 24;

/// A tensor.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Array {
    /// Its shape.
    pub shape: Vec<i64>,
    /// Its numbers, the last dimension first.
    pub data: Vec<f64>,
}

/// A balance for the pair losses of a transfer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BalanceCase {
    /// Its component.
    pub plugin: PathBuf,
    /// Its name.
    pub strategy: String,
    /// Its parameters.
    #[serde(default, deserialize_with = "crate::unique::map")]
    pub params: BTreeMap<String, Value>,
}

/// Results that somebody computed in another way.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expected {
    /// Of a loss, a transfer or a balance.
    pub value: Option<f64>,
    /// Of the value, B x D.
    pub gradient: Option<Vec<Vec<f64>>>,
    /// Of a miner, compared as sets of tuples.
    pub indices: Option<Vec<Vec<i64>>>,
    /// Of a schedule.
    pub thresholds: Option<Vec<f64>>,
    /// Of a fusion, B x D'.
    pub embedding: Option<Vec<Vec<f64>>>,
    /// Largest difference allowed, of numbers above 1 relative to them. By default 1e-6.
    pub tolerance: Option<f64>,
}

impl Case {
    /// As a strategy is given it, on a device, with embeddings that require a gradient.
    ///
    /// # Errors
    /// A text, when rows do not fit the labels, labels are not classes, tuples are neither triplets nor pairs of this
    /// batch, or a number is beyond `float`.
    pub fn input(&self, float: Kind, device: Device) -> Result<Input, String> {
        for (name, rows) in [("embeddings", Some(&self.embeddings)), ("teacher", self.teacher.as_ref())] {
            rows.into_iter().flatten().try_for_each(|row| fits(name, row, float))?;
        }
        self.batch()?.on(device).and_then(|batch| batch.input(float)).map_err(|error| text("it", &error))
    }

    pub(super) fn batch(&self) -> Result<TrialBatch, String> {
        let class_count = self.classes()?;
        self.tuples.as_deref().map_or(Ok(()), |parts| self.check_tuples(parts))?;
        let thresholds = self.thresholds.clone().unwrap_or_default();
        Ok(TrialBatch {
            embeddings: self.matrix("embeddings", &self.embeddings)?,
            labels: self.labels.clone(),
            class_count,
            teacher: self.teacher.as_ref().map(|rows| self.matrix("teacher", rows)).transpose()?,
            slice_count: thresholds.len().max(1) as i64,
            thresholds,
            feature_maps: None,
            tuples: self.tuples.clone(),
        })
    }

    /// The trainable tensors on a device, as a slot keeps them.
    ///
    /// # Errors
    /// A text, when data do not fit their shape.
    pub fn state(&self, float: Kind, device: Device) -> Result<State, String> {
        let mut state = State::default();
        for (name, Array { shape, data }) in &self.parameters {
            fits(&format!("parameter `{name}`"), data, float)?;
            let tensor = tensor(data, shape, float)
                .and_then(|tensor| tensor.f_to_device(device)?.f_requires_grad_(true))
                .map_err(|error| text(&format!("parameter `{name}`"), &error))?;
            state.parameters.insert(name.clone(), StateParameter { tensor, learning_rate_multiplier: 1.0 });
        }
        Ok(state)
    }

    /// The number of classes.
    fn classes(&self) -> Result<i64, String> {
        if self.labels.is_empty() {
            return Err("`labels` is empty: a batch has at least one image".into());
        }
        let wrong = |&(_, label): &(usize, &i64)| !(0..MOST_CLASSES).contains(label);
        if let Some((position, label)) = self.labels.iter().enumerate().find(wrong) {
            return Err(format!(
                "label {label} at position {position}: labels are classes, from 0 to {}; give the ids 0, 1, 2, .. \
                 instead",
                MOST_CLASSES - 1
            ));
        }
        let counted = self.labels.iter().max().map_or(0, |last| last + 1);
        match self.class_count {
            None => Ok(counted),
            Some(count) if (counted..=MOST_CLASSES).contains(&count) => Ok(count),
            Some(count) => {
                Err(format!("`class-count` is {count}: it must be from {counted}, for the labels, to {MOST_CLASSES}"))
            }
        }
    }

    fn check_tuples(&self, parts: &[Vec<i64>]) -> Result<(), String> {
        let are_even = match parts {
            [a, p, n] => a.len() == p.len() && a.len() == n.len(),
            [a, p, b, n] => a.len() == p.len() && b.len() == n.len(),
            _ => return Err("`tuples` must be three lists (triplets) or four (pairs)".into()),
        };
        if !are_even {
            return Err(
                "`tuples`: anchors, positives and negatives that belong together must be lists of one length".into()
            );
        }
        let size = self.labels.len() as i64;
        match parts.iter().flatten().find(|position| !(0..size).contains(*position)) {
            Some(position) => Err(format!("`tuples`: {position} is no position in the batch, from 0 to {}", size - 1)),
            None => Ok(()),
        }
    }

    fn matrix(&self, name: &str, rows: &[Vec<f64>]) -> Result<Tensor, String> {
        let columns = rows.first().map_or(0, Vec::len);
        if rows.len() != self.labels.len() || rows.iter().any(|row| row.len() != columns) {
            let wanted = self.labels.len();
            return Err(format!("`{name}` must be {wanted} rows of one length, as there are {wanted} labels"));
        }
        if columns == 0 {
            return Err(format!("`{name}`: a row has at least one number"));
        }
        tensor(&rows.concat(), &[rows.len() as i64, columns as i64], Kind::Double).map_err(|error| text(name, &error))
    }
}

/// An error where a number would be infinite.
fn fits(what: &str, data: &[f64], float: Kind) -> Result<(), String> {
    match data.iter().find(|number| float == Kind::Float && !(**number as f32).is_finite()) {
        Some(number) => Err(format!("{what}: {number:e} is beyond 32 bits; take 64 with --dtype f64")),
        None => Ok(()),
    }
}

fn tensor(data: &[f64], shape: &[i64], kind: Kind) -> Result<Tensor, TchError> {
    Tensor::f_from_slice(data)?.f_reshape(shape)?.f_to_kind(kind)
}

fn text(what: &str, error: &TchError) -> String {
    format!("{what}: {}", error.to_string().lines().next().unwrap_or_default())
}
