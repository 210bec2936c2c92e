//! `journal.jsonl`: what happened to a run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Process;

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
#[non_exhaustive]
pub enum Event {
    /// A process began to train.
    Started {
        /// Which one; none if the system does not tell.
        process: Option<Process>,
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
}

impl Event {
    /// Epochs and steps that were complete when it happened, if it says so.
    pub(super) fn progress(&self) -> Option<(u64, u64)> {
        match *self {
            Self::Checkpoint { epoch, step, .. }
            | Self::Finished { epoch, step }
            | Self::Interrupted { epoch, step } => Some((epoch, step)),
            Self::Started { .. } | Self::Failed { .. } => None,
        }
    }
}
