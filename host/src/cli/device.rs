//! The option `--device` of commands that have no experiment.

use clap::Args;
use tch::Device;

use super::error::CliError;
use crate::experiment::DeviceChoice;
use crate::train::TrainingError;

/// What to compute on.
#[derive(Args, Debug)]
pub(super) struct DeviceArgs {
    /// The device to compute on: `cpu`, `cuda:0`, or `auto`.
    #[arg(long, value_parser = choice, default_value = "cpu")]
    device: DeviceChoice,
}

impl DeviceArgs {
    /// The device, an error if there is none such.
    pub(super) fn find(&self) -> Result<Device, CliError> {
        Ok(self.device.find().map_err(TrainingError::from)?)
    }
}

/// Reads the value of `--device`.
pub(super) fn choice(text: &str) -> Result<DeviceChoice, String> {
    DeviceChoice::try_from(text.to_owned())
}
