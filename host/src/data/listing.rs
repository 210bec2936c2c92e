//! Images that an index file lists, each with its class.

use std::collections::HashMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::DataError;
use super::source::{Scan, Source, digest_line, hex};

/// An index file, for errors about its records.
#[derive(Clone, Copy)]
pub(super) struct Index<'a> {
    pub(super) path: &'a Path,
    /// What one of its records is called: `line`.
    pub(super) unit: &'static str,
}

impl<'a> Index<'a> {
    /// A file of text lines, counted from 1.
    pub(super) fn text(path: &'a Path) -> Self {
        Self { path, unit: "line" }
    }

    /// An error about a record; about the whole file if the number is 0.
    pub(super) fn wrong(&self, record: u64, problem: impl Into<String>, help: impl Into<String>) -> DataError {
        let file = self.path.display();
        let place = if record == 0 { file.to_string() } else { format!("{file}, {} {record}", self.unit) };
        DataError::Record { place, problem: problem.into(), help: help.into() }
    }
}

/// What an index file says.
pub(super) struct Listing {
    pub(super) images: Vec<Listed>,
    pub(super) class_names: Vec<String>,
}

/// One image.
pub(super) struct Listed {
    /// Its file, relative to the folder of the images.
    pub(super) name: String,
    /// Its class, an index into the names of the classes.
    pub(super) label: i64,
    /// The number of its record in the index file, for errors.
    pub(super) record: u64,
}

impl Listing {
    /// Checks that every image is there and listed once. The images keep their order.
    pub(super) fn scan(self, index: Index, images: &Path) -> Result<Scan, DataError> {
        if self.images.is_empty() {
            return Err(index.wrong(0, "no image is listed", "the file is empty; make or fetch it again"));
        }
        let mut records = HashMap::new();
        let mut digest = Sha256::new();
        let (mut files, mut labels) = (Vec::new(), Vec::new());
        for Listed { name, label, record } in self.images {
            let file = images.join(&name);
            let size = match file.metadata() {
                Ok(found) if found.is_file() => found.len(),
                _ => {
                    let help = format!("paths start at {}; fetch the images again or correct the path", place(images));
                    return Err(index.wrong(record, format!("there is no file `{name}`"), help));
                }
            };
            digest.update(digest_line(&name, size, label));
            if let Some(first) = records.insert(name.clone(), record) {
                let problem = format!("`{name}` is listed already in {} {first}", index.unit);
                return Err(index.wrong(record, problem, "an image belongs to one class; remove one of them"));
            }
            files.push(file);
            labels.push(label);
        }
        Ok(Scan {
            source: Source::Files(files),
            labels,
            class_names: self.class_names,
            own_test: None,
            skipped: 0,
            digest: hex(digest),
        })
    }
}

/// How a message names a folder: the working directory has an empty path.
fn place(folder: &Path) -> String {
    if folder.as_os_str().is_empty() { "the working directory".to_owned() } else { folder.display().to_string() }
}
