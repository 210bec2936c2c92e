//! A run's network by itself, for use elsewhere: the run's data is not needed.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use tch::{Device, Tensor};

use super::assembly::below;
use super::location::same_files;
use super::revisions::revision_of;
use super::training_error::TrainingError;
use crate::eval::Distance;
use crate::experiment::{Precision, Source};
use crate::model::{Model, ModelConfig};
use crate::run::{self, Preprocessing, Run};

/// The network of a run as a checkpoint has it.
#[derive(Debug)]
pub struct TrainedNetwork {
    /// What it is.
    pub description: Description,
    /// Its parameters and buffers by name, on the CPU: `backbone.conv1.weight`.
    pub state: BTreeMap<String, Tensor>,
}

/// What must be known to use a network.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Description {
    /// The folder of the run, without those above it.
    pub run: String,
    /// Epochs of the checkpoint.
    pub epoch: u64,
    /// Steps of the checkpoint.
    pub step: u64,
    /// The network. No file of weights is named: the checkpoint has them.
    pub model: ModelConfig,
    /// How an image becomes its input.
    pub preprocessing: Preprocessing,
    /// Arithmetic in which it was trained and measured.
    pub precision: Precision,
    /// The distance of embeddings that was measured.
    pub distance: Distance,
    /// The strategy that makes one embedding of the slices, which is no part of the network; none where the embedding
    /// is used as it is.
    pub fusion: Option<String>,
}

impl TrainedNetwork {
    /// Reads the checkpoint of a run: `best` (the last where there is none), `last`, or the number of an epoch.
    ///
    /// # Errors
    /// When the folder is no run, the checkpoint is not there, what the run kept is damaged, or the TorchScript module
    /// that the network is made of is gone or another one.
    pub fn open(path: &Path, checkpoint: &str) -> Result<Self, TrainingError> {
        let run = Run::open(path)?;
        let checkpoint = run::load_checkpoint(&run.checkpoint(checkpoint)?)?;
        let revision = run.revision(revision_of(&run, checkpoint.step)?)?;
        let experiment = Source::read(&revision.experiment, &[])?.parse()?;
        same_files(&run, &experiment, true)?;
        if let Some(module) = experiment.model.path.clone().filter(|module| !module.is_file()) {
            return Err(TrainingError::RunModule { run: path.to_owned(), path: module });
        }
        let preprocessing = run.manifest()?.preprocessing.unwrap_or_else(|| {
            let preparation = experiment.data.preparation();
            Preprocessing::new(preparation.size(), preparation.mean(), preparation.std())
        });
        let description = Description {
            run: run.name(),
            epoch: checkpoint.epoch,
            step: checkpoint.step,
            model: ModelConfig { weights: None, ..experiment.model },
            preprocessing,
            precision: experiment.precision,
            distance: experiment.evaluation.distance,
            fusion: experiment.fusion.map(|fusion| fusion.strategy),
        };
        Ok(Self { description, state: below(&checkpoint.tensors, "model/") })
    }

    /// The network, on the CPU.
    ///
    /// # Errors
    /// When the state is not that of the network.
    pub fn model(&self) -> Result<Model, TrainingError> {
        let Preprocessing { channels, size, .. } = self.description.preprocessing;
        let model = Model::new(&self.description.model, channels as i64, size as i64, Device::Cpu, 0)?;
        model.load_state(&self.state)?;
        Ok(model)
    }
}
