//! What can go wrong between a training and those who control it.

use std::io;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

/// Why a training cannot be controlled.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum ControlError {
    /// The folder is none of ours.
    #[error("{} is not a run: it has no journal.jsonl", run.display())]
    #[diagnostic(help("`lossmith runs list` shows the runs there are"))]
    NotARun {
        /// The folder.
        run: PathBuf,
    },
    /// Nobody listens.
    #[error("no training is at work in {}", run.display())]
    #[diagnostic(help("`lossmith train --resume {}` goes on with it", run.display()))]
    NotAtWork {
        /// The run's folder.
        run: PathBuf,
    },
    /// The training belongs to another user.
    #[error("the training in {} is not yours", run.display())]
    #[diagnostic(help("only the user who started the training can control it"))]
    NotAllowed {
        /// The run's folder.
        run: PathBuf,
    },
    /// The connection closed before there was an answer.
    #[error("the training in {} gave no answer", run.display())]
    #[diagnostic(help("the training ended while it was asked; `lossmith runs show {}` tells how", run.display()))]
    Ended {
        /// The run's folder.
        run: PathBuf,
    },
    /// An answer that this version does not know.
    #[error("the answer of the training in {} is not understood: {reason}", run.display())]
    #[diagnostic(help("is the training of another version of lossmith?"))]
    Answer {
        /// The run's folder.
        run: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody listens already.
    #[error("another process controls this run: {}", run.display())]
    #[diagnostic(help("`lossmith session status {}` tells which one", run.display()))]
    InUse {
        /// The run's folder.
        run: PathBuf,
    },
    /// The system refused something.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ControlError {
    /// For `map_err`: the training in `run` could not be asked.
    pub(super) fn asking(run: &Path) -> impl Fn(io::Error) -> Self {
        let run = run.to_owned();
        move |source| {
            let run = run.clone();
            match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Self::NotAtWork { run },
                io::ErrorKind::PermissionDenied => Self::NotAllowed { run },
                io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                    Self::Ended { run }
                }
                _ => Self::Io { action: "ask the training in", path: run, source },
            }
        }
    }

    /// For `map_err`: the socket of `run` could not be made.
    pub(super) fn listening(run: &Path) -> impl Fn(io::Error) -> Self {
        let run = run.to_owned();
        move |source| Self::Io { action: "listen for commands in", path: run.clone(), source }
    }
}
