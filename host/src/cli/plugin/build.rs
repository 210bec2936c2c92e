//! `lossmith plugin build`.

use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use clap::Args;

use super::component::summary;
use crate::cli::error::CliError;
use crate::cli::error_text::shown;
use crate::cli::output;
use crate::session::{Seen, Watcher, sources_of};
use crate::toolchain::{self, Messages};
use lossmith_plugin::{Limits, Plugin, Runtime};

/// Build a plugin in Rust, Python or JavaScript into a component.
#[derive(Args, Debug)]
pub(in crate::cli) struct BuildArgs {
    /// The folder of a Rust crate, or one with a plugin.toml.
    directory: PathBuf,
    /// The folder to put the component into; `target/plugins` of the crate's workspace, or of the folder, when left
    /// out.
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
            eprintln!("{}", shown(&error));
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
