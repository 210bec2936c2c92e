//! The command line.

mod error;
mod output;
mod plugin_eval;
mod plugins;

use clap::{Parser, Subcommand};

pub use error::CliError;

const EXIT_CODES: &str = "\
Exit codes:
  0    success
  1    a file or this machine: cannot read, write, or start something
  2    wrong use of the command line
  3    the experiment file: unknown key, wrong type, value out of range
  4    a plugin: refused, or a fault while it ran
  5    the data: missing or damaged files, classes that are too small
  130  interrupted; the run was saved";

/// Experiment with metric-learning losses that live in WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "lossmith", version, after_help = EXIT_CODES, max_term_width = 120)]
pub struct Cli {
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build, look into, and try plugins.
    #[command(subcommand)]
    Plugin(PluginCommand),
}

#[derive(Debug, Subcommand)]
enum PluginCommand {
    Inspect(plugins::InspectArgs),
    Eval(plugin_eval::PluginEvalArgs),
}

/// Runs a command.
///
/// # Errors
/// What ended it; [`CliError::code`] is its exit code.
pub fn run(cli: &Cli) -> Result<(), CliError> {
    match &cli.command {
        Command::Plugin(PluginCommand::Inspect(args)) => plugins::inspect(args, cli.json),
        Command::Plugin(PluginCommand::Eval(args)) => plugin_eval::run(args),
    }
}
