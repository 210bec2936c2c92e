//! Errors of a training.

use std::path::PathBuf;

use lossmith_plugin::candidate::ProbationError;
use lossmith_plugin::objective::{Batch, ComputeError, Objectives};
use lossmith_plugin::{PluginError, Progress, is_exhausted};
use miette::Diagnostic;

use super::TrainError;
use crate::data::{DataError, PartName};
use crate::eval::EvalError;
use crate::experiment::{DeviceError, ExperimentError};
use crate::model::ModelError;
use crate::objective::ObjectiveError;
use crate::ranks::RanksError;
use crate::run::{RecordError, RunError};
use crate::session::SessionError;
use crate::teacher::TeacherError;

/// What ended a training.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum TrainingError {
    /// The experiment file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Experiment(#[from] ExperimentError),
    /// The data.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Data(#[from] DataError),
    /// The network.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Model(#[from] ModelError),
    /// The teacher of a transfer.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Teacher(#[from] TeacherError),
    /// The optimizer.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Optimizer(#[from] TrainError),
    /// A loss, a miner, or another strategy.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Objective(#[from] ObjectiveError),
    /// The evaluation.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Evaluation(#[from] EvalError),
    /// The run's folder.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Run(#[from] RecordError),
    /// The metric that is to mark the best checkpoint is not among those that were measured.
    #[error("`evaluation.best` is `{metric}`, which is not measured")]
    #[diagnostic(help("{}", best_help(metric, measured)))]
    NotMeasured {
        /// The metric.
        metric: String,
        /// What was measured of the validation part.
        measured: Vec<String>,
    },
    /// A gradient that is not finite. The weights are as before its step.
    #[error(
        "the gradient's norm is {value} at step {step}{}",
        origin.as_ref().map(|origin| format!(": {origin}")).unwrap_or_default()
    )]
    #[diagnostic(help("lower the learning rate, or look for a division by zero or a square root at zero in the loss"))]
    Gradient {
        /// The norm.
        value: f64,
        /// The step of the run, from 0.
        step: u64,
        /// The operation of a strategy that made something that is not finite first, if it can be told.
        origin: Option<String>,
    },
    /// The network gave what is not finite, and a strategy made of it what it must.
    #[error("the network gives embeddings that are not finite at step {step}")]
    #[diagnostic(help(
        "no strategy is at fault: the training has diverged, or the network's own module gives NaN; try a lower \
         learning rate or gradient clipping"
    ))]
    Network {
        /// The step of the run, from 0.
        step: u64,
    },
    /// A loss that is not finite, seen at the end of a logging interval: on a device other than the CPU nothing looks
    /// earlier.
    #[error("the mean loss of the steps before step {step} is {value}")]
    #[diagnostic(help(
        "the checkpoints from before are good; lower the learning rate, or look for a division by zero in the loss"
    ))]
    Loss {
        /// The mean.
        value: f64,
        /// The step of the run, from 0.
        step: u64,
    },
    /// A loss that grew too much in the first steps of a revision.
    #[error("the loss is {value} at step {step}, above the bound {bound}")]
    #[diagnostic(help("`session.divergence` is the bound, as a multiple of the loss before"))]
    Divergence {
        /// The loss.
        value: f64,
        /// The bound.
        bound: f64,
        /// The step of the run, from 0.
        step: u64,
    },
    /// A run that goes on would change.
    #[error("this would go on with another configuration:\n{changes}")]
    #[diagnostic(help(
        "`--accept-changes` takes it from the next epoch on; without `--set` and without a file the run goes on as it \
         was"
    ))]
    Changed {
        /// What would change, a line each.
        changes: String,
    },
    /// A change that a run cannot take.
    #[error("{change}: this cannot change in a run that goes on: {reason}")]
    #[diagnostic(help("`lossmith train --from RUN@EPOCH --set KEY=VALUE` starts a branch with it"))]
    Fixed {
        /// The change.
        change: String,
        /// Why not.
        reason: &'static str,
    },
    /// The other ranks.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Ranks(#[from] RanksError),
    /// The session of a training.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Session(#[from] SessionError),
    /// The experiment cannot be written as TOML.
    #[error("the experiment cannot be written down: {0}")]
    Toml(#[from] toml::ser::Error),
    /// A run that goes on elsewhere.
    #[error("another process is training this run: {}", run.display())]
    #[diagnostic(help("wait until it is done, or stop it"))]
    AtWork {
        /// The run's folder.
        run: PathBuf,
    },
    /// The data is not what it was.
    #[error("the data is not what the run was trained on: its digest is {found}, and was {expected}{changes}")]
    #[diagnostic(help("{advice}"))]
    OtherData {
        /// Digest of the data that is there.
        found: String,
        /// Digest of what the run was trained on.
        expected: String,
        /// What changed, a line each, after a line break.
        changes: String,
        /// What can be done.
        advice: String,
    },
    /// The data of a run cannot be opened.
    #[error("the data of {} cannot be opened", run.display())]
    #[diagnostic(help("if it lies elsewhere now, `--data PATH` says where"))]
    RunData {
        /// The run's folder.
        run: PathBuf,
        /// Why.
        source: DataError,
    },
    /// The TorchScript module of a run is not there any more.
    #[error("the TorchScript module that {} was trained with is gone: {}", run.display(), path.display())]
    #[diagnostic(help("a checkpoint has its weights but not its code: put the file back"))]
    RunModule {
        /// The run's folder.
        run: PathBuf,
        /// Where the module was.
        path: PathBuf,
    },
    /// A run that has come to its end, and nothing to go on with.
    #[error(
        "{} is finished after epoch {epochs}{}{changes}",
        run.display(),
        if changes.is_empty() { "" } else { "; this gives it nothing to go on with:" }
    )]
    #[diagnostic(help(
        "`lossmith train --resume {0} --set {way}=NUMBER --accept-changes` goes on; `lossmith train --from {0}@last \
         --set KEY=VALUE` starts a branch; `lossmith eval {0}` measures it", run.display()
    ))]
    Finished {
        /// The run's folder.
        run: PathBuf,
        /// Epochs that are complete.
        epochs: u64,
        /// The key that can give it more.
        way: &'static str,
        /// What would change, a line each, after a line break.
        changes: String,
    },
    /// A branch that would be measured on what its origin was trained on.
    #[error("{run} was trained on {count} of the {of} {what} of this branch's {part} part")]
    #[diagnostic(help("{advice}"))]
    Seen {
        /// The name of the origin.
        run: String,
        /// How many of the part it was trained on.
        count: usize,
        /// Of how many.
        of: usize,
        /// What is counted.
        what: &'static str,
        /// The part.
        part: PartName,
        /// How to keep the split.
        advice: String,
    },
    /// A branch without an epoch to train.
    #[error("{run} has trained {epoch} epochs where the branch begins, and `epochs` is {epochs}: none is left")]
    #[diagnostic(help("`epochs` counts those of the origin, too: `--set epochs={}` or more", epoch.saturating_add(1)))]
    NoEpochs {
        /// The name of the origin.
        run: String,
        /// Its epochs.
        epoch: u64,
        /// The epochs of the branch.
        epochs: u64,
    },
    /// A part of the data without images.
    #[error("this part of the data has no images")]
    EmptyPart,
    /// There is no such device.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Device(#[from] DeviceError),
    /// A tensor operation of the host.
    #[error("libtorch: {}", lossmith_plugin::brief(.0))]
    Tensor(tch::TchError),
}

// Its text is told in brief, so it is no source, which would be told in full.
impl From<tch::TchError> for TrainingError {
    fn from(error: tch::TchError) -> Self {
        Self::Tensor(error)
    }
}

impl TrainingError {
    /// What is wrong with the experiment file, if that is at fault.
    pub(crate) fn of_experiment(&self) -> Option<&ExperimentError> {
        match self {
            Self::Experiment(error) | Self::Objective(ObjectiveError::Experiment(error)) => Some(error),
            _ => None,
        }
    }

    /// Whether a strategy is at fault.
    pub(super) fn is_of_a_strategy(&self) -> bool {
        match self {
            Self::Objective(ObjectiveError::Plugin(error)) => !error.is_of_the_machine(),
            // A network whose embeddings are not finite may have learned that from a strategy.
            Self::Objective(_)
            | Self::Gradient { .. }
            | Self::Loss { .. }
            | Self::Divergence { .. }
            | Self::Network { .. }
            | Self::Ranks(RanksError::Fault { .. }) => true,
            _ => false,
        }
    }
}

impl TrainingError {
    /// What a failed backward pass is: the fault of the strategy whose graph it is, where one is found. A machine
    /// without memory is no strategy's fault.
    pub(super) fn of_backward(
        objectives: &mut Objectives,
        batch: &Batch,
        progress: &Progress,
        error: tch::TchError,
    ) -> Self {
        if is_exhausted(&error.to_string()) {
            return error.into();
        }
        match objectives.culprit(batch, progress) {
            Ok(Some(culprit)) => culprit.into(),
            Ok(None) | Err(_) => error.into(),
        }
    }
}

impl From<ProbationError> for TrainingError {
    fn from(error: ProbationError) -> Self {
        match error {
            ProbationError::NotFinite { value, step } => Self::Loss { value, step },
            ProbationError::Divergence { value, bound, step } => Self::Divergence { value, bound, step },
            ProbationError::Tensor(error) => error.into(),
        }
    }
}

impl From<ComputeError> for TrainingError {
    fn from(error: ComputeError) -> Self {
        Self::Objective(error.into())
    }
}

impl From<PluginError> for TrainingError {
    fn from(error: PluginError) -> Self {
        Self::Objective(error.into())
    }
}

fn best_help(metric: &str, measured: &[String]) -> String {
    match lossmith_plugin::suggest::nearest(metric, measured) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("measured: {}", measured.join(", ")),
    }
}

impl From<RunError> for TrainingError {
    fn from(error: RunError) -> Self {
        Self::Run(error.into())
    }
}
