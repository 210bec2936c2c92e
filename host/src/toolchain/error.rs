//! Errors of building a plugin.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

/// Why no component was built.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum ToolchainError {
    /// Neither the compiled standard library for Wasm nor Debian's packages are there.
    #[error("no Rust toolchain for WebAssembly was found")]
    #[diagnostic(help("{remedy}"))]
    NoToolchain {
        /// The command that helps.
        remedy: &'static str,
    },

    /// `LOSSMITH_WASM_TOOLCHAIN` has a value that means nothing.
    #[error("LOSSMITH_WASM_TOOLCHAIN is `{value}`, which is not known")]
    #[diagnostic(help("unset it to use what is found, or set it to `debian`"))]
    UnknownToolchain {
        /// The value.
        value: String,
    },

    /// The folder holds no crate.
    #[error("no Cargo.toml in {}", dir.display())]
    #[diagnostic(help(
        "give the folder of a Rust crate, or one with a plugin.toml; a component that exists already needs no build"
    ))]
    NoManifest {
        /// The folder.
        dir: PathBuf,
    },

    /// The manifest is that of a workspace without a package of its own.
    #[error("{} is a workspace, not a crate", dir.display())]
    #[diagnostic(help("give the folder of one of its crates"))]
    Workspace {
        /// The folder.
        dir: PathBuf,
    },

    /// The crate would be built as a library for other crates only.
    #[error("the crate `{package}` does not build a Wasm module")]
    #[diagnostic(help("add to its Cargo.toml:\n[lib]\ncrate-type = [\"cdylib\"]"))]
    NoCdylib {
        /// The crate's name.
        package: String,
    },

    /// Cargo rejected the manifest.
    #[error("cargo cannot read {}:\n{message}", manifest.display())]
    Manifest {
        /// The manifest.
        manifest: PathBuf,
        /// What cargo said.
        message: String,
    },

    /// Cargo said something that this version of lossmith does not understand.
    #[error("cargo's answer is not understood")]
    Answer(#[source] serde_json::Error),

    /// The crate does not compile.
    #[error("the crate `{package}` does not compile")]
    #[diagnostic(help("{messages}"))]
    Compile {
        /// The crate's name.
        package: String,
        /// What the compiler said, or where it said it.
        messages: String,
    },

    /// The module exports nothing that the contract knows.
    #[error("`{package}` compiles, but exports no plugin")]
    #[diagnostic(help("call the export macro of lossmith-sdk in the crate"))]
    NoContract {
        /// The crate's name.
        package: String,
    },

    /// The compiled module could not be turned into a component.
    #[error("`{package}` compiles, but cannot be made a component")]
    #[diagnostic(help("is it built with the version of lossmith-sdk that belongs to this lossmith?"))]
    Encode {
        /// The crate's name.
        package: String,
        /// What the encoder said.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },

    /// `plugin.toml` is not what is expected.
    #[error("{} cannot be used:\n{message}", file.display())]
    #[diagnostic(help("for instance:\nlanguage = \"python\"\nname = \"my-loss\"\nroles = [\"loss\"]"))]
    PluginToml {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        message: String,
    },

    /// The plugin's source file is missing.
    #[error("no {source_file} in {}", dir.display())]
    #[diagnostic(help("the strategies of a plugin with a plugin.toml are in {source_file}"))]
    NoSource {
        /// The folder.
        dir: PathBuf,
        /// The file's name.
        source_file: &'static str,
    },

    /// What makes components of the language was not found.
    #[error("`{program}`, which builds plugins in {language}, was not found")]
    #[diagnostic(help(
        "run: {install}\n(in the repository: make languages), or set {variable} to the path of the program"
    ))]
    NoComponentizer {
        /// The language.
        language: &'static str,
        /// The program.
        program: &'static str,
        /// The environment variable with its path.
        variable: &'static str,
        /// The command that installs it.
        install: String,
    },

    /// What makes components of the language is of another version than the SDK is made for.
    #[error("{} is {program} {found}, not {wanted}", path.display())]
    #[diagnostic(help(
        "run: {install}\n(in the repository: make languages), or set {variable} to the path of {program} {wanted}"
    ))]
    OtherComponentizer {
        /// The program.
        program: &'static str,
        /// Where it is.
        path: PathBuf,
        /// Its version.
        found: String,
        /// The version that is needed.
        wanted: &'static str,
        /// The environment variable with its path.
        variable: &'static str,
        /// The command that installs the right one.
        install: String,
    },

    /// What can be seen without building: all at once.
    #[error("the plugin `{plugin}` cannot be made a component")]
    #[diagnostic(help("{}", mistakes.join("\n")))]
    Mistakes {
        /// The plugin's name.
        plugin: String,
        /// The mistakes, with their places.
        mistakes: Vec<String>,
    },

    /// The sources changed again and again while they were built.
    #[error("the sources in {} change while they are built", dir.display())]
    #[diagnostic(help("build again when they are left alone"))]
    Unsettled {
        /// The folder.
        dir: PathBuf,
    },

    /// The plugin imports a module that is not in the component.
    #[error("the plugin `{plugin}` imports `{module}`, which is not there")]
    #[diagnostic(help(
        "a component has the language's standard library and the modules in the plugin's folder; packages with native \
         code, such as numpy or torch, cannot run in it: use the tensor operations of the host, which run on the \
         training device"
    ))]
    NoModule {
        /// The plugin's name.
        plugin: String,
        /// The module.
        module: String,
    },

    /// The plugin could not be made a component.
    #[error("the plugin `{plugin}` cannot be made a component")]
    #[diagnostic(help("{messages}"))]
    Componentize {
        /// The plugin's name.
        plugin: String,
        /// What the tool said, or where it said it.
        messages: String,
    },

    /// A program did not start.
    #[error("`{program}` could not be started")]
    #[diagnostic(help("is it installed and on the PATH? `lossmith doctor` tells what is missing"))]
    Start {
        /// The program.
        program: String,
        /// The system's error.
        #[source]
        cause: std::io::Error,
    },

    /// There is no room for what a build needs meanwhile.
    #[error("a folder in {} could not be made", folder.display())]
    #[diagnostic(help(
        "a build needs a folder for temporary files; TMPDIR names it, and /tmp is it where that is unset"
    ))]
    NoTemporary {
        /// The folder of temporary files.
        folder: PathBuf,
        /// The system's error.
        #[source]
        cause: std::io::Error,
    },

    /// A file could not be read or written.
    #[error("{action} {} failed", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        cause: std::io::Error,
    },
}

impl ToolchainError {
    /// For `map_err` on a file operation.
    pub(super) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |cause| Self::File { action, path, cause }
    }

    /// For `map_err` on starting a program.
    pub(super) fn start(program: &str) -> impl FnOnce(std::io::Error) -> Self {
        let program = program.to_owned();
        move |cause| Self::Start { program, cause }
    }
}

/// An error with its cause, in one line.
pub(super) fn with_cause(error: &ToolchainError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}
