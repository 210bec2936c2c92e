//! Builds a plugin in Python or JavaScript.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use sha2::{Digest, Sha256};

use super::built::{Built, Messages};
use super::command::clean;
use super::component_cache::{ComponentCache, Inputs};
use super::componentizer::{Componentizer, InstalledTool};
use super::error::ToolchainError;
use super::javascript::JAVASCRIPT;
use super::plugin_toml::{self, PluginFolder, ScriptLanguage};
use super::python::PYTHON;
use super::sources::{Sources, walk};
use super::spoken;
use super::under_way::UnderWay;
use super::wit_world;

impl Componentizer {
    fn of(language: ScriptLanguage) -> Self {
        match language {
            ScriptLanguage::Python => PYTHON,
            ScriptLanguage::JavaScript => JAVASCRIPT,
        }
    }

    /// All that the component is made of.
    fn inputs(&self, folder: &PluginFolder, sources: &Sources, tool: &InstalledTool) -> Result<Inputs, ToolchainError> {
        let mut inputs = sources.digests();
        let digest = |text: &[u8]| lossmith_files::hex(&Sha256::digest(text));
        let program = std::fs::read(&tool.program).map_err(ToolchainError::file("reading", &tool.program))?;
        let (tool_name, (_, sdk), (_, entry)) = (self.tool.program, self.sdk, self.entry);
        let mut arguments = Command::new(tool_name);
        (self.arguments)(&mut arguments, Path::new("wit"), Path::new("plugin.wasm"));
        let arguments: Vec<_> = arguments.get_args().map(|argument| argument.to_string_lossy()).collect();
        let how = format!("{} {}", arguments.join(" "), entry(&folder.roles));
        let tool = format!("{} {} {}", tool.version, tool.program.display(), digest(&program));
        inputs.extend([
            (tool_name.to_owned(), tool),
            ("the SDK".to_owned(), digest(sdk.as_bytes())),
            ("the contract".to_owned(), digest(wit_world::text(&folder.roles).as_bytes())),
            ("the way it is built".to_owned(), digest(how.as_bytes())),
        ]);
        Ok(inputs)
    }
}

/// Builds the plugin in `dir`, which has a `plugin.toml`, by default for `target/plugins` in the folder. What was built
/// of the same before is taken again.
///
/// # Errors
/// See [`ToolchainError`].
pub(super) fn build_script(
    dir: &Path,
    out_dir: Option<&Path>,
    messages: Messages,
    under_way: &UnderWay,
) -> Result<Built, ToolchainError> {
    let folder = PluginFolder::read(dir)?;
    let script = Componentizer::of(folder.language);
    let sources = modules(&folder.dir, script.endings)?;
    let tool = script.tool.find(&folder.dir)?;
    let inputs = script.inputs(&folder, &sources, &tool)?;
    let name = &folder.name;
    let out_dir = out_dir.map_or_else(|| folder.dir.join("target/plugins"), Path::to_path_buf);
    let Some(cache) = ComponentCache::of_user() else {
        let component = componentize(&folder, &script, &sources, &tool, messages, under_way)?;
        return Ok(Built::new(name, component, out_dir, sources));
    };
    // Two trainings that start with the same plugin build it once. Without a lock they build it twice.
    let _lock = cache.lock(&inputs, under_way);
    if let Some(component) = cache.get(&inputs) {
        messages.say(&format!("plugin `{name}`: unchanged since it was built"));
        return Ok(Built::new(name, component, out_dir, sources));
    }
    let why = cache.why(&folder.dir, &inputs);
    messages.say(&format!(
        "plugin `{name}`: {} {} builds it, which takes {}: {why}",
        script.tool.program, tool.version, script.takes
    ));
    let begun = Instant::now();
    let component = componentize(&folder, &script, &sources, &tool, messages, under_way)?;
    messages.say(&format!("plugin `{name}`: built in {:.1} s", begun.elapsed().as_secs_f64()));
    if let Err(error) = cache.put(&inputs, &component) {
        messages.say(&format!("plugin `{name}`: it cannot be kept, and is built again the next time: {error}"));
    }
    Ok(Built::new(name, component, out_dir, sources))
}

impl Sources {
    /// Reads those of the plugin in a folder, as its build does: a crate's, or the modules of a folder with a
    /// `plugin.toml`.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        sources(dir).unwrap_or_else(|| Self::read(dir))
    }
}

/// The sources of the plugin in `dir`, if it has a `plugin.toml` that can be read.
fn sources(dir: &Path) -> Option<Sources> {
    let folder = PluginFolder::read(dir).ok()?;
    modules(&folder.dir, Componentizer::of(folder.language).endings).ok()
}

/// Calls the tool on a copy: it sees one folder only, and would leave compiled modules in it.
fn componentize(
    folder: &PluginFolder,
    script: &Componentizer,
    sources: &Sources,
    tool: &InstalledTool,
    messages: Messages,
    under_way: &UnderWay,
) -> Result<Vec<u8>, ToolchainError> {
    let no_folder = |cause| ToolchainError::NoTemporary { folder: std::env::temp_dir(), cause };
    let work = tempfile::tempdir().map_err(no_folder)?;
    let (wit, source, made) = (work.path().join("wit"), work.path().join("source"), work.path().join("plugin.wasm"));
    wit_world::write(&wit, &folder.roles)?;
    for (place, content) in sources.files().filter(|(place, _)| *place != plugin_toml::FILE) {
        put(&source.join(place), content)?;
    }
    let (sdk, text) = script.sdk;
    if !source.join(sdk).is_file() {
        put(&source.join(sdk), text.as_bytes())?;
    }
    let mistakes = (script.mistakes)(&tool.program, &source, &folder.roles);
    if !mistakes.is_empty() {
        return Err(ToolchainError::Mistakes { plugin: folder.name.clone(), mistakes });
    }
    let (entry, text) = script.entry;
    put(&source.join(entry), text(&folder.roles).as_bytes())?;
    let mut command = clean(&tool.program, &source);
    (script.arguments)(&mut command, &wit, &made);
    run(&mut ending(&command, LONGEST), script.tool.program, messages, LONGEST, under_way)
        .map_err(|failure| failure.into_error(&folder.name, messages, |said| script.missing(&folder.name, said)))?;
    std::fs::read(&made).map_err(ToolchainError::file("reading", &made))
}

/// Writes a file of the build.
fn put(file: &Path, content: &[u8]) -> Result<(), ToolchainError> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(ToolchainError::file("creating", folder))?;
    }
    std::fs::write(file, content).map_err(ToolchainError::file("writing", file))
}

/// `plugin.toml`, and the modules of a folder and of the folders in it, whose names end as one of `endings`.
fn modules(dir: &Path, endings: &[&str]) -> Result<Sources, ToolchainError> {
    let mut paths = vec![dir.join(plugin_toml::FILE)];
    walk(dir, &mut |_| (), &mut |path| {
        if path.is_file() && path.extension().is_some_and(|ending| endings.iter().any(|known| ending == *known)) {
            paths.push(path.to_owned());
        }
    });
    let mut sources = Sources::default();
    for path in paths {
        let content = std::fs::read(&path).map_err(ToolchainError::file("reading", &path))?;
        let place = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().into_owned();
        sources.insert(place, content);
    }
    Ok(sources)
}

/// A componentizer runs the plugin's top level, which may never end. The slowest seen took 117 s, on a machine with
/// other work.
const LONGEST: Duration = Duration::from_secs(600);

/// A command that ends by itself after so much computing, whoever waits for it.
fn ending(command: &Command, longest: Duration) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit -t {}; exec \"$0\" \"$@\"", longest.as_secs()));
    shell.arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// Runs a componentizer, for so long at most. An error is what it said.
fn run(
    command: &mut Command,
    program: &str,
    messages: Messages,
    longest: Duration,
    under_way: &UnderWay,
) -> Result<(), Failure> {
    let start = |cause| Failure::Start(ToolchainError::start(program)(cause));
    // On a terminal only.
    let progress = match messages {
        Messages::Shown => ProgressBar::new_spinner(),
        Messages::Kept => ProgressBar::hidden(),
    };
    progress.set_message(format!("{program} is at work"));
    progress.set_style(elapsed());
    progress.enable_steady_tick(Duration::from_millis(200));
    // Its standard output would be taken for ours.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let group = under_way.group().map_err(start)?;
    let mut child = group.spawn(command).map_err(start)?;
    let begun = Instant::now();
    let (sender, lines) = mpsc::channel();
    if let Some(stderr) = child.stderr.take() {
        // What could be read is worth showing; nobody listens after the end.
        let read = move || spoken::lines(stderr).for_each(|line| drop(sender.send(line)));
        std::thread::Builder::new().spawn(read).map_err(start)?;
    }
    let mut said = String::new();
    let mut ended = false;
    while !ended {
        match lines.recv_timeout(longest.saturating_sub(begun.elapsed())) {
            Ok(line) => {
                if messages == Messages::Shown {
                    progress.suspend(|| eprintln!("{line}"));
                }
                said.push_str(&line);
                said.push('\n');
            }
            Err(RecvTimeoutError::Disconnected) => ended = true,
            Err(RecvTimeoutError::Timeout) => {
                // With whatever it started; it may have ended meanwhile.
                drop(group);
                let _ = child.wait();
                let text = format!(
                    "it was ended after {} s: look for an endless loop outside of functions, where the plugin is \
                     loaded",
                    longest.as_secs()
                );
                if messages == Messages::Shown {
                    progress.suspend(|| eprintln!("{text}"));
                }
                return Err(Failure::Said(said + &text));
            }
        }
    }
    let status = child.wait().map_err(start)?;
    progress.finish_and_clear();
    if status.success() { Ok(()) } else { Err(Failure::Said(said)) }
}

fn elapsed() -> indicatif::ProgressStyle {
    // The template is ours and right.
    indicatif::ProgressStyle::with_template("{spinner} {msg}, {elapsed}")
        .unwrap_or_else(|_| indicatif::ProgressStyle::default_spinner())
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

/// Where the tools of the languages are that are not Rust, for a plugin in `dir`, with the language.
///
/// # Errors
/// Each is an error with the command that installs it where it is not found or of another version.
pub fn componentizers(dir: &Path) -> [(&'static str, Result<PathBuf, ToolchainError>); 2] {
    [PYTHON, JAVASCRIPT].map(|script| (script.tool.language, script.tool.find(dir).map(|found| found.program)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_modules_of_a_plugin_are_taken_and_nothing_else() {
        let from = tempfile::tempdir().unwrap();
        for file in ["plugin.js", "parts/mean.mjs", "node_modules/big/index.js", ".git/hook.js", "plugin.toml"] {
            let file = from.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let sources = modules(from.path(), &["js", "mjs"]).unwrap();
        let places: Vec<_> = sources.files().map(|(place, _)| place).collect();
        assert_eq!(places, ["parts/mean.mjs", "plugin.js", "plugin.toml"]);
    }

    #[test]
    fn what_a_tool_says_is_in_the_error() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo wrong >&2; exit 1"]);
        let run = run(&mut command, "sh", Messages::Kept, LONGEST, &UnderWay::default());
        let Err(failure) = run else { unreachable!("it fails") };
        let error = failure.into_error("soft", Messages::Kept, |_| None);
        assert!(matches!(error, ToolchainError::Componentize { messages, .. } if messages == "wrong"));
    }

    #[test]
    fn a_tool_that_does_not_end_is_ended() {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]);
        let mut command = ending(&command, LONGEST);
        let run = run(&mut command, "sh", Messages::Kept, Duration::ZERO, &UnderWay::default());
        let Err(failure) = run else { unreachable!("it does not end") };
        let error = failure.into_error("soft", Messages::Kept, |_| None);
        assert!(error.to_string().contains("soft"), "{error}");
        assert!(matches!(error, ToolchainError::Componentize { messages, .. } if messages.contains("endless loop")));
    }
}
