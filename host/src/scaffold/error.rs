//! Errors of making a new plugin.

use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

/// An error of making a new plugin.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum ScaffoldError {
    /// The name is not one for plugins.
    #[error("`{name}` is no name for a plugin: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: String,
        /// A name that is like it and right.
        #[help]
        help: Option<String>,
    },
    /// The folder is not a new one, whatever is in it.
    #[error("`{}` does not name a new folder", .directory.display())]
    #[diagnostic(help("give a folder that does not exist yet, for instance `--directory my-plugin`"))]
    NoNewFolder {
        /// The folder.
        directory: PathBuf,
    },
    /// Something is there already.
    #[error("{} exists already and is left as it is", .directory.display())]
    #[diagnostic(help("give another name, or another folder with `--directory`"))]
    Exists {
        /// The folder.
        directory: PathBuf,
    },
    /// A file cannot be written.
    #[error("{action} {} failed", .file.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl ScaffoldError {
    /// Whether what was asked for makes no sense, wherever it is asked.
    #[must_use]
    pub fn is_misuse(&self) -> bool {
        matches!(self, Self::Name { .. } | Self::NoNewFolder { .. })
    }

    pub(super) fn file(action: &'static str, file: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::File { action, file: file.to_path_buf(), source }
    }
}
