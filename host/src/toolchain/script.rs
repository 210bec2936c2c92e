//! Building a plugin in Python or JavaScript: what the two have in common.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::build::{Built, Messages};
use super::command::clean;
use super::error::ToolchainError;
use super::javascript::JAVASCRIPT;
use super::plugin_toml::{Language, PluginFolder};
use super::python::PYTHON;
use super::world;

/// How plugins of a language become components.
pub(super) struct Script {
    pub(super) tool: Tool,
    /// How its modules end.
    pub(super) endings: &'static [&'static str],
    /// Name and text of the SDK, for folders without a copy of their own.
    pub(super) sdk: (&'static str, &'static str),
    /// Name of the module that is componentized, and its text for a plugin with these roles.
    pub(super) entry: (&'static str, fn(&[String]) -> String),
    /// Adds the arguments, with the folder of the WIT and the file to make. The tool runs in the folder with the entry.
    pub(super) arguments: fn(&mut Command, &Path, &Path),
    /// What the tool writes before and after the name of a module that is not there.
    pub(super) missing: (&'static str, char),
}

impl Script {
    fn of(language: Language) -> Self {
        match language {
            Language::Python => PYTHON,
            Language::JavaScript => JAVASCRIPT,
        }
    }

    /// The error for a module that the plugin imports and that is not there.
    pub(super) fn missing(&self, plugin: &str, said: &str) -> Option<ToolchainError> {
        let (before, after) = self.missing;
        let (module, _) = said.split_once(before)?.1.split_once(after)?;
        Some(ToolchainError::NoModule { plugin: plugin.to_owned(), module: module.to_owned() })
    }
}

/// Builds the plugin in `dir`, which has a `plugin.toml`, by default for `target/plugins` in the folder.
///
/// # Errors
/// See [`ToolchainError`].
pub(super) fn build_script(dir: &Path, out_dir: Option<&Path>, messages: Messages) -> Result<Built, ToolchainError> {
    let folder = PluginFolder::read(dir)?;
    let script = Script::of(folder.language);
    let tool = script.tool.find(&folder.dir)?;
    let work = tempfile::tempdir().map_err(ToolchainError::file("creating", std::env::temp_dir()))?;
    let (wit, source, made) = (work.path().join("wit"), work.path().join("source"), work.path().join("plugin.wasm"));
    world::write(&wit, &folder.roles)?;
    // In a copy: the tools see one folder only, and would leave compiled modules in it.
    copy_modules(&folder.dir, &source, script.endings)?;
    let (sdk, text) = script.sdk;
    if !source.join(sdk).is_file() {
        put(&source.join(sdk), text)?;
    }
    let (entry, text) = script.entry;
    put(&source.join(entry), &text(&folder.roles))?;
    let mut command = clean(&tool, &source);
    (script.arguments)(&mut command, &wit, &made);
    run(&mut command, script.tool.program, messages)
        .map_err(|failure| failure.into_error(&folder.name, messages, |said| script.missing(&folder.name, said)))?;
    let component = std::fs::read(&made).map_err(ToolchainError::file("reading", &made))?;
    let out_dir = out_dir.map_or_else(|| folder.dir.join("target/plugins"), Path::to_path_buf);
    Ok(Built::new(&folder.name, component, out_dir))
}

/// Writes a file of the build.
fn put(file: &Path, text: &str) -> Result<(), ToolchainError> {
    std::fs::write(file, text).map_err(ToolchainError::file("writing", file))
}

/// Copies the modules of a folder and of the folders in it, whose names end as one of `endings`: the tools see, and write to, the
/// copy only. Hidden folders and those of tools are no part of the plugin.
fn copy_modules(from: &Path, to: &Path, endings: &[&str]) -> Result<(), ToolchainError> {
    std::fs::create_dir_all(to).map_err(ToolchainError::file("creating", to))?;
    for entry in std::fs::read_dir(from).map_err(ToolchainError::file("reading", from))? {
        let entry = entry.map_err(ToolchainError::file("reading", from))?;
        let (path, name) = (entry.path(), entry.file_name());
        // A link to a folder may lead back here.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let is_hidden = name.to_string_lossy().starts_with('.');
            if !is_hidden && name != "node_modules" && name != "target" && !path.join("pyvenv.cfg").exists() {
                copy_modules(&path, &to.join(&name), endings)?;
            }
        } else if path.is_file() && path.extension().is_some_and(|ending| endings.iter().any(|known| ending == *known))
        {
            std::fs::copy(&path, to.join(&name)).map_err(ToolchainError::file("copying", &path))?;
        }
    }
    Ok(())
}

/// Runs a componentizer. An error is what it said.
fn run(command: &mut Command, program: &str, messages: Messages) -> Result<(), Failure> {
    let start = |cause| Failure::Start(ToolchainError::start(program)(cause));
    // Its standard output would be taken for ours.
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(start)?;
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n') {
            // What could be read is worth showing.
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line);
            if messages == Messages::Shown {
                eprintln!("{line}");
            }
            said.push_str(&line);
            said.push('\n');
        }
    }
    let status = child.wait().map_err(start)?;
    if status.success() { Ok(()) } else { Err(Failure::Said(said)) }
}

/// Why a componentizer made nothing.
enum Failure {
    Start(ToolchainError),
    /// It ran and failed, with these messages.
    Said(String),
}

impl Failure {
    /// As the error of a plugin. A module that is missing has an error of its own.
    fn into_error(
        self,
        plugin: &str,
        messages: Messages,
        missing: impl FnOnce(&str) -> Option<ToolchainError>,
    ) -> ToolchainError {
        let said = match self {
            Self::Start(error) => return error,
            Self::Said(said) => said,
        };
        missing(&said).unwrap_or_else(|| ToolchainError::Componentize {
            plugin: plugin.to_owned(),
            messages: match messages {
                Messages::Kept => said.trim().to_owned(),
                Messages::Shown => "the messages are above".to_owned(),
            },
        })
    }
}

/// What makes components of a language.
pub(super) struct Tool {
    /// The language.
    pub(super) language: &'static str,
    /// The program.
    pub(super) program: &'static str,
    /// The environment variable with the program's path, if it is not where it is looked for.
    pub(super) variable: &'static str,
    /// The folder of the repository where `scripts/setup/languages.sh` puts it.
    pub(super) folder: &'static str,
    /// The command that installs it.
    pub(super) install: &'static str,
}

/// Where the tools of the languages are that are not Rust, for a plugin in `dir`, with the language.
///
/// # Errors
/// Each is an error with the command that installs it where it is not found.
pub fn componentizers(dir: &Path) -> [(&'static str, Result<PathBuf, ToolchainError>); 2] {
    [PYTHON, JAVASCRIPT].map(|script| (script.tool.language, script.tool.find(dir)))
}

impl Tool {
    /// The program that the environment variable names, else the one set up in the repository that the plugin in `dir` or the current
    /// directory is in, else the one on the PATH.
    fn find(&self, dir: &Path) -> Result<PathBuf, ToolchainError> {
        let found = match std::env::var_os(self.variable).filter(|given| !given.is_empty()) {
            Some(given) => Some(PathBuf::from(given)).filter(|file| file.is_file()),
            None => {
                let here = std::env::current_dir().unwrap_or_default();
                let set_up = dir.ancestors().chain(here.ancestors()).map(|parent| parent.join(self.folder));
                let path = std::env::var_os("PATH").unwrap_or_default();
                let on_path: Vec<_> = std::env::split_paths(&path).collect();
                set_up.chain(on_path).map(|folder| folder.join(self.program)).find(|file| file.is_file())
            }
        };
        found.ok_or(ToolchainError::NoComponentizer {
            language: self.language,
            program: self.program,
            variable: self.variable,
            install: self.install,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_modules_of_a_plugin_are_copied_and_nothing_else() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for file in ["plugin.js", "parts/mean.mjs", "node_modules/big/index.js", ".git/hook.js", "plugin.toml"] {
            let file = from.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let source = to.path().join("source");
        copy_modules(from.path(), &source, &["js", "mjs"]).unwrap();
        assert!(source.join("plugin.js").is_file() && source.join("parts/mean.mjs").is_file());
        assert!(!source.join("node_modules").exists() && !source.join(".git").exists());
        assert!(!source.join("plugin.toml").exists());
    }

    #[test]
    fn what_a_tool_says_is_in_the_error() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo wrong >&2; exit 1"]);
        let Err(failure) = run(&mut command, "sh", Messages::Kept) else { unreachable!("it fails") };
        let error = failure.into_error("soft", Messages::Kept, |_| None);
        assert!(matches!(error, ToolchainError::Componentize { messages, .. } if messages == "wrong"));
    }

    #[test]
    fn a_tool_in_the_repository_is_found_from_a_folder_in_it() {
        let repository = tempfile::tempdir().unwrap();
        let tool = repository.path().join(".tools/python/bin/no-such-tool");
        let plugin = repository.path().join("plugins/mine");
        for folder in [tool.parent().unwrap(), &plugin] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let looked_for = Tool {
            language: "None",
            program: "no-such-tool",
            variable: "LOSSMITH_NO_SUCH_VARIABLE",
            folder: ".tools/python/bin",
            install: "nothing",
        };
        assert!(looked_for.find(&plugin).is_err());
        std::fs::write(&tool, "").unwrap();
        assert_eq!(looked_for.find(&plugin).unwrap(), tool);
    }
}
