//! Arguments that several commands have: a run, a checkpoint of it, a part of its data, and where that is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use crate::cli::device::choice;
use crate::cli::error::CliError;
use crate::cli::output;
use crate::data::PartName;
use crate::experiment::DeviceChoice;
use crate::train::{Elsewhere, Trained, TrainingError};
use lossmith_plugin::Runtime;

/// A run with a checkpoint of it and a part of its data.
#[derive(Args, Debug)]
pub(super) struct TrainedArgs {
    /// The run's folder.
    run: PathBuf,
    #[command(flatten)]
    checkpoint: CheckpointArgs,
}

/// A checkpoint of a run and a part of the run's data.
#[derive(Args, Debug)]
pub(super) struct CheckpointArgs {
    /// The part of the data.
    #[arg(long, value_enum, default_value_t = PartName::Test)]
    pub(super) part: PartName,
    /// The checkpoint: `best`, `last`, or an epoch.
    #[arg(long, default_value = "best")]
    checkpoint: String,
    #[command(flatten)]
    site: SiteArgs,
}

/// Where the run's data is, and what to compute on.
#[derive(Args, Debug)]
struct SiteArgs {
    /// Where the data of the run is now, if it was moved.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// The device to compute on: `auto`, `cpu`, `cuda:0`. Default: that of the run.
    #[arg(long, value_parser = choice)]
    device: Option<DeviceChoice>,
    /// Take data that changed since the run was trained.
    #[arg(long)]
    accept_changes: bool,
}

impl SiteArgs {
    fn elsewhere(&self) -> Elsewhere {
        let Self { data, device, accept_changes } = self;
        Elsewhere { data: data.clone(), device: device.clone(), accept_changes: *accept_changes }
    }
}

impl TrainedArgs {
    /// Opens the run at the checkpoint, and says which part is meant.
    pub(super) fn open(&self) -> Result<(Trained, PartName), CliError> {
        let runtime = Arc::new(Runtime::new().map_err(CliError::engine)?);
        Ok((self.checkpoint.open(&self.run, runtime)?, self.checkpoint.part))
    }
}

impl CheckpointArgs {
    /// Opens a run at the checkpoint.
    pub(super) fn open(&self, run: &Path, runtime: Arc<Runtime>) -> Result<Trained, TrainingError> {
        Trained::open(run, &self.checkpoint, &self.site.elsewhere(), runtime)
    }
}

/// Changes of a run's data since the training, and warnings about it, a line each.
pub(super) fn data_remarks(trained: &Trained) -> Vec<String> {
    let changes = trained.data_changes().iter().map(|change| format!("the data changed since the training: {change}"));
    let warnings = trained.data_warnings().into_iter().map(|warning| format!("the data: {warning}"));
    changes.chain(warnings).collect()
}

/// Prints the remarks on a run's data.
pub(super) fn print_data_remarks(trained: &Trained) -> Result<(), CliError> {
    data_remarks(trained).iter().try_for_each(|remark| output::line(remark))
}
