//! Where components are, and what one of them offers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use clap::Args;
use comfy_table::presets;
use lossmith_plugin::{Limits, ParameterType, Plugin, Role, Runtime};

use super::component::check_exists;
use super::error::CliError;
use super::output;
use crate::session::{Seen, Watcher, sources_of};
use crate::standard::Standard;
use crate::toolchain::{self, Messages};

/// Loads the component that a path or a bare name means; there is no experiment, so what is in the current folder comes before
/// the binary.
pub(super) fn load(runtime: &Runtime, plugin: &Path) -> Result<Arc<Plugin>, CliError> {
    let standard = Standard::from_environment();
    check_exists(&standard, plugin)?;
    Ok(standard.load(runtime, plugin, Path::new(""), &Arc::new(Limits::default()), &[])?)
}

/// Print what a component offers: its strategies with their parameters.
///
/// A bare name such as `losses` is looked for in this order: NAME.wasm in the folder that LOSSMITH_PLUGINS names, NAME.wasm
/// in the current folder (for an experiment: beside its file), the standard plugins in the binary.
#[derive(Args, Debug)]
pub(super) struct InspectArgs {
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

/// Build a plugin in Rust, Python or JavaScript into a component.
#[derive(Args, Debug)]
pub(super) struct BuildArgs {
    /// The folder of a Rust crate, or one with a plugin.toml.
    directory: PathBuf,
    /// The folder to put the component into; `target/plugins` of the crate's workspace, or of the folder, when left out.
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
    /// Build again whenever a source changes, until it is interrupted.
    #[arg(long)]
    watch: bool,
}

/// How long sources must be left alone before they are built again.
const QUIET: Duration = Duration::from_millis(100);

pub(super) fn build(args: &BuildArgs, json: bool) -> Result<(), CliError> {
    if !args.watch {
        return build_once(args, json);
    }
    let (sender, changes) = mpsc::channel();
    let changed = move |_| {
        // Nobody listens only when the command ends.
        let _ = sender.send(());
    };
    let watcher = Watcher::start(Seen::now(sources_of(&args.directory)), QUIET, changed)
        .map_err(|error| CliError::Machine(error.to_string()))?;
    loop {
        if let Err(error) = build_once(args, json) {
            eprintln!("{}", super::shown(&error));
        }
        // A manifest may name other path dependencies now.
        watcher.follow(sources_of(&args.directory));
        eprintln!("waiting for a change in {}; Ctrl-C ends", args.directory.display());
        if changes.recv().is_err() {
            return Ok(());
        }
        // Changes during the build are in what is built next.
        while changes.try_recv().is_ok() {}
    }
}

fn build_once(args: &BuildArgs, json: bool) -> Result<(), CliError> {
    let built = toolchain::build(&args.directory, args.out.as_deref(), Messages::Shown)?;
    let runtime = Runtime::new().map_err(CliError::engine)?;
    // One that cannot be loaded does not replace the last that could.
    let plugin = Plugin::from_bytes(&runtime, &built.name, built.bytes.clone(), &Arc::new(Limits::default()))?;
    let component = built.write()?;
    if json {
        return output::json(&serde_json::json!({ "name": built.name, "component": component, "hash": plugin.hash }));
    }
    output::line(&format!("{}: {}", component.display(), summary(&plugin)))
}

/// What each component offers that a bare name means in the current folder, or why it cannot be loaded.
pub(super) fn offered() -> Vec<(String, String)> {
    let Ok(runtime) = Runtime::new() else { return Vec::new() };
    let offer = |name: &String| match load(&runtime, Path::new(name)) {
        Ok(plugin) => summary(&plugin),
        Err(error) => error.to_string(),
    };
    Standard::from_environment().known(Path::new("")).into_iter().map(|name| (name.clone(), offer(&name))).collect()
}

fn summary(plugin: &Plugin) -> String {
    let of_role = |role: Role| {
        let names: Vec<_> = plugin.strategies.iter().filter(|s| s.role == role).map(|s| s.name.as_str()).collect();
        (!names.is_empty()).then(|| format!("{role} {}", names.join(", ")))
    };
    Role::ALL.into_iter().filter_map(of_role).collect::<Vec<_>>().join("; ")
}
