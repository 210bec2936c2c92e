//! The `[run]` table of an experiment file.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a training writes, where, and how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RunConfig {
    /// The folder that run directories are made in; relative to where the command is started. Default "runs".
    pub directory: PathBuf,
    /// Epochs from one checkpoint to the next, at least 1. Default 1.
    pub checkpoint_every: NonZeroUsize,
    /// Steps from one checkpoint inside an epoch to the next; each replaces the one before. Default: none inside an
    /// epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_steps: Option<NonZeroUsize>,
    /// How many of the last checkpoints are kept, at least 1. The best one is kept besides. Default 3.
    pub keep: NonZeroUsize,
    /// Steps from one row of training metrics to the next, at least 1. Default 50.
    pub log_every: NonZeroUsize,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("runs"),
            checkpoint_every: NonZeroUsize::MIN,
            checkpoint_steps: None,
            keep: NonZeroUsize::MIN.saturating_add(2),
            log_every: NonZeroUsize::MIN.saturating_add(49),
        }
    }
}
