//! Plugins in JavaScript, made components by `componentize-js`.

use std::path::Path;
use std::process::Command;

use super::componentizer::{Componentizer, Tool};
use super::wit_world::WORLD;

pub(super) const JAVASCRIPT: Componentizer = Componentizer {
    tool: Tool {
        language: "JavaScript",
        program: "componentize-js",
        variable: "LOSSMITH_COMPONENTIZE_JS",
        // 0.23.0 cannot free a tensor: its bindings of resources have no `Symbol.dispose`.
        version: "0.19.3",
        folder: "javascript/node_modules/.bin",
        install: |tools| match tools {
            Some(tools) => {
                let folder = tools.join("javascript");
                format!("npm install --prefix {} @bytecodealliance/componentize-js@0.19.3", folder.display())
            }
            None => "npm install -g @bytecodealliance/componentize-js@0.19.3".to_owned(),
        },
    },
    endings: &["js", "mjs"],
    sdk: ("lossmith.js", include_str!("../../../plugins/javascript/lossmith.js")),
    entry: ("lossmith_entry.js", entry),
    arguments,
    takes: "some seconds",
    mistakes: |_, _, _| Vec::new(),
    missing: ("Error loading module \"", '"'),
};

/// The features of the engine that would be imports.
const FEATURES: [&str; 5] = ["stdio", "random", "clocks", "http", "fetch-event"];

/// It exports what `plugin.js` declares or exports.
fn entry(roles: &[String]) -> String {
    let names = roles.join(", ");
    format!(
        "import {{ exported }} from \"./lossmith.js\";\nimport * as plugin from \"./plugin.js\";\n\
         export const {{ describe, {names} }} = exported(plugin, {roles:?});\n"
    )
}

fn arguments(command: &mut Command, wit: &Path, file: &Path) {
    command.arg("--wit").arg(wit).args(["--world-name", WORLD]);
    command.args(FEATURES.iter().flat_map(|feature| ["--disable", feature]));
    command.arg("--out").arg(file).arg("lossmith_entry.js");
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::wit_world;
    use super::*;

    #[test]
    fn the_sdk_imports_the_contract_of_this_version() {
        let version = wit_world::version().unwrap();
        let (_, sdk) = JAVASCRIPT.sdk;
        let imports: Vec<_> = sdk.lines().filter(|line| line.contains("from \"lossmith:plugin/")).collect();
        assert_eq!(imports.len(), 5);
        assert!(imports.iter().all(|line| line.contains(&format!("@{version}\""))), "{version}: {imports:?}");
    }
}
