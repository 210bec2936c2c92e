//! Folders of images: one sub-folder per class, and the collection that they become.
//!
//! The name of an image ends with `.jpg`, `.jpeg`, `.png` or `.webp`, in capitals or not; what it is, its content says.
//! Links are followed. Hidden files and folders, whose names begin with a dot, are ignored. Whatever else is there is
//! skipped and told.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::data::files::{ImageFile, ImageSource, Scan, digest_line, hex};
use crate::data::{DataError, Skipped};

const EXTENSIONS: [&str; 4] = ["jpeg", "jpg", "png", "webp"];

/// Why a file is skipped whose name has no such ending.
pub(super) const NO_IMAGE: &str = "no JPEG, PNG or WebP file by its name";

/// The images of one class.
pub(super) struct ClassFolder {
    pub(super) name: String,
    /// The folder itself.
    pub(super) path: PathBuf,
    /// The images, sorted by name, at least one.
    pub(super) files: Vec<PathBuf>,
}

/// The class folders of a folder, and what is skipped beside them.
pub(super) struct ClassFolders {
    /// Sorted by name, at least one.
    pub(super) classes: Vec<ClassFolder>,
    pub(super) skipped: Vec<Skipped>,
}

/// The class folders in a folder.
pub(super) fn list(part: &Path) -> Result<ClassFolders, DataError> {
    let (mut classes, mut skipped) = (Vec::new(), Vec::new());
    for path in entries(part)? {
        if !path.is_dir() {
            skipped.push(Skipped { path, reason: "it is not in a class folder" });
            continue;
        }
        let (mut files, mut folders) = (Vec::new(), false);
        for entry in entries(&path)? {
            if entry.is_dir() {
                folders = true;
                skipped.push(Skipped { path: entry, reason: "a folder in a class folder" });
            } else if is_image(&entry) {
                files.push(entry);
            } else {
                skipped.push(Skipped { path: entry, reason: NO_IMAGE });
            }
        }
        if files.is_empty() {
            return Err(DataError::EmptyClass { path, folders });
        }
        classes.push(ClassFolder { name: name(&path)?.to_owned(), path, files });
    }
    if classes.is_empty() {
        return Err(DataError::NoClasses { path: part.to_owned() });
    }
    Ok(ClassFolders { classes, skipped })
}

/// The paths in a folder, sorted, without the hidden ones.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let read = |cause| DataError::Read { path: folder.to_owned(), cause };
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

/// Whether a file is JPEG, PNG or WebP by its name.
pub(super) fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}

/// Builds the scan of a folder from its image files.
pub(super) struct ScanBuilder<'a> {
    root: &'a Path,
    files: Vec<ImageFile>,
    labels: Vec<i64>,
    skipped: Vec<Skipped>,
    digest: Sha256,
}

impl<'a> ScanBuilder<'a> {
    /// An empty collection of files below `root`.
    pub(super) fn new(root: &'a Path) -> Self {
        Self { root, files: Vec::new(), labels: Vec::new(), skipped: Vec::new(), digest: Sha256::new() }
    }

    /// The number of images so far.
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Remembers what is skipped.
    pub(super) fn skip(&mut self, skipped: Vec<Skipped>) {
        self.skipped.extend(skipped);
    }

    /// Appends the images of a class folder.
    pub(super) fn add(&mut self, class: ClassFolder, label: i64) -> Result<(), DataError> {
        for path in class.files {
            // What cannot be read is told with all such files.
            let size = path.metadata().map_or(0, |found| found.len());
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
            source: ImageSource::Files(self.files),
            labels: self.labels,
            class_names,
            own_parts: None,
            own_folds: None,
            subjects: None,
            first_test_class: None,
            roles: None,
            skipped: self.skipped,
            warnings: Vec::new(),
            digest: hex(self.digest),
        }
    }
}
