//! `lossmith plugin inspect`.

use std::path::PathBuf;

use clap::Args;
use comfy_table::presets;

use super::component::load;
use crate::cli::error::CliError;
use crate::cli::output;
use lossmith_plugin::{ParameterType, Runtime};

/// Print what a component offers: its strategies with their parameters.
///
/// A bare name such as `losses` is looked for in this order: NAME.wasm in the folder that LOSSMITH_PLUGINS names,
/// NAME.wasm in the current folder (for an experiment: beside its file), the standard plugins in the binary.
#[derive(Args, Debug)]
pub(in crate::cli) struct InspectArgs {
    /// The component: a path, or a bare name.
    plugin: PathBuf,
}

pub(super) fn inspect(args: &InspectArgs, json: bool) -> Result<(), CliError> {
    let runtime = Runtime::new().map_err(CliError::engine)?;
    let plugin = load(&runtime, &args.plugin)?;
    if json {
        return output::json(&serde_json::json!({
            "name": plugin.name,
            "hash": plugin.hash,
            "contract": plugin.contract,
            "strategies": plugin.strategies,
        }));
    }
    output::line(&format!("{} (sha256 {}), built for lossmith:plugin@{}", plugin.name, plugin.hash, plugin.contract))?;
    for strategy in &plugin.strategies {
        output::line(&format!("\n{} `{}`: {}", strategy.role, strategy.name, strategy.summary))?;
        if strategy.params.is_empty() {
            continue;
        }
        let mut table = output::table(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["parameter", "type", "default", "allowed", "meaning"]);
        for parameter in &strategy.params {
            let (kind, default, allowed) = columns(&parameter.kind);
            table.add_row([parameter.name.clone(), kind.to_owned(), default, allowed, parameter.summary.clone()]);
        }
        output::line(&table.trim_fmt())?;
    }
    Ok(())
}

fn columns(kind: &ParameterType) -> (&'static str, String, String) {
    match kind {
        ParameterType::Number { default, range } => ("number", default.to_string(), range.to_string()),
        ParameterType::Integer { default, minimum, maximum } => {
            let bound = |word, bound: &Option<i64>| bound.map(|bound| format!("{word} {bound}"));
            let parts: Vec<_> = [bound("at least", minimum), bound("at most", maximum)].into_iter().flatten().collect();
            ("integer", default.to_string(), if parts.is_empty() { "any".into() } else { parts.join(" and ") })
        }
        ParameterType::Boolean { default } => ("boolean", default.to_string(), "true, false".into()),
        ParameterType::Text { default, choices } => {
            ("text", default.clone(), if choices.is_empty() { "any".into() } else { choices.join(", ") })
        }
        ParameterType::Numbers { default, range } => ("numbers", format!("{default:?}"), format!("each {range}")),
    }
}
