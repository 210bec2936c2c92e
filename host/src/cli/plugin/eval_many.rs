//! `lossmith plugin eval-many`: many calls of strategies in one process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use lossmith_plugin::{Role, Runtime, Value};
use serde::Deserialize;

use super::eval::{Dtype, Evaluation, json};
use crate::check::Case;
use crate::cli::device::DeviceArgs;
use crate::cli::error::CliError;
use crate::cli::output;

/// Run many calls in one process: a line of JSON for each, and a line of JSON with what it came to.
///
/// A line has `plugin` and `input`, and as far as `plugin eval` would need them `role`, `strategy`, `params`, `dtype`
/// and `seed`. Starting a process and its device takes longer than the calls.
#[derive(Args, Debug)]
pub(in crate::cli) struct EvalManyArgs {
    /// The file with the calls.
    calls: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
}

/// A call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Call {
    plugin: PathBuf,
    role: Option<Role>,
    strategy: Option<String>,
    #[serde(default, deserialize_with = "crate::unique::map")]
    params: BTreeMap<String, Value>,
    #[serde(default)]
    dtype: Dtype,
    #[serde(default)]
    seed: u64,
    input: Case,
}

pub(super) fn run(args: &EvalManyArgs) -> Result<(), CliError> {
    let device = args.device.find()?;
    let runtime = Arc::new(Runtime::new().map_err(CliError::engine)?);
    let text = lossmith_files::read_text(&args.calls, lossmith_files::LIST)
        .map_err(|source| CliError::file(&args.calls, source))?;
    let mut plugins = BTreeMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let call: Call = json(line, &format!("line {} of {}", number + 1, args.calls.display()))?;
        let plugin = match plugins.get(&call.plugin) {
            Some(plugin) => Arc::clone(plugin),
            None => {
                let plugin = super::component::load(&runtime, &call.plugin)?;
                plugins.insert(call.plugin.clone(), Arc::clone(&plugin));
                plugin
            }
        };
        let evaluation = Evaluation {
            runtime: &runtime,
            plugin: &plugin,
            role: call.role,
            strategy: call.strategy.as_deref(),
            given: call.params,
            case: call.input,
            float: call.dtype.kind(),
            seed: call.seed,
            device,
        };
        output::line(&serde_json::to_string(&evaluation.result()?).map_err(CliError::json)?)?;
    }
    Ok(())
}
