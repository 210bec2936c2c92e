//! Errors of fetching data.

use std::io;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

/// An error of fetching data.
#[derive(Debug, Error, Diagnostic)]
pub enum FetchError {
    /// A vendor that does not exist.
    #[error("`{name}` is not a vendor of emoji; there are: {}", known.join(", "))]
    Vendor {
        /// The name.
        name: String,
        /// The vendors.
        known: Vec<&'static str>,
    },
    /// A program that downloads is not there.
    #[error("`{program}` cannot be started: {cause}")]
    #[diagnostic(help("install {package}, then run the command again"))]
    Program {
        /// The program.
        program: String,
        /// The package that it is in.
        package: &'static str,
        /// What the system says.
        cause: io::Error,
    },
    /// A program that downloads has failed.
    #[error("`{command}` failed: {message}")]
    #[diagnostic(help("what is complete is kept; run the command again when the network is there"))]
    Command {
        /// The program and its arguments.
        command: String,
        /// The end of what it printed.
        message: String,
    },
    /// A downloaded package is not the one that was pinned.
    #[error("the package {package} has the integrity {found}, expected {expected}")]
    #[diagnostic(help(
        "the download was cut short, or the registry offers something else; it was not used. Run the command again"
    ))]
    Integrity {
        /// Name and version.
        package: String,
        /// Of what was downloaded.
        found: String,
        /// Of what was pinned.
        expected: String,
    },
    /// A package cannot be unpacked.
    #[error("the package {package} cannot be unpacked: {cause}")]
    Archive {
        /// Name and version.
        package: String,
        /// What the reader of archives says.
        cause: io::Error,
    },
    /// A path in a package leads out of it.
    #[error("the package {package} has the path `{entry}`, which leads out of the package")]
    Escape {
        /// Name and version.
        package: String,
        /// The path.
        entry: String,
    },
    /// An image of a package cannot be drawn.
    #[error("{entry} of the package {package} cannot be drawn: {problem}")]
    Image {
        /// Name and version.
        package: String,
        /// The image.
        entry: String,
        /// What the decoder says.
        problem: String,
    },
    /// A file or folder cannot be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The record of what was fetched is damaged.
    #[error("{} is damaged: {problem}", path.display())]
    #[diagnostic(help("remove this file; what it lists is then fetched again"))]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl FetchError {
    /// For `map_err`: an error about `path`.
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::File { path, cause }
    }
}
