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
use crate::toolchain::{self, Messages, UnderWay};
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
    let under_way = UnderWay::default();
    if !args.watch {
        return build_once(args, json, &under_way);
    }
    let (sender, changes) = mpsc::channel();
    let building = under_way.clone();
    let changed = move |_| {
        // A build of what is not there any more may never end.
        building.abandon_if_changed(building.round());
        // Nobody listens only when the command ends.
        let _ = sender.send(());
    };
    let watcher = Watcher::start(Seen::now(sources_of(&args.directory)), QUIET, changed)
        .map_err(|error| CliError::Machine(error.to_string()))?;
    loop {
        let built = build_once(args, json, &under_way);
        let abandoned = under_way.take_abandoned();
        // A manifest may name other path dependencies now.
        watcher.follow(sources_of(&args.directory));
        match built {
            Err(_) if abandoned => eprintln!("{} has changed meanwhile", args.directory.display()),
            Ok(()) | Err(_) => {
                if let Err(error) = built {
                    eprintln!("{}", shown(&error));
                }
                eprintln!("waiting for a change in {}; Ctrl-C ends", args.directory.display());
            }
        }
        if changes.recv().is_err() {
            return Ok(());
        }
        // Changes during the build are in what is built next.
        while changes.try_recv().is_ok() {}
    }
}

fn build_once(args: &BuildArgs, json: bool, under_way: &UnderWay) -> Result<(), CliError> {
    let built = toolchain::build(&args.directory, args.out.as_deref(), Messages::Shown, under_way)?;
    let runtime = Runtime::new().map_err(CliError::engine)?;
    // One that cannot be loaded does not replace the last that could.
    let plugin = Plugin::from_bytes(&runtime, &built.name, built.bytes.clone(), &Arc::new(Limits::default()))?;
    let component = built.write()?;
    if json {
        return output::json(&serde_json::json!({ "name": built.name, "component": component, "hash": plugin.hash }));
    }
    output::line(&format!("{}: {}", component.display(), summary(&plugin)))
}
