//! `lossmith plugin`: a file for each of its commands.

mod bench;
mod build;
mod check;
mod component;
mod eval;
mod eval_many;
mod inspect;
mod new;
mod strategy;

use clap::Subcommand;

use super::error::CliError;

pub(super) use component::offered;

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    New(new::NewArgs),
    Build(build::BuildArgs),
    Inspect(inspect::InspectArgs),
    Eval(eval::PluginEvalArgs),
    EvalMany(eval_many::EvalManyArgs),
    Check(check::PluginCheckArgs),
    Bench(bench::PluginBenchArgs),
}

pub(super) fn plugin(command: &PluginCommand, json: bool) -> Result<(), CliError> {
    match command {
        PluginCommand::New(args) => new::new(args, json),
        PluginCommand::Build(args) => build::build(args, json),
        PluginCommand::Inspect(args) => inspect::inspect(args, json),
        PluginCommand::Eval(args) => eval::run(args),
        PluginCommand::EvalMany(args) => eval_many::run(args),
        PluginCommand::Check(args) => check::run(args, json),
        PluginCommand::Bench(args) => bench::run(args, json),
    }
}
