//! The summary of a data set, for a person or a program to read.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::DataKind;

/// The summary of a data set. `Display` writes one line per part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DataSummary {
    /// What the data is.
    pub kind: DataKind,
    /// Its folder.
    pub path: PathBuf,
    /// The training part.
    pub train: PartSummary,
    /// The validation part.
    pub validation: PartSummary,
    /// The test part.
    pub test: PartSummary,
    /// Whom the images show or who drew them, counted, if the data says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subjects: Option<usize>,
    /// Files and folders that are not read, counted.
    pub skipped_files: usize,
    /// Which they are, with the reason.
    pub skipped: Vec<Skipped>,
    /// SHA-256 of the content, see [`super::Dataset::digest`].
    pub digest: String,
}

/// A file or folder of the data that is not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Where it is.
    pub path: PathBuf,
    /// Why it is not read.
    pub reason: &'static str,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

/// Skipped files that are shown.
const SHOWN: usize = 5;

/// The size of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PartSummary {
    /// Its images.
    pub images: usize,
    /// Classes that have an image in it.
    pub classes: usize,
}

impl From<(usize, usize)> for PartSummary {
    fn from((images, classes): (usize, usize)) -> Self {
        Self { images, classes }
    }
}

impl fmt::Display for DataSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.title();
        write!(f, "{kind} in {}", self.path.display())?;
        for (name, part) in [("train", self.train), ("validation", self.validation), ("test", self.test)] {
            write!(f, "\n  {name:<10} {:>7} images of {} classes", part.images, part.classes)?;
        }
        if let Some(subjects) = self.subjects {
            write!(f, "\n  subjects   {subjects:>7}")?;
        }
        if self.skipped_files > 0 {
            let files = if self.skipped_files == 1 { "file" } else { "files" };
            write!(f, "\n  skipped    {:>7} {files}", self.skipped_files)?;
        }
        for skipped in self.skipped.iter().take(SHOWN) {
            write!(f, "\n    {skipped}")?;
        }
        if self.skipped.len() > SHOWN {
            write!(f, "\n    and {} more", self.skipped.len() - SHOWN)?;
        }
        Ok(())
    }
}
