//! `plugin.toml`: what the folder of a plugin in Python or JavaScript says about itself.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::ToolchainError;

/// The file's name.
pub(super) const FILE: &str = "plugin.toml";

/// Roles that a component can have, as the contract names them.
const ROLES: [&str; 6] = ["loss", "miner", "transfer", "balance", "schedule", "fusion"];

/// The language of a plugin that is not a crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ScriptLanguage {
    Python,
    JavaScript,
}

impl ScriptLanguage {
    /// The plugin's source file.
    pub(super) fn source(self) -> &'static str {
        match self {
            Self::Python => "plugin.py",
            Self::JavaScript => "plugin.js",
        }
    }
}

/// The folder of a plugin and what its `plugin.toml` says. Its source file is there.
#[derive(Debug)]
pub(super) struct PluginFolder {
    /// The folder, absolute.
    pub(super) dir: PathBuf,
    pub(super) language: ScriptLanguage,
    /// The plugin's name: the component is `NAME.wasm`.
    pub(super) name: String,
    /// Roles of its strategies, each once.
    pub(super) roles: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    language: ScriptLanguage,
    name: String,
    roles: Vec<String>,
}

impl PluginFolder {
    /// Whether `dir` has a `plugin.toml`.
    pub(super) fn is_at(dir: &Path) -> bool {
        dir.join(FILE).is_file()
    }

    pub(super) fn read(dir: &Path) -> Result<Self, ToolchainError> {
        let file = dir.join(FILE);
        let text = std::fs::read_to_string(&file).map_err(ToolchainError::file("reading", &file))?;
        let broken = |message: String| ToolchainError::PluginToml { file: file.clone(), message };
        let Content { language, name, roles } = toml::from_str(&text).map_err(|error| broken(error.to_string()))?;
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || !name.chars().all(is_plain) {
            return Err(broken(format!("`name` is `{name}`: lower-case words joined by hyphens are expected")));
        }
        if roles.is_empty() {
            return Err(broken(format!("`roles` is empty: name at least one of {}", ROLES.join(", "))));
        }
        for (position, role) in roles.iter().enumerate() {
            if !ROLES.contains(&role.as_str()) {
                return Err(broken(format!("`{role}` is no role: the roles are {}", ROLES.join(", "))));
            }
            if roles.iter().take(position).any(|before| before == role) {
                return Err(broken(format!("`roles` names `{role}` twice")));
            }
        }
        let dir = dir.canonicalize().map_err(ToolchainError::file("opening", dir))?;
        if !dir.join(language.source()).is_file() {
            return Err(ToolchainError::NoSource { dir, source_file: language.source() });
        }
        Ok(Self { dir, language, name, roles })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn read(text: &str) -> Result<PluginFolder, ToolchainError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), text).unwrap();
        std::fs::write(dir.path().join("plugin.py"), "").unwrap();
        PluginFolder::read(dir.path())
    }

    #[test]
    fn a_folder_says_language_name_and_roles() {
        let folder = read("language = \"python\"\nname = \"soft\"\nroles = [\"loss\", \"miner\"]").unwrap();
        assert_eq!((folder.language, folder.name.as_str()), (ScriptLanguage::Python, "soft"));
        assert_eq!(folder.roles, ["loss", "miner"]);
    }

    #[test]
    fn each_mistake_is_named() {
        let of = |name: &str, roles: &str| format!("language = \"python\"\nname = \"{name}\"\nroles = {roles}");
        for (text, part) in [
            ("name = \"soft\"\nroles = [\"loss\"]".to_owned(), "language"),
            ("language = \"ruby\"\nname = \"soft\"\nroles = [\"loss\"]".to_owned(), "`python` or `javascript`"),
            (of("soft", "[\"loss\"]") + "\nversion = 3", "unknown field `version`"),
            (of("soft", "[\"lose\"]"), "`lose` is no role: the roles are loss, miner"),
            (of("soft", "[]"), "`roles` is empty"),
            (of("soft", "[\"loss\", \"loss\"]"), "names `loss` twice"),
            (of("../soft", "[\"loss\"]"), "lower-case words"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains(FILE), "{error}");
        }
    }

    #[test]
    fn a_folder_without_its_source_is_refused() {
        let error = read("language = \"javascript\"\nname = \"soft\"\nroles = [\"loss\"]").unwrap_err();
        assert!(matches!(error, ToolchainError::NoSource { source_file: "plugin.js", .. }), "{error}");
    }
}
