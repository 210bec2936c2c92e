//! The command line: a file for each command, and a folder for those of one kind.
//!
//! ```text
//! train, launch, sweep, session, board, data, doctor
//!                                       commands
//! plugin/                               lossmith plugin new, build, inspect, check, eval, eval-many, bench
//! runs/                                 lossmith runs list, show and diff, eval, embed, export, retrieve, replay
//! progress, evaluation, output          how results are shown
//! error, exit_code, error_text          errors, their exit codes, and how they are shown
//! output_path                           files that commands are told to write
//! device                                what to compute on, where no experiment says it
//! interrupt                             signals
//! local_ranks                           this command as several ranks
//! ```

mod board;
mod data;
mod device;
mod doctor;
mod error;
mod error_text;
mod evaluation;
mod exit_code;
mod interrupt;
mod launch;
mod local_ranks;
mod output;
mod output_path;
mod plugin;
mod progress;
mod role;
mod runs;
mod session;
mod sweep;
mod train;

use std::io::{self, Write};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

pub use error::CliError;
pub use error_text::shown;

use crate::ranks::Place;
use crate::started::Started;
use crate::train::TrainingError;

const EXIT_CODES: &str = "\
Exit codes:
  0    success
  1    a file, this machine or another rank: cannot read, write, start, or build something; a rank is lost
  2    wrong use of the command line
  3    the experiment or sweep file: unknown key, wrong type, value out of range
  4    a plugin: refused, a fault while it ran, or a check that found something wrong
  5    the data, the network or the teacher: missing or damaged files, classes that are too small, a network that does \
  not fit or gives NaN
  130  stopped by SIGINT (Ctrl-C), SIGTERM or SIGHUP: a run was saved, a sweep keeps its runs, a replay is to be \
  repeated
  131  stopped at once by another such signal: what a run trained since its last checkpoint is lost
Other commands end by the signal itself. SIGUSR1 and SIGUSR2 make a training write a checkpoint and go on.";

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
    Train(train::TrainArgs),
    Launch(launch::LaunchArgs),
    /// Look at a training that runs, and control it.
    #[command(subcommand)]
    Session(session::SessionCommand),
    Board(board::BoardArgs),
    Replay(runs::ReplayArgs),
    Sweep(sweep::SweepArgs),
    Eval(runs::EvalArgs),
    Embed(runs::EmbedArgs),
    Export(runs::ExportArgs),
    Retrieve(runs::RetrieveArgs),
    #[command(subcommand)]
    Runs(runs::RunsCommand),
    /// Make, build, look into, check and try plugins.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// List and fetch data.
    #[command(subcommand)]
    Data(data::DataCommand),
    /// Print what this machine has, and the remedy for what is missing.
    Doctor,
    /// Print the JSON schema of experiment files.
    Schema {
        /// That of sweep files.
        #[arg(long)]
        sweep: bool,
    },
    /// Print a script that completes commands in a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Runs the command that was started so, and ends the process.
pub fn main(started: Started) -> ! {
    let cli = Cli::parse_from(&started.keep().words);
    let code = match run(&cli) {
        Ok(()) => 0,
        Err(error) => {
            // The terminal may be gone.
            let _ = writeln!(io::stderr(), "{}", shown(&error));
            error.code()
        }
    };
    // A reader of standard output may be gone, too.
    let _ = io::stdout().flush();
    // Without exit handlers: the check of an edit may still compute, and they would take libtorch away from under it.
    signal_hook::low_level::exit(code.into())
}

/// An error where several ranks were started for a command that one process does: each would do all of it.
fn alone() -> Result<(), CliError> {
    match Place::from_environment() {
        Ok(None) => Ok(()),
        Ok(Some(place)) => Err(CliError::Usage(format!(
            "{} ranks were started for a command that is not divided among ranks: start one process",
            place.size
        ))),
        Err(error) => Err(TrainingError::from(error).into()),
    }
}

/// Runs a command.
///
/// # Errors
/// What ended it; [`CliError::code`] is its exit code.
fn run(cli: &Cli) -> Result<(), CliError> {
    if matches!(cli.command, Command::Replay(_) | Command::Sweep(_)) {
        alone()?;
    }
    match &cli.command {
        Command::Train(args) => train::train(args, cli.json),
        Command::Launch(args) => launch::launch(args, cli.json),
        Command::Session(command) => session::session(command, cli.json),
        Command::Board(args) => board::board(args, cli.json),
        Command::Replay(args) => runs::replay(args, cli.json),
        Command::Sweep(args) => sweep::sweep(args, cli.json),
        Command::Eval(args) => runs::eval(args, cli.json),
        Command::Embed(args) => runs::embed(args, cli.json),
        Command::Export(args) => runs::export(args, cli.json),
        Command::Retrieve(args) => runs::retrieve(args, cli.json),
        Command::Runs(command) => runs::runs(command, cli.json),
        Command::Data(command) => data::data(command, cli.json),
        Command::Doctor => doctor::doctor(cli.json),
        Command::Schema { sweep: false } => output::json(&crate::experiment::schema()),
        Command::Schema { sweep: true } => output::json(&crate::sweep::schema()),
        Command::Completions { shell } => {
            // Into memory first: it would panic where the reader goes away.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "lossmith", &mut script);
            output::line(String::from_utf8_lossy(&script).trim_end())
        }
        Command::Plugin(command) => plugin::plugin(command, cli.json),
    }
}
