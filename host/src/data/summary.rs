//! What was opened, for a person or a program to read.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::DataKind;

/// What was opened. `Display` writes one line per part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
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
    /// Files in class folders or lists that are neither JPEG nor PNG.
    pub skipped_files: usize,
    /// SHA-256 of the content, see [`super::Dataset::digest`].
    pub digest: String,
}

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

impl fmt::Display for Summary {
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
            write!(f, "\n  skipped    {:>7} files that are neither JPEG nor PNG", self.skipped_files)?;
        }
        Ok(())
    }
}
