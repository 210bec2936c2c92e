//! Plugins in Python, made components by `componentize-py`.

use std::path::{Path, PathBuf};

use super::build::Messages;
use super::command::clean;
use super::error::ToolchainError;
use super::plugin_toml::PluginFolder;
use super::script::{Tool, copy_modules, put, run};
use super::world::WORLD;

pub(super) const TOOL: Tool = Tool {
    language: "Python",
    program: "componentize-py",
    variable: "LOSSMITH_COMPONENTIZE_PY",
    folder: ".tools/python/bin",
    install: "pip install componentize-py==0.25.1",
};

/// The SDK, for folders without a copy of their own.
pub(super) const SDK: &str = include_str!("../../../plugins/python/lossmith.py");

/// Makes a component of the plugin and returns its file, in `work`.
pub(super) fn componentize(
    folder: &PluginFolder,
    work: &Path,
    wit: &Path,
    messages: Messages,
) -> Result<PathBuf, ToolchainError> {
    let tool = TOOL.find(&folder.dir)?;
    // In a copy: the tool would leave compiled modules in the plugin's folder.
    let source = work.join("source");
    copy_modules(&folder.dir, &source, &["py"])?;
    let sdk = source.join("lossmith.py");
    if !sdk.is_file() {
        put(&sdk, SDK)?;
    }
    put(&source.join("lossmith_entry.py"), &entry(&folder.roles))?;
    let file = work.join("plugin.wasm");
    let mut command = clean(&tool, &source);
    command
        // Packages of a virtual environment are no part of the plugin.
        .env_remove("VIRTUAL_ENV")
        .arg("--quiet")
        .arg("--wit-path")
        .arg(wit)
        .args(["--world", WORLD, "componentize", "lossmith_entry", "--stub-wasi", "--python-path", ".", "--output"])
        .arg(&file);
    run(&mut command, TOOL.program, messages)
        .map_err(|failure| failure.into_error(&folder.name, messages, |said| missing(&folder.name, said)))?;
    Ok(file)
}

/// The module that is componentized: it exports what `plugin.py` declares or defines.
fn entry(roles: &[String]) -> String {
    format!("import lossmith\nimport plugin\n\nglobals().update(lossmith.exports(plugin, {roles:?}))\n")
}

/// The error for a module that the plugin imports and that is not there.
fn missing(plugin: &str, said: &str) -> Option<ToolchainError> {
    let (_, rest) = said.split_once("ModuleNotFoundError: No module named '")?;
    let (module, _) = rest.split_once('\'')?;
    Some(ToolchainError::NoModule { plugin: plugin.to_owned(), module: module.to_owned() })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_entry_passes_the_roles_on() {
        assert!(
            entry(&["loss".into(), "miner".into()]).ends_with("lossmith.exports(plugin, [\"loss\", \"miner\"]))\n")
        );
    }

    #[test]
    fn a_missing_module_is_named() {
        let said = "  File \"/0/plugin.py\", line 1\nModuleNotFoundError: No module named 'numpy.linalg'\n";
        let error = missing("soft", said).unwrap();
        assert!(matches!(error, ToolchainError::NoModule { module, .. } if module == "numpy.linalg"));
        assert!(missing("soft", "SyntaxError: invalid syntax").is_none());
    }
}
