//! `journal.jsonl`: what happened to a run.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Change, PluginEntry, Process};

/// An event and when it happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Time of the event, in UTC.
    pub time: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What can happen to a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A process began to train.
    Started {
        /// Which one; none if the system does not tell.
        process: Option<Process>,
    },
    /// Several processes began to train it together.
    Ranks {
        /// How many.
        size: usize,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// Epochs that are complete.
        epoch: u64,
        /// Steps that are complete.
        step: u64,
        /// Name of the file in `checkpoints/`.
        file: String,
        /// Whether it is the best one so far.
        best: bool,
    },
    /// The training is complete.
    Finished {
        /// Epochs that are complete.
        epoch: u64,
        /// Steps that are complete.
        step: u64,
    },
    /// The training ends before its last epoch: it did not get better any more.
    StoppedEarly {
        /// Epochs that are complete.
        epoch: u64,
        /// Steps that are complete.
        step: u64,
        /// The metric, as `validation/map-at-r`.
        metric: String,
        /// Evaluations since the best one.
        evaluations: u64,
    },
    /// Somebody stopped the training; it can be continued.
    Interrupted {
        /// Epochs that are complete.
        epoch: u64,
        /// Steps that are complete.
        step: u64,
    },
    /// The training stopped with an error.
    Failed {
        /// The error, in one line.
        error: String,
    },
    /// Somebody wants other strategies or settings. What is wanted is in `revisions/NUMBER` once it could be loaded.
    Candidate {
        /// Its number; a candidate that is taken is the revision of this number.
        number: u64,
        /// Where it comes from: names of changed files, or a command such as `set optimizer.learning-rate=0.01`.
        origin: String,
    },
    /// What the checks said about a candidate.
    Verdict {
        /// The candidate.
        number: u64,
        /// What was found.
        #[serde(flatten)]
        verdict: Verdict,
    },
    /// From this epoch on the run trains with another revision.
    Swap {
        /// The revision.
        revision: u64,
        /// Epochs that were complete.
        epoch: u64,
        /// Steps that were complete.
        step: u64,
        /// What changed in the experiment.
        changes: Vec<Change>,
        /// All components from now on.
        plugins: Vec<PluginEntry>,
    },
    /// A revision failed, or somebody wants its weights undone, too: the run goes on from the start of an epoch with
    /// the one before.
    Rollback {
        /// The revision that failed or was reverted.
        revision: u64,
        /// The one before.
        to: u64,
        /// Epochs that are complete, again.
        epoch: u64,
        /// Steps that are complete, again.
        step: u64,
        /// The step in which it failed.
        failed_at: u64,
        /// What happened.
        reason: String,
        /// SHA-256 of the components that are refused until their files change; of the experiment, where no component
        /// is new. None where it was reverted by a command.
        quarantined: Vec<String>,
        /// All components from now on.
        plugins: Vec<PluginEntry>,
    },
    /// The run goes on with data that is not what it was trained on before.
    DataChanged {
        /// Epochs that were complete; the next one begins here.
        epoch: u64,
        /// Steps that were complete.
        step: u64,
        /// Digest of the data from now on.
        data: String,
        /// What changed, a line each.
        changes: Vec<String>,
    },
    /// The data lies elsewhere.
    DataMoved {
        /// Where.
        path: PathBuf,
    },
    /// A command from outside.
    Control {
        /// Its words: `pause`.
        command: String,
    },
}

/// What the checks said about a candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// It is taken at the next epoch.
    Accepted {
        /// What changes in the experiment.
        changes: Vec<Change>,
        /// All components.
        plugins: Vec<PluginEntry>,
        /// How it did on a batch of the run.
        canary: Canary,
        /// Names of kept tensors that begin anew, as `objective.0.loss/proxies`.
        reset: Vec<String>,
        /// From the request to the verdict.
        milliseconds: f64,
    },
    /// What is at work stays.
    Refused {
        /// Why.
        reason: String,
        /// What to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        help: Option<String>,
    },
    /// It is what is at work already.
    Same,
    /// A later one took its place before it was taken.
    Superseded,
}

/// A candidate and what is at work, on one batch of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Canary {
    /// The candidate's loss; none of a strategy that was tried by itself.
    pub loss: Option<f64>,
    /// The loss of what is at work; none if it fails on this batch.
    pub live_loss: Option<f64>,
    /// Cosine of their gradients with respect to the embeddings; none if one of them is 0.
    pub cosine: Option<f64>,
    /// Time of the candidate's forward and backward pass.
    pub milliseconds: f64,
}

impl Canary {
    /// Whether the candidate's gradient points away from that of what is at work.
    #[must_use]
    pub fn points_away(&self) -> bool {
        self.cosine.is_some_and(|cosine| cosine < 0.0)
    }
}

impl Event {
    /// Epochs and steps that were complete when it happened, if it says so.
    pub(super) fn progress(&self) -> Option<(u64, u64)> {
        match *self {
            Self::Checkpoint { epoch, step, .. }
            | Self::Finished { epoch, step }
            | Self::StoppedEarly { epoch, step, .. }
            | Self::Interrupted { epoch, step }
            | Self::DataChanged { epoch, step, .. } => Some((epoch, step)),
            Self::Started { .. }
            | Self::Ranks { .. }
            | Self::Failed { .. }
            | Self::Candidate { .. }
            | Self::Verdict { .. }
            | Self::Swap { .. }
            | Self::Rollback { .. }
            | Self::DataMoved { .. }
            | Self::Control { .. } => None,
        }
    }
}
