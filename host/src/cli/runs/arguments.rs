//! What several commands are given: a run, a checkpoint of it, a part of its data, and where that is.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::output;
use crate::data::PartName;
use crate::experiment::DeviceChoice;
use crate::train::{Elsewhere, Trained};
use lossmith_plugin::Runtime;

/// A run, a checkpoint of it, and a part of its data.
#[derive(Args, Debug)]
pub(super) struct Which {
    /// The run's folder.
    run: PathBuf,
    /// The part of the data.
    #[arg(long, value_enum, default_value_t = PartName::Test)]
    part: PartName,
    /// The checkpoint: `best`, `last`, or an epoch.
    #[arg(long, default_value = "best")]
    checkpoint: String,
    #[command(flatten)]
    site: SiteArgs,
}

/// Where the run's data is, and what to compute on.
#[derive(Args, Debug)]
pub(super) struct SiteArgs {
    /// Where the data of the run is now, if it was moved.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// The device to compute on: `auto`, `cpu`, `cuda:0`. Default: that of the run.
    #[arg(long, value_parser = device)]
    device: Option<DeviceChoice>,
    /// Take data that changed since the run was trained.
    #[arg(long)]
    accept_changes: bool,
}

impl SiteArgs {
    pub(super) fn elsewhere(&self) -> Elsewhere {
        let Self { data, device, accept_changes } = self;
        Elsewhere { data: data.clone(), device: device.clone(), accept_changes: *accept_changes }
    }
}

fn device(text: &str) -> Result<DeviceChoice, String> {
    DeviceChoice::try_from(text.to_owned())
}

/// What somebody should know about the data of a run before reading what was made of it.
pub(super) fn tell_of_data(trained: &Trained) -> Result<(), CliError> {
    for change in trained.data_changes() {
        output::line(&format!("the data changed since the training: {change}"))?;
    }
    for warning in trained.data_warnings() {
        output::line(&format!("the data: {warning}"))?;
    }
    Ok(())
}

pub(super) fn open(which: &Which) -> Result<(Trained, PartName), CliError> {
    let runtime = Arc::new(Runtime::new().map_err(CliError::engine)?);
    Ok((Trained::open(&which.run, &which.checkpoint, &which.site.elsewhere(), runtime)?, which.part))
}
