//! Images that an index file lists, each with its class.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use lossmith_images::Area;
use sha2::{Digest, Sha256};

use super::source::{ImageFile, ImageSource, Scan, digest_line, hex};
use crate::data::DataError;

/// An index file, for errors about its records.
#[derive(Clone, Copy)]
pub(in crate::data) struct Index<'a> {
    pub(in crate::data) path: &'a Path,
    /// What one of its records is called: `line`.
    pub(in crate::data) unit: &'static str,
}

impl<'a> Index<'a> {
    /// A file of text lines, counted from 1.
    pub(in crate::data) fn text(path: &'a Path) -> Self {
        Self { path, unit: "line" }
    }

    fn place(&self, record: u64) -> String {
        let file = self.path.display();
        if record == 0 { file.to_string() } else { format!("{file}, {} {record}", self.unit) }
    }

    /// An error about a record; about the whole file if the number is 0.
    pub(in crate::data) fn wrong(&self, record: u64, problem: impl Into<String>, help: impl Into<String>) -> DataError {
        DataError::Record { place: self.place(record), problem: problem.into(), help: help.into() }
    }
}

/// The images that an index file lists.
pub(in crate::data) struct Listing<'a> {
    pub(in crate::data) images: Vec<Listed<'a>>,
    pub(in crate::data) class_names: Vec<String>,
}

/// One image.
pub(in crate::data) struct Listed<'a> {
    /// The file that lists it, and the number of its record there, for errors.
    pub(in crate::data) index: Index<'a>,
    pub(in crate::data) record: u64,
    /// Its file, relative to the folder of the images.
    pub(in crate::data) name: String,
    /// Its class, an index into the names of the classes.
    pub(in crate::data) label: i64,
    /// What is cut out of it. A file may be listed several times with different areas.
    pub(in crate::data) area: Option<Area>,
}

impl Listing<'_> {
    /// Checks that every image is there and listed once. The images keep their order. `index` is the file for an error
    /// about all images, `folder` that of the images, `first_test_class` what [`Scan::first_test_class`] becomes.
    pub(in crate::data) fn scan(
        self,
        index: Index,
        folder: &Path,
        first_test_class: Option<usize>,
    ) -> Result<Scan, DataError> {
        if self.images.is_empty() {
            return Err(index.wrong(0, "no image is listed", "the file is empty; make or fetch it again"));
        }
        let mut listed: HashMap<(PathBuf, Option<Area>), (Index, u64)> = HashMap::new();
        let mut digest = Sha256::new();
        let (mut files, mut labels) = (Vec::new(), Vec::new());
        for Listed { index, record, name, label, area } in self.images {
            let file = folder.join(&name);
            let size = match file.metadata() {
                Ok(found) if found.is_file() => found.len(),
                _ => {
                    let help = format!("paths start at {}; fetch the images again or correct the path", place(folder));
                    return Err(index.wrong(record, format!("there is no file `{name}`"), help));
                }
            };
            digest.update(digest_line(&name, size, label));
            if let Some((file, first)) = listed.insert((plain(&file), area), (index, record)) {
                let problem = format!("`{name}` is listed already in {}", file.place(first));
                return Err(index.wrong(record, problem, "an image belongs to one class; remove one of them"));
            }
            files.push(ImageFile { path: file, area });
            labels.push(label);
        }
        Ok(Scan {
            source: ImageSource::Files(files),
            labels,
            class_names: self.class_names,
            own_parts: None,
            own_folds: None,
            subjects: None,
            first_test_class: first_test_class.map(|class| class as i64),
            roles: None,
            skipped: Vec::new(),
            warnings: Vec::new(),
            digest: hex(digest),
        })
    }
}

/// A path without `.` and with `..` resolved by its text, so that one file has one path.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                plain.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::ParentDir | Component::Normal(_) => plain.push(part),
        }
    }
    plain
}

/// How a message names a folder: the working directory has an empty path.
fn place(folder: &Path) -> String {
    if folder.as_os_str().is_empty() { "the working directory".to_owned() } else { folder.display().to_string() }
}
