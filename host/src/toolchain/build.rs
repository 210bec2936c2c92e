//! Builds a plugin.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use cargo_metadata::{CrateType, Message, Metadata, Target};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use super::build_folder::BuildFolder;
use super::built::{Built, Messages};
use super::cargo;
use super::command::clean;
use super::detect::{Toolchain, detect};
use super::error::ToolchainError;
use super::plugin_toml::PluginFolder;
use super::script;
use super::sources::Sources;
use super::spoken;
use super::under_way::UnderWay;

/// How often a crate is compiled again because its sources changed meanwhile.
const ATTEMPTS: usize = 4;

/// Builds the plugin in `dir`, a crate or a folder with a `plugin.toml`. [`Built::write`] puts the component into
/// `out_dir`, by default `plugins` in the target folder of the crate's workspace, or `target/plugins` of the folder.
///
/// Meanwhile it is `under_way`: others can see it there, and abandon it.
///
/// # Errors
/// See [`ToolchainError`]. That of a build that was abandoned says nothing of the plugin.
pub fn build(
    dir: &Path,
    out_dir: Option<&Path>,
    messages: Messages,
    under_way: &UnderWay,
) -> Result<Built, ToolchainError> {
    let _begun = under_way.begin(dir);
    if PluginFolder::is_at(dir) {
        return script::build_script(dir, out_dir, messages, under_way);
    }
    let package = Package::read(dir, under_way)?;
    let toolchain = detect(&package.dir)?;
    let (sources, bytes) = package.build_settled(&toolchain, messages, under_way)?;
    if !has_contract(&bytes) {
        return Err(ToolchainError::NoContract { package: package.name });
    }
    let component = encode(&bytes).map_err(|cause| ToolchainError::Encode { package: package.name.clone(), cause })?;
    let name = package.name.strip_prefix("lossmith-").unwrap_or(&package.name);
    let out_dir = out_dir.map_or_else(|| package.target_dir.join("plugins"), Path::to_path_buf);
    Ok(Built::new(name, component, out_dir, sources))
}

/// A crate, as `cargo metadata` describes it.
#[derive(Debug)]
struct Package {
    /// The crate's folder, absolute.
    dir: PathBuf,
    name: String,
    /// The name of its library.
    library: String,
    /// The target folder of the crate's workspace.
    target_dir: PathBuf,
    /// Whether it is a workspace of its own whose target folder nobody chose.
    alone: bool,
}

/// A compiled core module.
struct CoreModule {
    file: PathBuf,
    /// Whether nothing had to be compiled.
    fresh: bool,
}

impl Package {
    fn read(dir: &Path, under_way: &UnderWay) -> Result<Self, ToolchainError> {
        if !dir.join("Cargo.toml").is_file() {
            return Err(ToolchainError::NoManifest { dir: dir.to_path_buf() });
        }
        let dir = dir.canonicalize().map_err(ToolchainError::file("opening", dir))?;
        let manifest = dir.join("Cargo.toml");
        let mut command = clean("cargo", &dir);
        command.args(["metadata", "--no-deps", "--format-version=1", "--manifest-path=Cargo.toml"]);
        let output = under_way.output(&mut command).map_err(ToolchainError::start("cargo"))?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(ToolchainError::Manifest { manifest, message });
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout).map_err(ToolchainError::Answer)?;
        let mut packages = metadata.packages.into_iter();
        let Some(package) = packages.find(|package| package.manifest_path.as_std_path() == manifest) else {
            return Err(ToolchainError::Workspace { dir });
        };
        let name = package.name.into_inner();
        let Some(library) = package.targets.into_iter().find(is_cdylib) else {
            return Err(ToolchainError::NoCdylib { package: name });
        };
        let target_dir = metadata.target_directory.into_std_path_buf();
        let alone = metadata.workspace_root.as_std_path() == dir && target_dir == dir.join("target");
        Ok(Self { dir, name, library: library.name, target_dir, alone })
    }

    /// Compiles the crate, again if its sources were edited meanwhile, so that what is compiled is known. Returns the
    /// sources and the module.
    fn build_settled(
        &self,
        toolchain: &Toolchain,
        messages: Messages,
        under_way: &UnderWay,
    ) -> Result<(Sources, Vec<u8>), ToolchainError> {
        let begun = Instant::now();
        let kind = cargo::folder(toolchain);
        let folder = BuildFolder::of(&self.dir, &self.library, &self.target_dir.join(kind), self.alone.then_some(kind));
        let folder = folder.open(&self.name, messages, under_way)?;
        let (mut sources, mut fresh) = (Sources::read(&self.dir), true);
        for _ in 0..ATTEMPTS {
            let module = self.build_module(toolchain, folder.path(), messages, under_way)?;
            let bytes = std::fs::read(&module.file).map_err(ToolchainError::file("reading", &module.file))?;
            fresh &= module.fresh;
            let now = Sources::read(&self.dir);
            if now == sources {
                messages.say(&match fresh {
                    true => format!("plugin `{}`: unchanged since it was built", self.name),
                    false => format!("plugin `{}`: built in {:.1} s", self.name, begun.elapsed().as_secs_f64()),
                });
                return Ok((sources, bytes));
            }
            // The first build of a crate writes its Cargo.lock; then this is at once.
            sources = now;
        }
        Err(ToolchainError::Unsettled { dir: self.dir.clone() })
    }

    /// Compiles the crate to a core module and returns its file.
    fn build_module(
        &self,
        toolchain: &Toolchain,
        target_dir: &Path,
        messages: Messages,
        under_way: &UnderWay,
    ) -> Result<CoreModule, ToolchainError> {
        let mut command = cargo::compile(toolchain, &self.dir, target_dir);
        command.args(["--message-format=json-render-diagnostics", "--color=never"]);
        command.env("CARGO_TERM_PROGRESS_WHEN", "never");
        // Outside of the terminal's group nobody could answer.
        command.env("GIT_TERMINAL_PROMPT", "0");
        if messages == Messages::Kept {
            command.arg("--quiet");
        }
        let start = || ToolchainError::start("cargo");
        let group = under_way.group().map_err(start())?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = group.spawn(&mut command).map_err(start())?;
        // On a thread of its own: cargo would wait for whichever pipe nobody empties.
        let said = child.stderr.take().map(|stderr| {
            std::thread::spawn(move || {
                let lines: Vec<_> = spoken::lines(stderr).inspect(|line| messages.say(line)).collect();
                lines.join("\n").trim().to_owned()
            })
        });
        let mut module = None;
        if let Some(stdout) = child.stdout.take() {
            for message in Message::parse_stream(BufReader::new(stdout)) {
                let message = message.map_err(ToolchainError::file("reading the messages of cargo in", &self.dir))?;
                module = self.module_of(message).or(module);
            }
        }
        let status = child.wait().map_err(start())?;
        // Nobody is left who could write.
        drop(group);
        let said = said.and_then(|thread| thread.join().ok()).unwrap_or_default();
        let messages = match messages {
            Messages::Kept => said,
            Messages::Shown => "the compiler's messages are above".to_owned(),
        };
        module
            .filter(|_| status.success())
            .ok_or_else(|| ToolchainError::Compile { package: self.name.clone(), messages })
    }

    /// The module of the crate, if this message of cargo names its file.
    fn module_of(&self, message: Message) -> Option<CoreModule> {
        let Message::CompilerArtifact(artifact) = message else { return None };
        if !is_cdylib(&artifact.target) || artifact.manifest_path.as_std_path() != self.dir.join("Cargo.toml") {
            return None;
        }
        let file = artifact.filenames.into_iter().find(|file| file.extension() == Some("wasm"))?;
        Some(CoreModule { file: file.into_std_path_buf(), fresh: artifact.fresh })
    }
}

fn is_cdylib(target: &Target) -> bool {
    target.crate_types.contains(&CrateType::CDyLib)
}

/// Whether bindings of a WIT world were compiled in. Without them the encoder makes an empty component.
fn has_contract(module: &[u8]) -> bool {
    let is_contract =
        |payload| matches!(payload, Payload::CustomSection(section) if section.name().starts_with("component-type"));
    Parser::new(0).parse_all(module).flatten().any(is_contract)
}

/// Makes a component of a core module that has the contract.
pub(crate) fn encode(module: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    Ok(ComponentEncoder::default().validate(true).module(module)?.encode()?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// A crate outside any workspace.
    fn crate_with(lib: &str, source: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let manifest =
            format!("[package]\nname = \"lossmith-tiny\"\nedition = \"2024\"\n\n[lib]\n{lib}\n\n[workspace]\n");
        std::fs::write(dir.path().join("Cargo.toml"), manifest).unwrap();
        std::fs::create_dir(dir.path().join("src")).unwrap();
        std::fs::write(dir.path().join("src/lib.rs"), source).unwrap();
        dir
    }

    fn refused(dir: &Path, out: Option<&Path>) -> ToolchainError {
        build(dir, out, Messages::Shown, &UnderWay::default()).unwrap_err()
    }

    const CDYLIB: &str = "crate-type = [\"cdylib\"]";

    #[test]
    fn a_crate_without_the_contract_becomes_a_core_module_only() {
        let dir = crate_with(CDYLIB, "#[unsafe(no_mangle)] pub extern \"C\" fn answer() -> i32 { 42 }");
        let under_way = UnderWay::default();
        let package = Package::read(dir.path(), &under_way).unwrap();
        let (_, bytes) = package.build_settled(&detect(dir.path()).unwrap(), Messages::Shown, &under_way).unwrap();
        assert!(Parser::is_core_wasm(&bytes));
        let error = refused(dir.path(), None);
        assert!(matches!(error, ToolchainError::NoContract { .. }), "{error}");
    }

    #[test]
    fn a_crate_that_does_not_compile_leaves_the_last_component() {
        let dir = crate_with(CDYLIB, "pub fn answer() -> i32 { \"forty-two\" }");
        let out = dir.path().join("out");
        std::fs::create_dir(&out).unwrap();
        std::fs::write(out.join("tiny.wasm"), "the last one").unwrap();
        let error = refused(dir.path(), Some(&out));
        assert!(matches!(error, ToolchainError::Compile { package, .. } if package == "lossmith-tiny"));
        assert_eq!(std::fs::read_to_string(out.join("tiny.wasm")).unwrap(), "the last one");
    }

    #[test]
    fn a_library_that_is_no_cdylib_is_refused() {
        let dir = crate_with("", "");
        assert!(matches!(refused(dir.path(), None), ToolchainError::NoCdylib { .. }));
    }

    #[test]
    fn a_folder_without_a_manifest_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(refused(dir.path(), None), ToolchainError::NoManifest { .. }));
    }

    #[test]
    fn a_workspace_is_not_a_crate() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("Cargo.toml"), "[workspace]\n").unwrap();
        assert!(matches!(refused(dir.path(), None), ToolchainError::Workspace { .. }));
    }

    #[test]
    fn a_broken_manifest_is_shown_as_cargo_sees_it() {
        let dir = crate_with("crate-type = 7", "");
        let error = refused(dir.path(), None);
        assert!(error.to_string().contains("crate-type"), "{error}");
    }
}
