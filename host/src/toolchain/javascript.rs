//! Plugins in JavaScript, made components by `componentize-js`.

use std::path::{Path, PathBuf};

use super::build::Messages;
use super::command::clean;
use super::error::ToolchainError;
use super::plugin_toml::PluginFolder;
use super::script::{Tool, copy_modules, put, run};
use super::world::WORLD;

pub(super) const TOOL: Tool = Tool {
    language: "JavaScript",
    program: "componentize-js",
    variable: "LOSSMITH_COMPONENTIZE_JS",
    folder: ".tools/javascript/node_modules/.bin",
    install: "npm install -g @bytecodealliance/componentize-js@0.19.3",
};

/// What the engine would import otherwise.
const FEATURES: [&str; 5] = ["stdio", "random", "clocks", "http", "fetch-event"];

/// The SDK, for folders without a copy of their own.
pub(super) const SDK: &str = include_str!("../../../plugins/javascript/lossmith.js");

/// Makes a component of the plugin and returns its file, in `work`.
pub(super) fn componentize(
    folder: &PluginFolder,
    work: &Path,
    wit: &Path,
    messages: Messages,
) -> Result<PathBuf, ToolchainError> {
    let tool = TOOL.find(&folder.dir)?;
    // The engine sees one folder only, in which the SDK and the entry are beside the plugin.
    let source = work.join("source");
    copy_modules(&folder.dir, &source, &["js", "mjs"])?;
    let sdk = source.join("lossmith.js");
    if !sdk.is_file() {
        put(&sdk, SDK)?;
    }
    put(&source.join("lossmith_entry.js"), &entry(&folder.roles))?;
    let file = work.join("plugin.wasm");
    let mut command = clean(&tool, &source);
    command.arg("--wit").arg(wit).args(["--world-name", WORLD]);
    command.args(FEATURES.iter().flat_map(|feature| ["--disable", feature]));
    command.arg("--out").arg(&file).arg("lossmith_entry.js");
    run(&mut command, TOOL.program, messages)
        .map_err(|failure| failure.into_error(&folder.name, messages, |said| missing(&folder.name, said)))?;
    Ok(file)
}

/// The module that is componentized: it exports what `plugin.js` declares or exports.
fn entry(roles: &[String]) -> String {
    let names = roles.join(", ");
    format!(
        "import {{ exported }} from \"./lossmith.js\";\nimport * as plugin from \"./plugin.js\";\n\
         export const {{ describe, {names} }} = exported(plugin, {roles:?});\n"
    )
}

/// The error for a module that the plugin imports and that is not there.
fn missing(plugin: &str, said: &str) -> Option<ToolchainError> {
    let (_, rest) = said.split_once("Error loading module \"")?;
    let (module, _) = rest.split_once('"')?;
    Some(ToolchainError::NoModule { plugin: plugin.to_owned(), module: module.to_owned() })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::world;
    use super::*;

    #[test]
    fn the_sdk_imports_the_contract_of_this_version() {
        let version = world::version().unwrap();
        let imports: Vec<_> = SDK.lines().filter(|line| line.contains("from \"lossmith:plugin/")).collect();
        assert_eq!(imports.len(), 5);
        assert!(imports.iter().all(|line| line.contains(&format!("@{version}\""))), "{version}: {imports:?}");
    }
}
