//! Errors of a teacher.

use std::path::PathBuf;

use miette::Diagnostic;
use tch::TchError;
use thiserror::Error;

use crate::data::DataError;
use crate::experiment::ExperimentError;
use crate::model::ModelError;
use crate::run::{RecordError, RunError, Status};

/// An error of a teacher.
#[derive(Debug, Error, Diagnostic)]
pub enum TeacherError {
    /// A key of `[teacher]`.
    #[error("`{key}`: {message}")]
    Setting {
        /// The key with its table.
        key: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The run's folder.
    #[error("the teacher's run cannot be used: {0}")]
    #[diagnostic(transparent)]
    Run(#[from] RecordError),
    /// A run that still goes on, or was stopped.
    #[error("the teacher's run {} is {status}", path.display())]
    #[diagnostic(help("finish it with `lossmith train --resume {}`", path.display()))]
    NotFinished {
        /// The run's folder.
        path: PathBuf,
        /// How it stands with it.
        status: Status,
    },
    /// What the run kept of its experiment.
    #[error("the experiment that the teacher's run kept is damaged")]
    #[diagnostic(transparent)]
    Experiment(#[source] ExperimentError),
    /// The weights cannot be read.
    #[error("cannot read the teacher's weights {}: {cause}", path.display())]
    #[diagnostic(help("`teacher.weights` is a safetensors file, `teacher.module` one that torch.jit.save wrote"))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says; the message has it, so it is no source to be told once more.
        cause: std::io::Error,
    },
    /// The network.
    #[error("the teacher's network")]
    #[diagnostic(transparent)]
    Model(#[from] ModelError),
    /// Images of another number of channels.
    #[error("the teacher sees images of {teacher} channels, the student's data has {student}")]
    #[diagnostic(help("take a teacher that was trained on images of that kind"))]
    Channels {
        /// Of the teacher's data.
        teacher: usize,
        /// Of the student's data.
        student: usize,
    },
    /// The teacher was trained on what the student is measured on.
    #[error("the teacher was trained on {count} of the {of} images of this experiment's {part} part")]
    #[diagnostic(help(
        "its knowledge of them would be measured as the student's: give both the same split (`data.split`, \
         `data.validation`, `data.test-classes`, and `data.seed`, else `seed`)"
    ))]
    Seen {
        /// Images of the part that the teacher was trained on.
        count: usize,
        /// Images of the part.
        of: usize,
        /// The part.
        part: &'static str,
    },
    /// The teacher gave something that is no embedding of the images.
    #[error(
        "the teacher {name} gives {found:?} for {images} images, not [{images}, {}]",
        dimension.map_or("D".to_owned(), |dimension| dimension.to_string())
    )]
    #[diagnostic(help("a teacher returns one row of finite numbers for an image, always as many"))]
    Shape {
        /// The teacher's run or file.
        name: String,
        /// The shape of what it gave.
        found: Vec<i64>,
        /// Images it was given.
        images: usize,
        /// The numbers of a row, if they are known.
        dimension: Option<i64>,
    },
    /// The teacher's embeddings are not finite.
    #[error("the teacher {name} gives embeddings that are not finite")]
    #[diagnostic(help("its weights or its normalisation are not what it was trained with"))]
    NotFinite {
        /// The teacher's run or file.
        name: String,
    },
    /// What identifies the teacher cannot be written down.
    #[error("the teacher's digest cannot be computed: {0}")]
    Digest(serde_json::Error),
    /// A file of the cache is not what its name says.
    #[error("the teacher's cache {} cannot be used: {reason}", path.display())]
    #[diagnostic(help("remove the file; it is computed again"))]
    Cache {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The teacher of a run that goes on is not the one it began with.
    #[error("the teacher is not the one that this run began with: its digest is {found}, it was {expected}")]
    #[diagnostic(help("put the teacher's file back, or start a new run"))]
    Another {
        /// The digest of the teacher now.
        found: String,
        /// The digest in the run's manifest.
        expected: String,
    },
    /// The student's images.
    #[error("the teacher cannot see the images")]
    #[diagnostic(transparent)]
    Data(#[from] DataError),
    /// A tensor operation of the host.
    #[error("libtorch: {}", lossmith_plugin::brief(.0))]
    Tensor(TchError),
}

// Its text is told in brief, so it is no source, which would be told in full.
impl From<TchError> for TeacherError {
    fn from(error: TchError) -> Self {
        Self::Tensor(error)
    }
}

impl From<RunError> for TeacherError {
    fn from(error: RunError) -> Self {
        Self::Run(error.into())
    }
}

impl TeacherError {
    /// A key of `[teacher]` with its table, and what is wrong with it.
    pub(super) fn setting((key, message): (&'static str, &'static str)) -> Self {
        Self::Setting { key, message: message.to_owned() }
    }
}
