//! Errors of a picture of retrievals.

use std::path::PathBuf;

use miette::Diagnostic;

use crate::data::DataError;
use crate::train::TrainingError;

/// An error of a picture of retrievals.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum RetrieveError {
    /// Two runs that cannot be compared.
    #[error("the two runs have different {0}")]
    #[diagnostic(help(
        "compare runs of the same data, split and seed: their queries must be searched among the same images"
    ))]
    Different(&'static str),
    /// Images that could only be found by themselves.
    #[error("no image of this part has another one of its class to find")]
    #[diagnostic(help("retrieval needs a class with two images or more"))]
    NothingToFind,
    /// A picture that would take too much memory.
    #[error("the picture would have {width} x {height} pixels, more than {most} in all")]
    #[diagnostic(help("ask for fewer of them with `--queries` and `--neighbours`"))]
    TooLarge {
        /// Its width.
        width: u64,
        /// Its height.
        height: u64,
        /// The most pixels of a picture.
        most: u64,
    },
    /// The picture cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: image::ImageError,
    },
    /// A run that cannot be opened or embedded.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Training(#[from] TrainingError),
    /// An image that cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Data(#[from] DataError),
}
