//! `lossmith plugin check`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use comfy_table::presets;
use lossmith_plugin::Runtime;

use super::eval::{given, json};
use crate::check::{self, CheckError, CheckOptions, CheckReport, CheckVerdict, StrategyReport};
use crate::cli::error::CliError;
use crate::cli::local_ranks::LocalRanks;
use crate::cli::output;
use crate::ranks::{Place, Ranks, RanksConfig};
use crate::started;

/// Check a component: description, parameters, gradients, order of the batch, determinism, extreme batches, cost.
#[derive(Args, Debug)]
pub(in crate::cli) struct PluginCheckArgs {
    /// The component: a path, or the bare name of a plugin (`lossmith plugin inspect --help` says where it is looked
    /// for).
    plugin: PathBuf,
    /// Check only the strategies of this name.
    #[arg(long)]
    strategy: Option<String>,
    /// Their parameters as JSON; what is left out has its default.
    #[arg(long, default_value = "{}", requires = "strategy")]
    params: String,
    /// A batch as JSON that is checked, too: as the input of `plugin eval`, with what to `expect`.
    #[arg(long, value_name = "FILE")]
    batch: Option<PathBuf>,
    /// Check this and nothing else: on so many processes, which have a part of each batch, every strategy gives the
    /// value and the gradients of one process.
    #[arg(long, value_name = "NUMBER", conflicts_with = "batch")]
    ranks: Option<NonZeroUsize>,
    /// Fail on warnings, too.
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(args: &PluginCheckArgs, as_json: bool) -> Result<(), CliError> {
    let place = if args.ranks.is_some() { Place::from_environment().map_err(CheckError::from)? } else { None };
    let ranks = match (args.ranks, place) {
        (None, _) => None,
        (Some(_), Some(place)) => {
            Some(Ranks::join(place, RanksConfig::default().patience()).map_err(CheckError::from)?)
        }
        (Some(size), None) if size.get() == 1 => {
            return Err(CliError::Usage("--ranks 1: one process is what several are compared to".into()));
        }
        (Some(size), None) => return LocalRanks::start(size, started::again)?.wait(),
    };
    let case = match &args.batch {
        None => None,
        Some(path) => {
            let text =
                lossmith_files::read_text(path, lossmith_files::LIST).map_err(|source| CliError::file(path, source))?;
            Some(json(&text, &path.display().to_string())?)
        }
    };
    let options = CheckOptions { strategy: args.strategy.clone(), params: given(&args.params)?, case };
    // Threads wait for each other longer than such small tensors take, and not at all evenly on a busy machine.
    tch::set_num_threads(1);
    let runtime = Arc::new(Runtime::new().map_err(CliError::engine)?);
    let plugin = super::component::load(&runtime, &args.plugin)?;
    let report = match &ranks {
        None => check::run(&runtime, &plugin, &options)?,
        Some(ranks) => check::across(&runtime, &plugin, &options, ranks)?,
    };
    if ranks.is_some_and(|ranks| !ranks.is_first()) {
        return Ok(());
    }
    if as_json {
        output::json(&report)?
    } else {
        print(&report)?
    }
    let warnings = if args.strict { report.count(CheckVerdict::Warning) } else { 0 };
    match report.count(CheckVerdict::Failed) + warnings {
        0 => Ok(()),
        failed => Err(CliError::Unsound { plugin: report.plugin, failed }),
    }
}

fn print(report: &CheckReport) -> Result<(), CliError> {
    let CheckReport { plugin, hash, contract, bytes, strategies } = report;
    output::line(&format!(
        "{plugin} (sha256 {hash}), {:.1} MB, imports only lossmith:plugin@{contract}",
        *bytes as f64 / 1e6
    ))?;
    for strategy in strategies {
        print_strategy(strategy)?;
    }
    let count = |verdict| report.count(verdict);
    output::line(&format!(
        "\n{} passed, {} warnings, {} failed, {} skipped",
        count(CheckVerdict::Passed),
        count(CheckVerdict::Warning),
        count(CheckVerdict::Failed),
        count(CheckVerdict::Skipped)
    ))
}

fn print_strategy(strategy: &StrategyReport) -> Result<(), CliError> {
    output::line(&format!("\n{} `{}`", strategy.role, strategy.name))?;
    for found in &strategy.findings {
        let mark = match found.verdict {
            CheckVerdict::Passed => "ok",
            CheckVerdict::Skipped => "skipped",
            CheckVerdict::Warning => "warning",
            CheckVerdict::Failed => "FAILED",
        };
        let detail = found.detail.replace('\n', &format!("\n{:33}", ""));
        output::line(&format!("  {mark:<8} {:<20}  {detail}", found.what))?;
    }
    if strategy.cost.is_empty() {
        return Ok(());
    }
    let mut table = output::table(presets::NOTHING);
    table.set_header(["B", "ms", "instructions", "elements of the host", "tensors", "MB of tensors"]);
    for row in &strategy.cost {
        table.add_row([
            row.batch.to_string(),
            format!("{:.2}", row.milliseconds),
            row.fuel.to_string(),
            row.host_elements.to_string(),
            row.tensors.to_string(),
            format!("{:.2}", row.tensor_bytes as f64 / 1e6),
        ]);
    }
    output::line(&table.trim_fmt())
}
