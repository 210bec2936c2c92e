//! What can go wrong with a run directory.

use std::io;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

/// Why a run directory could not be written or read.
#[derive(Debug, Error, Diagnostic)]
pub enum RunError {
    /// A name that cannot be the name of a folder.
    #[error("{name:?} cannot be the name of a run")]
    #[diagnostic(help("use letters, digits, '.', '_' and '-', not beginning with '.' or '-'"))]
    Name {
        /// The name.
        name: String,
    },
    /// The folder is none of ours.
    #[error("{} is not a run: it has no journal.jsonl", path.display())]
    #[diagnostic(help("`lossmith runs list` shows the runs there are"))]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// A folder for a new run that is not empty.
    #[error("{} is not empty: another run, or something else, is there", path.display())]
    #[diagnostic(help("name a folder that does not exist yet; `lossmith runs show FOLDER` says what run it is"))]
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// A checkpoint that is not there.
    #[error("{} has no checkpoint `{wanted}`; there are {there}", run.display())]
    MissingCheckpoint {
        /// The run's folder.
        run: PathBuf,
        /// What was asked for.
        wanted: String,
        /// What there is.
        there: String,
    },
    /// There is no room for a file.
    #[error("no room to write {}", path.display())]
    #[diagnostic(help("make room on that disk; whatever was there under this name before is still there, complete"))]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused something.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is damaged: {reason}", path.display())]
    #[diagnostic(help("take an older one, or copy the file anew if it was copied"))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In what way.
        reason: String,
    },
    /// A file that the network was made of is another one now.
    #[error(
        "`{key}` is not the file that the run was made with: the SHA-256 of {} is {found}, and was {expected}",
        path.display()
    )]
    #[diagnostic(help("put the file of before back; a new run takes the file as it is now"))]
    OtherFile {
        /// The key of the experiment that names it.
        key: String,
        /// The file.
        path: PathBuf,
        /// SHA-256 of the file that is there.
        found: String,
        /// SHA-256 of the file that the run was made with.
        expected: String,
    },
    /// Something that its file's format cannot say.
    #[error("cannot write {}: {reason}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl RunError {
    /// For `map_err`: `action` on `path` failed.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::NoRoom { path, source }
            }
            _ => Self::Io { action, path, source },
        }
    }

    /// For `map_err`: what `path` was to hold cannot be written in its format.
    pub fn unwritable<E: ToString>(path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |reason| Self::Unwritable { path, reason: reason.to_string() }
    }

    /// For `map_err`: `path` has content that cannot be understood.
    pub fn damaged<E: ToString>(path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |reason| Self::Damaged { path, reason: reason.to_string() }
    }
}
