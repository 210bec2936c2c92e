//! The command line.

mod compare;
mod component;
mod curves;
mod data;
mod doctor;
mod embed;
mod error;
mod interrupt;
mod meant;
mod measured;
mod measuring;
mod output;
mod plugin_bench;
mod plugin_check;
mod plugin_eval;
mod plugin_new;
mod plugins;
mod progress;
mod retrieve;
mod role;
mod runs;
mod session;
mod shown;
mod sweep;
mod train;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

pub use error::CliError;
pub use shown::shown;

const EXIT_CODES: &str = "\
Exit codes:
  0    success
  1    a file or this machine: cannot read, write, or start something
  2    wrong use of the command line
  3    the experiment or sweep file: unknown key, wrong type, value out of range
  4    a plugin: refused, a fault while it ran, or a check that found something wrong
  5    the data or the teacher: missing or damaged files, classes that are too small, a network that does not fit
  130  stopped by SIGINT (Ctrl-C), SIGTERM or SIGHUP: a run was saved, a sweep keeps its runs, a replay is to be repeated
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
    /// Look at a training that runs, and control it.
    #[command(subcommand)]
    Session(session::SessionCommand),
    Replay(compare::ReplayArgs),
    Sweep(sweep::SweepArgs),
    Eval(runs::EvalArgs),
    Embed(embed::EmbedArgs),
    Retrieve(retrieve::RetrieveArgs),
    #[command(subcommand)]
    Runs(runs::RunsCommand),
    /// Make, build, look into, check and try plugins.
    #[command(subcommand)]
    Plugin(PluginCommand),
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

#[derive(Debug, Subcommand)]
enum PluginCommand {
    New(plugin_new::NewArgs),
    Build(plugins::BuildArgs),
    Inspect(plugins::InspectArgs),
    Eval(plugin_eval::PluginEvalArgs),
    Check(plugin_check::PluginCheckArgs),
    Bench(plugin_bench::PluginBenchArgs),
}

/// Runs a command.
///
/// # Errors
/// What ended it; [`CliError::code`] is its exit code.
pub fn run(cli: &Cli) -> Result<(), CliError> {
    match &cli.command {
        Command::Train(args) => train::train(args, cli.json),
        Command::Session(command) => session::session(command, cli.json),
        Command::Replay(args) => compare::replay(args, cli.json),
        Command::Sweep(args) => sweep::sweep(args, cli.json),
        Command::Eval(args) => runs::eval(args, cli.json),
        Command::Embed(args) => embed::embed(args, cli.json),
        Command::Retrieve(args) => retrieve::retrieve(args, cli.json),
        Command::Runs(command) => runs::runs(command, cli.json),
        Command::Data(command) => data::data(command, cli.json),
        Command::Doctor => doctor::doctor(cli.json),
        Command::Schema { sweep: false } => output::json(&crate::experiment::schema()),
        Command::Schema { sweep: true } => output::json(&crate::sweep::schema()),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "lossmith", &mut std::io::stdout());
            Ok(())
        }
        Command::Plugin(PluginCommand::New(args)) => plugin_new::new(args, cli.json),
        Command::Plugin(PluginCommand::Build(args)) => plugins::build(args, cli.json),
        Command::Plugin(PluginCommand::Inspect(args)) => plugins::inspect(args, cli.json),
        Command::Plugin(PluginCommand::Eval(args)) => plugin_eval::run(args),
        Command::Plugin(PluginCommand::Check(args)) => plugin_check::run(args, cli.json),
        Command::Plugin(PluginCommand::Bench(args)) => plugin_bench::run(args, cli.json),
    }
}
