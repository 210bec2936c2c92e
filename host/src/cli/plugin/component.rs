//! Loads the component that a command is given; where there is none, the error says what there is instead.

use lossmith_plugin::suggest::nearest;
use std::path::Path;
use std::sync::Arc;

use crate::cli::error::CliError;
use crate::experiment::is_bare;
use crate::standard::Standard;
use lossmith_plugin::{Limits, Plugin, Role, Runtime, stem};

/// Loads the component that a path or a bare name means; there is no experiment, so what is in the current folder comes
/// before the binary.
pub(super) fn load(runtime: &Runtime, plugin: &Path) -> Result<Arc<Plugin>, CliError> {
    let standard = Standard::from_environment();
    check_exists(&standard, plugin)?;
    Ok(standard.load(runtime, plugin, Path::new(""), &Arc::new(Limits::default()), &[])?)
}

/// Looks whether a path or a bare name means a component.
///
/// # Errors
/// There is none: says what is there, and what must be built first.
fn check_exists(standard: &Standard, plugin: &Path) -> Result<(), CliError> {
    let known = standard.known(Path::new(""));
    let is_there = if is_bare(plugin) {
        known.contains(&stem(plugin)) || !plugin.is_dir()
    } else {
        plugin.exists() && !plugin.is_dir()
    };
    if is_there {
        return Ok(());
    }
    let (text, help) = if is_source(plugin) {
        (format!("{} is the folder of a plugin, not a component", plugin.display()), built_of(plugin))
    } else if plugin.is_dir() {
        let text = format!("{} is a folder, not a component", plugin.display());
        (text, offer(plugin, &components(plugin)).unwrap_or_else(usual))
    } else {
        (format!("there is no component {}", plugin.display()), instead(plugin, &known))
    };
    Err(CliError::NoComponent { text, help })
}

/// Whether `plugin build` builds this folder.
fn is_source(folder: &Path) -> bool {
    ["Cargo.toml", "plugin.toml"].iter().any(|file| folder.join(file).is_file())
}

/// Advice on the folder of a plugin.
fn built_of(folder: &Path) -> String {
    let build = format!("`lossmith plugin build {}`", folder.display());
    let out = folder.join("target/plugins");
    match components(&out).as_slice() {
        [one] => {
            format!("its component is {}; {build} builds it again", out.join(one).with_extension("wasm").display())
        }
        _ => format!("{build} makes a component of it and says where it is"),
    }
}

/// Advice on a file that is not there: similar files and names. `known` are the bare names that mean something.
fn instead(path: &Path, known: &[String]) -> String {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = components(folder);
    let wanted = stem(path);
    if let Some(near) = nearest(&wanted, &beside) {
        return format!("did you mean {}?", folder.join(near).with_extension("wasm").display());
    }
    // `mine/target/plugins/mine.wasm` and `mine.wasm` are built of `mine`.
    let source = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).chain([Path::new(&wanted)]);
    if let Some(source) = source.into_iter().find(|folder| is_source(folder)) {
        return format!("build it first: `lossmith plugin build {}`", source.display());
    }
    if let Some(near) = nearest(&wanted, known) {
        return format!("did you mean the plugin `{near}`?");
    }
    offer(folder, &beside).unwrap_or_else(usual)
}

fn offer(folder: &Path, names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| format!("there are {} in {}", names.join(", "), folder.display()))
}

fn usual() -> String {
    "`lossmith plugin build DIR` makes a component from a plugin's folder".to_owned()
}

/// The names of the components in a folder, sorted.
fn components(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut names: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "wasm")).map(|path| stem(&path)).collect();
    names.sort();
    names
}

/// The strategies of each component that a bare name means in the current folder, or why it cannot be loaded.
pub(in crate::cli) fn offered() -> Vec<(String, String)> {
    let Ok(runtime) = Runtime::new() else { return Vec::new() };
    let offer = |name: &String| match load(&runtime, Path::new(name)) {
        Ok(plugin) => summary(&plugin),
        Err(error) => error.to_string(),
    };
    Standard::from_environment().known(Path::new("")).into_iter().map(|name| (name.clone(), offer(&name))).collect()
}

pub(super) fn summary(plugin: &Plugin) -> String {
    let of_role = |role: Role| {
        let names: Vec<_> = plugin.strategies.iter().filter(|s| s.role == role).map(|s| s.name.as_str()).collect();
        (!names.is_empty()).then(|| format!("{role} {}", names.join(", ")))
    };
    Role::ALL.into_iter().filter_map(of_role).collect::<Vec<_>>().join("; ")
}
