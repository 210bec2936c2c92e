//! Plugins in Python, made components by `componentize-py`.

use std::path::Path;
use std::process::Command;

use super::componentizer::{Componentizer, Tool};
use super::python_mistakes;
use super::wit_world::WORLD;

pub(super) const PYTHON: Componentizer = Componentizer {
    tool: Tool {
        language: "Python",
        program: "componentize-py",
        variable: "LOSSMITH_COMPONENTIZE_PY",
        version: "0.25.1",
        folder: "python/bin",
        install: |tools| match tools {
            Some(tools) => {
                let folder = tools.join("python").display().to_string();
                format!("python3 -m venv {folder} && {folder}/bin/pip install componentize-py==0.25.1")
            }
            None => "pip install componentize-py==0.25.1".to_owned(),
        },
    },
    endings: &["py"],
    sdk: ("lossmith.py", include_str!("../../../plugins/python/lossmith.py")),
    entry: ("lossmith_entry.py", entry),
    arguments,
    takes: "about a minute",
    mistakes: python_mistakes::mistakes,
    missing: ("ModuleNotFoundError: No module named '", '\''),
};

/// It exports what `plugin.py` declares or defines.
fn entry(roles: &[String]) -> String {
    format!("import lossmith\nimport plugin\n\nglobals().update(lossmith.exports(plugin, {roles:?}))\n")
}

fn arguments(command: &mut Command, wit: &Path, file: &Path) {
    command
        // Packages of a virtual environment are no part of the plugin.
        .env_remove("VIRTUAL_ENV")
        .arg("--quiet")
        .arg("--wit-path")
        .arg(wit)
        .args(["--world", WORLD, "componentize", "lossmith_entry", "--stub-wasi", "--python-path", ".", "--output"])
        .arg(file);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::error::ToolchainError;
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
        let error = PYTHON.missing("soft", said).unwrap();
        assert!(matches!(error, ToolchainError::NoModule { module, .. } if module == "numpy.linalg"));
        assert!(PYTHON.missing("soft", "SyntaxError: invalid syntax").is_none());
    }
}
