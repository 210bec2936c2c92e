//! Commands on runs: list, show, compare and repeat them, and use their networks.

mod arguments;
mod curves;
mod diff;
mod embed;
mod eval;
mod eval_progress;
mod export;
mod list;
mod replay;
mod retrieve;
mod show;

use std::path::PathBuf;

use clap::Subcommand;

use super::error::CliError;

pub(super) use embed::{EmbedArgs, embed};
pub(super) use eval::{EvalArgs, eval};
pub(super) use export::{ExportArgs, export};
pub(super) use replay::{ReplayArgs, replay};
pub(super) use retrieve::{RetrieveArgs, retrieve};

/// Look at runs.
#[derive(Subcommand, Debug)]
pub(super) enum RunsCommand {
    /// List the runs in a folder and in those below it.
    List {
        /// The folder.
        #[arg(default_value = "runs")]
        directory: PathBuf,
    },
    /// Show what a run is and what it measured.
    Show {
        /// The run's folder.
        run: PathBuf,
    },
    Diff(diff::DiffArgs),
}

pub(super) fn runs(command: &RunsCommand, json: bool) -> Result<(), CliError> {
    match command {
        RunsCommand::List { directory } => list::list(directory, json),
        RunsCommand::Show { run } => show::show(run, json),
        RunsCommand::Diff(args) => diff::diff(args, json),
    }
}
