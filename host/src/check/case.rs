//! A batch that a user wrote down as JSON: the input of `plugin eval`, and of `plugin check --batch`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use tch::{Kind, TchError, Tensor};

use super::batch::Batch;
use crate::plugin::{Input, State, StateParameter, Value};

/// A batch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Case {
    /// B rows of D numbers.
    pub embeddings: Vec<Vec<f64>>,
    /// B classes, from 0.
    pub labels: Vec<i64>,
    /// B rows of numbers.
    pub teacher: Option<Vec<Vec<f64>>>,
    /// One for each slice.
    pub thresholds: Option<Vec<f64>>,
    /// Three index lists: triplets; four: pairs.
    pub tuples: Option<Vec<Vec<i64>>>,
    /// Trainable tensors of the strategy.
    #[serde(default)]
    pub parameters: BTreeMap<String, Array>,
    /// Number of training classes; by default one more than the largest label.
    pub class_count: Option<i64>,
    /// For a transfer: the balance that weighs its pair losses.
    pub balance: Option<BalanceCase>,
    /// What a strategy should make of it.
    pub expect: Option<Expected>,
}

/// A tensor.
#[derive(Debug, Deserialize)]
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
    #[serde(default)]
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
    /// As a strategy is given it, with embeddings that require a gradient.
    ///
    /// # Errors
    /// A text, when rows do not fit the labels, or tuples are neither triplets nor pairs.
    pub fn input(&self, float: Kind) -> Result<Input, String> {
        self.batch()?.input(float).map_err(|error| text("it", &error))
    }

    pub(super) fn batch(&self) -> Result<Batch, String> {
        if self.tuples.as_ref().is_some_and(|parts| ![3, 4].contains(&parts.len())) {
            return Err("`tuples` must be three lists (triplets) or four (pairs)".into());
        }
        let thresholds = self.thresholds.clone().unwrap_or_default();
        let counted = self.labels.iter().max().map_or(0, |last| last + 1);
        Ok(Batch {
            embeddings: self.matrix("embeddings", &self.embeddings)?,
            labels: self.labels.clone(),
            class_count: self.class_count.unwrap_or(counted),
            teacher: self.teacher.as_ref().map(|rows| self.matrix("teacher", rows)).transpose()?,
            slice_count: thresholds.len().max(1) as i64,
            thresholds,
            feature_maps: None,
            tuples: self.tuples.clone(),
        })
    }

    /// The trainable tensors, as a slot keeps them.
    ///
    /// # Errors
    /// A text, when data do not fit their shape.
    pub fn state(&self, float: Kind) -> Result<State, String> {
        let mut state = State::default();
        for (name, Array { shape, data }) in &self.parameters {
            let tensor = tensor(data, shape, float)
                .and_then(|mut tensor| tensor.f_requires_grad_(true))
                .map_err(|error| text(&format!("parameter `{name}`"), &error))?;
            state.parameters.insert(name.clone(), StateParameter { tensor, learning_rate_multiplier: 1.0 });
        }
        Ok(state)
    }

    fn matrix(&self, name: &str, rows: &[Vec<f64>]) -> Result<Tensor, String> {
        let columns = rows.first().map_or(0, Vec::len);
        if rows.len() != self.labels.len() || rows.iter().any(|row| row.len() != columns) {
            let wanted = self.labels.len();
            return Err(format!("`{name}` must be {wanted} rows of one length, as there are {wanted} labels"));
        }
        tensor(&rows.concat(), &[rows.len() as i64, columns as i64], Kind::Double).map_err(|error| text(name, &error))
    }
}

fn tensor(data: &[f64], shape: &[i64], kind: Kind) -> Result<Tensor, TchError> {
    Tensor::f_from_slice(data)?.f_reshape(shape)?.f_to_kind(kind)
}

fn text(what: &str, error: &TchError) -> String {
    format!("{what}: {}", error.to_string().lines().next().unwrap_or_default())
}
