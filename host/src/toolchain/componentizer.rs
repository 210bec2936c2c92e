//! Componentizers: the tools that make components of plugins in Python or JavaScript.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::ToolchainError;
use super::folders;

/// The componentizer of a language: its tool, and how it is called.
pub(super) struct Componentizer {
    pub(super) tool: Tool,
    /// How its modules end.
    pub(super) endings: &'static [&'static str],
    /// Name and text of the SDK, for folders without a copy of their own.
    pub(super) sdk: (&'static str, &'static str),
    /// Name of the module that is componentized, and its text for a plugin with these roles.
    pub(super) entry: (&'static str, fn(&[String]) -> String),
    /// Adds the arguments, with the folder of the WIT and the file to make. The tool runs in the folder with the entry.
    pub(super) arguments: fn(&mut Command, &Path, &Path),
    /// How long a build takes, in words.
    pub(super) takes: &'static str,
    /// What can be seen to be wrong without building, by the tool's path, the folder of the modules, and the roles.
    pub(super) mistakes: fn(&Path, &Path, &[String]) -> Vec<String>,
    /// What the tool writes before and after the name of a module that is not there.
    pub(super) missing: (&'static str, char),
}

impl Componentizer {
    /// The error for a module that the plugin imports and that is not there.
    pub(super) fn missing(&self, plugin: &str, said: &str) -> Option<ToolchainError> {
        let (before, after) = self.missing;
        let (module, _) = said.split_once(before)?.1.split_once(after)?;
        Some(ToolchainError::NoModule { plugin: plugin.to_owned(), module: module.to_owned() })
    }
}

/// The tool that makes components of a language.
pub(super) struct Tool {
    /// The language.
    pub(super) language: &'static str,
    /// The program.
    pub(super) program: &'static str,
    /// The environment variable with the program's path, if it is not where it is looked for.
    pub(super) variable: &'static str,
    /// The version that the SDK is made for; another one of the same major and minor number does as well.
    pub(super) version: &'static str,
    /// Its folder in that of the tools.
    pub(super) folder: &'static str,
    /// The command that installs it, into the folder of the tools if the user has one.
    pub(super) install: fn(Option<PathBuf>) -> String,
}

/// A tool that is installed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InstalledTool {
    pub(super) program: PathBuf,
    pub(super) version: String,
}

impl Tool {
    /// The program, with its version.
    pub(super) fn find(&self, dir: &Path) -> Result<InstalledTool, ToolchainError> {
        let install = || (self.install)(folders::tools());
        let program = self.place(dir, folders::tools()).ok_or_else(|| ToolchainError::NoComponentizer {
            language: self.language,
            program: self.program,
            variable: self.variable,
            install: install(),
        })?;
        let version = version(&program).unwrap_or_else(|| "of unknown version".to_owned());
        if line(&version) == line(self.version) {
            return Ok(InstalledTool { program, version });
        }
        Err(ToolchainError::OtherComponentizer {
            program: self.program,
            path: program,
            found: version,
            wanted: self.version,
            variable: self.variable,
            install: install(),
        })
    }

    /// The program that the environment variable names, else the one in the user's folder of tools, else the one in
    /// `.tools` of the repository that the plugin in `dir` or the current directory is in, else the one on the PATH.
    fn place(&self, dir: &Path, tools: Option<PathBuf>) -> Option<PathBuf> {
        if let Some(given) = std::env::var_os(self.variable).filter(|given| !given.is_empty()) {
            return std::path::absolute(given).ok().filter(|file| file.is_file());
        }
        let here = std::env::current_dir().unwrap_or_default();
        let of_repository = dir.ancestors().chain(here.ancestors()).map(|parent| parent.join(".tools"));
        let set_up = tools.into_iter().chain(of_repository).map(|tools| tools.join(self.folder));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path: Vec<_> = std::env::split_paths(&path).collect();
        set_up.chain(on_path).map(|folder| folder.join(self.program)).find(|file| file.is_file())
    }
}

/// What a program says when it is asked for its version: the last word of `componentize-py 0.25.1`.
fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().last().map(str::to_owned)
}

/// The major and minor number of a version.
fn line(version: &str) -> Vec<&str> {
    version.split('.').take(2).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn looked_for() -> Tool {
        Tool {
            language: "None",
            program: "no-such-tool",
            variable: "LOSSMITH_NO_SUCH_VARIABLE",
            version: "1.2.3",
            folder: "python/bin",
            install: |tools| format!("install into {tools:?}"),
        }
    }

    /// A program that says this when it is asked for its version.
    fn put_tool(path: &Path, says: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("#!/bin/sh\necho {says}\n")).unwrap();
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_tool_is_found_in_the_users_folder_and_then_in_the_repository() {
        let (repository, user) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let plugin = repository.path().join("plugins/mine");
        std::fs::create_dir_all(&plugin).unwrap();
        let place = || looked_for().place(&plugin, Some(user.path().to_owned()));
        assert_eq!(place(), None);
        for folder in [repository.path().join(".tools"), user.path().to_owned()] {
            let tool = folder.join("python/bin/no-such-tool");
            put_tool(&tool, "1.2.3");
            assert_eq!(place().unwrap(), tool);
        }
    }

    #[test]
    fn a_tool_of_another_version_is_refused() {
        let repository = tempfile::tempdir().unwrap();
        let tool = repository.path().join(".tools/python/bin/no-such-tool");
        for (says, fits) in [("no-such-tool 1.2.3", true), ("1.2.9", true), ("1.3.3", false), ("", false)] {
            put_tool(&tool, says);
            let found = looked_for().find(repository.path());
            match found {
                Ok(found) => assert!(fits && found.program == tool),
                Err(ToolchainError::OtherComponentizer { path, wanted, .. }) => {
                    assert!(!fits && path == tool && wanted == "1.2.3");
                }
                Err(other) => unreachable!("{other}"),
            }
        }
    }
}
