//! A run's network, to measure and to use.

use std::path::Path;
use std::sync::Arc;

use lossmith_plugin::{Progress, Runtime};
use tch::Tensor;

use super::assembly::{Assembly, below, images, kept};
use super::location::{Accepting, CHANGED_PARTS, Elsewhere, changed};
use super::revisions::revision_of;
use super::training_error::TrainingError;
use crate::data::{Dataset, Part, PartName};
use crate::eval::{Evaluation, EvaluationConfig, Watch};
use crate::run::{self, Run};

/// An image of a part of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The path of its file; its number in the data where the data is in no image files.
    pub name: String,
    /// The name of its class.
    pub class: String,
    /// The number of its class.
    pub label: i64,
}

/// The network of a run as of a checkpoint, with the run's data.
pub struct Trained {
    assembly: Assembly,
    progress: Progress,
    changes: Vec<String>,
    /// The epoch after which the run went on with changed data last, if it did.
    changed_after: Option<u64>,
}

impl Trained {
    /// Opens a run at a checkpoint: `best` (the last where there is none), `last`, or the number of an epoch.
    ///
    /// # Errors
    /// When the folder is no run, the checkpoint is not there, or what the run kept is damaged.
    pub fn open(
        path: &Path,
        checkpoint: &str,
        elsewhere: &Elsewhere,
        runtime: Arc<Runtime>,
    ) -> Result<Self, TrainingError> {
        let run = Run::open(path)?;
        let checkpoint = run::load_checkpoint(&run.checkpoint(checkpoint)?)?;
        let (mut assembly, _) = kept(&run, revision_of(&run, checkpoint.step)?, runtime, elsewhere, true)?;
        let changes = changed(&run, &assembly.dataset, elsewhere.accept_changes, Accepting::Measures)?;
        assembly.model.load_state(&below(&checkpoint.tensors, "model/"))?;
        assembly.load_fusion(&checkpoint.tensors)?;
        let epochs = assembly.experiment.epochs;
        let progress = Progress { epoch: checkpoint.epoch, epochs, step: checkpoint.step, ..Progress::default() };
        let history = run.data_history()?;
        let changed_after = history.changes.range(..=checkpoint.step).next_back().map(|(_, (epoch, _))| *epoch);
        Ok(Self { assembly, progress, changes, changed_after })
    }

    /// Epochs of the checkpoint.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.progress.epoch
    }

    /// What changed in the data since the run was trained, in lines; empty if nothing did.
    #[must_use]
    pub fn data_changes(&self) -> &[String] {
        &self.changes
    }

    /// What somebody should know about the data, in lines.
    #[must_use]
    pub fn data_warnings(&self) -> Vec<String> {
        let mut warnings = self.assembly.data_warnings();
        if let Some(epoch) = self.changed_after {
            warnings.push(format!("the run went on with changed data after epoch {epoch}: {CHANGED_PARTS}"));
        }
        warnings
    }

    /// Names of the classes that labels stand for.
    #[must_use]
    pub fn class_names(&self) -> &[String] {
        self.assembly.dataset.class_names()
    }

    /// The data.
    #[must_use]
    pub fn dataset(&self) -> &Dataset {
        &self.assembly.dataset
    }

    /// A part of the data.
    #[must_use]
    pub fn images(&self, part: PartName) -> &Part {
        images(&self.assembly.dataset, part)
    }

    /// The images of a part of the data, in the order of [`Trained::embed`].
    #[must_use]
    pub fn listed(&self, part: PartName) -> Vec<Image> {
        let dataset = &self.assembly.dataset;
        let part = images(dataset, part);
        let image = |(index, label): (&usize, &i64)| Image {
            name: dataset.file(*index).map_or_else(|| index.to_string(), |path| path.display().to_string()),
            class: dataset.class_name(*label).to_owned(),
            label: *label,
        };
        part.indices().iter().zip(part.labels()).map(image).collect()
    }

    /// How the embeddings are measured.
    #[must_use]
    pub fn evaluation(&self) -> &EvaluationConfig {
        &self.assembly.experiment.evaluation
    }

    /// Measures a part of the data; `watch` is told how far it is.
    ///
    /// # Errors
    /// When the part is empty, or an image, a strategy or the measurement fails.
    pub fn evaluate(&mut self, part: PartName, watch: &mut Watch<'_>) -> Result<Evaluation, TrainingError> {
        self.assembly.evaluate(part, &self.progress, None, watch)?.ok_or(TrainingError::EmptyPart)
    }

    /// Embeddings (N x D) and labels (N) of a part of the data.
    ///
    /// # Errors
    /// When the part is empty, or an image or a strategy fails.
    pub fn embed(&mut self, part: PartName) -> Result<(Tensor, Tensor), TrainingError> {
        self.assembly.embed(part, &self.progress)
    }
}
