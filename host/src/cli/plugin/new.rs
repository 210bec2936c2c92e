//! `lossmith plugin new`: the folder of a plugin to begin with.

use std::path::PathBuf;

use clap::Args;
use lossmith_plugin::Role;

use crate::cli::error::CliError;
use crate::cli::output;
use crate::cli::role::role;
use crate::scaffold::{self, Created, Language};

/// Make the folder of a new plugin: a working strategy to edit, with its documentation, a test and an experiment.
#[derive(Args, Debug)]
pub(in crate::cli) struct NewArgs {
    /// The plugin's name, which is that of its strategy, too: lower-case words joined by hyphens.
    name: String,
    /// What the strategy does.
    #[arg(long, value_parser = role())]
    role: Role,
    /// What it is written in.
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    language: Language,
    /// The folder to make, which must not exist, or be empty; `./NAME` when left out.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

pub(super) fn new(args: &NewArgs, json: bool) -> Result<(), CliError> {
    let NewArgs { name, role, language, directory } = args;
    let directory = directory.clone().unwrap_or_else(|| PathBuf::from(name));
    let Created { directory, files } = scaffold::create(name, *role, *language, &directory)?;
    if json {
        return output::json(&serde_json::json!({ "directory": directory, "files": files }));
    }
    output::line(&format!(
        "{}: a {role} in {language}; its README.md says more. What comes next:\n",
        directory.display()
    ))?;
    output::line(&format!("  cd {}", quoted(&directory.display().to_string())))?;
    output::line("  lossmith plugin build . --out target/plugins")?;
    output::line(&format!("  lossmith plugin check target/plugins/{name}.wasm --batch tests/batch.json"))?;
    output::line("  lossmith train experiment.toml")
}

/// As a shell takes it for one word.
fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(is_plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}
