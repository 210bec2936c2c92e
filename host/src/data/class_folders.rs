//! Folders of images: one sub-folder per class, and the collection that they become.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::DataError;
use super::source::{ImageFile, Scan, Source, digest_line, hex};

const EXTENSIONS: [&str; 3] = ["jpeg", "jpg", "png"];

/// The images of one class.
pub(super) struct ClassFolder {
    pub(super) name: String,
    /// The folder itself.
    pub(super) path: PathBuf,
    /// The images, sorted by name, at least one.
    pub(super) files: Vec<PathBuf>,
    /// Files that are neither JPEG nor PNG.
    pub(super) skipped: usize,
}

/// The class folders in a folder, sorted by name. Hidden files and folders are ignored.
pub(super) fn list(part: &Path) -> Result<Vec<ClassFolder>, DataError> {
    let mut classes = Vec::new();
    for path in entries(part)?.into_iter().filter(|path| path.is_dir()) {
        let name = name(&path)?.to_owned();
        let (files, others): (Vec<_>, Vec<_>) = entries(&path)?.into_iter().partition(|file| is_image(file));
        if files.is_empty() {
            return Err(DataError::EmptyClass { path });
        }
        classes.push(ClassFolder { name, path, files, skipped: others.len() });
    }
    if classes.is_empty() { Err(DataError::NoClasses { path: part.to_owned() }) } else { Ok(classes) }
}

/// The paths in a folder, sorted, without the hidden ones.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let read = |source| DataError::Read { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// The last part of a path.
pub(super) fn name(path: &Path) -> Result<&str, DataError> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| DataError::Name { path: path.to_owned() })
}

/// Whether a file is JPEG or PNG by its name.
pub(super) fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}

/// Image files that become the scan of a folder.
pub(super) struct Collection<'a> {
    root: &'a Path,
    files: Vec<ImageFile>,
    labels: Vec<i64>,
    skipped: usize,
    digest: Sha256,
}

impl<'a> Collection<'a> {
    /// An empty collection of files below `root`.
    pub(super) fn new(root: &'a Path) -> Self {
        Self { root, files: Vec::new(), labels: Vec::new(), skipped: 0, digest: Sha256::new() }
    }

    /// The number of images so far.
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Appends the images of a class folder.
    pub(super) fn add(&mut self, class: ClassFolder, label: i64) -> Result<(), DataError> {
        self.skipped += class.skipped;
        for path in class.files {
            let size = path.metadata().map_err(|source| DataError::Read { path: path.clone(), source })?.len();
            let relative = path.strip_prefix(self.root).unwrap_or(&path).to_str();
            let relative = relative.ok_or_else(|| DataError::Name { path: path.clone() })?;
            self.digest.update(digest_line(relative, size, label));
            self.files.push(ImageFile { path, area: None });
            self.labels.push(label);
        }
        Ok(())
    }

    /// The images in the order in which they were added, without parts or subjects.
    pub(super) fn scan(self, class_names: Vec<String>) -> Scan {
        Scan {
            source: Source::Files(self.files),
            labels: self.labels,
            class_names,
            own_parts: None,
            own_folds: None,
            subjects: None,
            first_test_class: None,
            skipped: self.skipped,
            digest: hex(self.digest),
        }
    }
}
