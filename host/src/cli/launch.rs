//! `lossmith launch`.

use std::ffi::OsString;
use std::num::NonZeroUsize;

use clap::Args;

use super::error::CliError;
use super::local_ranks::LocalRanks;
use crate::started;

/// Train with several processes on this machine: what follows is given to `lossmith train` of each.
///
/// It does what torchrun does for one machine. Signals are handed on to rank 0, which decides for all.
#[derive(Args, Debug)]
pub(super) struct LaunchArgs {
    /// How many processes.
    #[arg(short = 'n', long, value_name = "NUMBER")]
    ranks: NonZeroUsize,
    /// The arguments of `lossmith train`.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    train: Vec<OsString>,
}

pub(super) fn launch(args: &LaunchArgs, json: bool) -> Result<(), CliError> {
    let command = || {
        let mut command = started::program()?;
        command.args(json.then_some("--json")).arg("train").args(&args.train);
        Ok(command)
    };
    LocalRanks::start(args.ranks, command)?.wait()
}
