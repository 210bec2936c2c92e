//! A folder of images: one sub-folder per class, directly or inside `train` and `test`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::source::{Scan, Source, digest_line, hex};
use super::{DataError, SplitKind};

const EXTENSIONS: [&str; 3] = ["jpeg", "jpg", "png"];

/// Lists the images in the order of their names. Hidden files and folders are ignored; other files that are neither JPEG nor
/// PNG by their names are counted as skipped.
pub(super) fn scan(root: &Path, split: SplitKind) -> Result<Scan, DataError> {
    let (train, test) = (root.join("train"), root.join("test"));
    let parts = if train.is_dir() && test.is_dir() { vec![train, test] } else { vec![root.to_owned()] };
    let listings = parts.iter().map(|part| list_part(part)).collect::<Result<Vec<_>, _>>()?;

    let names: BTreeSet<&String> = listings.iter().flatten().map(|class| &class.name).collect();
    let class_names: Vec<String> = names.into_iter().cloned().collect();
    if let ([train, test], SplitKind::ClosedSet) = (listings.as_slice(), split)
        && let Some(class) = test.iter().find(|class| !train.iter().any(|trained| trained.name == class.name))
    {
        return Err(DataError::UntrainedClass { class: class.name.clone() });
    }

    let mut digest = Sha256::new();
    let (mut files, mut labels, mut own_test, mut skipped) = (Vec::new(), Vec::new(), None, 0);
    for (number, classes) in listings.into_iter().enumerate() {
        if number == 1 {
            own_test = Some(files.len());
        }
        for class in classes {
            skipped += class.skipped;
            // Every class of the listings is in the sorted list of names.
            let label = class_names.binary_search(&class.name).unwrap_or_else(|place| place) as i64;
            for file in class.files {
                let size = file.metadata().map_err(|source| DataError::Read { path: file.clone(), source })?.len();
                digest.update(describe(root, &file, size, label)?);
                files.push(file);
                labels.push(label);
            }
        }
    }
    Ok(Scan {
        source: Source::Files(files),
        labels,
        class_names,
        own_test,
        first_test_class: None,
        skipped,
        digest: hex(digest),
    })
}

/// The line of the digest for a file.
fn describe(root: &Path, file: &Path, size: u64, label: i64) -> Result<String, DataError> {
    let relative = file.strip_prefix(root).unwrap_or(file).to_str();
    let relative = relative.ok_or_else(|| DataError::Name { path: file.to_owned() })?;
    Ok(digest_line(relative, size, label))
}

struct ClassFolder {
    name: String,
    files: Vec<PathBuf>,
    skipped: usize,
}

fn list_part(part: &Path) -> Result<Vec<ClassFolder>, DataError> {
    let mut classes = Vec::new();
    for path in entries(part)?.into_iter().filter(|path| path.is_dir()) {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| DataError::Name { path: path.clone() })?.to_owned();
        let (files, others): (Vec<_>, Vec<_>) = entries(&path)?.into_iter().partition(|file| is_image(file));
        if files.is_empty() {
            return Err(DataError::EmptyClass { path });
        }
        classes.push(ClassFolder { name, files, skipped: others.len() });
    }
    if classes.is_empty() { Err(DataError::NoClasses { path: part.to_owned() }) } else { Ok(classes) }
}

/// The paths in a folder, sorted, without the hidden ones.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
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

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::super::fixtures::{write_class, write_png};
    use super::*;

    fn message(root: &Path, split: SplitKind) -> String {
        scan(root, split).err().unwrap().to_string()
    }

    #[test]
    fn classes_and_files_are_sorted_by_name() {
        let root = tempfile::tempdir().unwrap();
        write_class(&root.path().join("plum"), 2);
        write_class(&root.path().join("apple"), 3);
        std::fs::write(root.path().join("plum/notes.txt"), "").unwrap();
        std::fs::write(root.path().join("plum/.hidden"), "").unwrap();
        std::fs::create_dir(root.path().join(".cache")).unwrap();
        let found = scan(root.path(), SplitKind::ClosedSet).unwrap();
        assert_eq!(found.class_names, ["apple", "plum"]);
        assert_eq!((found.labels, found.own_test, found.skipped), (vec![0, 0, 0, 1, 1], None, 1));
        let Source::Files(files) = found.source else { unreachable!() };
        assert!(files.is_sorted() && files.first().unwrap().ends_with("apple/0.png"), "{files:?}");
    }

    #[test]
    fn train_and_test_folders_are_the_parts() {
        let root = tempfile::tempdir().unwrap();
        for (class, images) in [("train/b", 2), ("train/c", 1), ("test/b", 3)] {
            write_class(&root.path().join(class), images);
        }
        let found = scan(root.path(), SplitKind::ClosedSet).unwrap();
        assert_eq!((found.labels, found.own_test), (vec![0, 0, 1, 0, 0, 0], Some(3)));
        write_class(&root.path().join("test/a"), 1);
        assert!(message(root.path(), SplitKind::ClosedSet).contains("class `a` is in `test` but not in `train`"));
        assert_eq!(scan(root.path(), SplitKind::ClassDisjoint).unwrap().labels, [1, 1, 2, 0, 1, 1, 1]);
    }

    #[test]
    fn the_digest_follows_names_sizes_and_labels() {
        let root = tempfile::tempdir().unwrap();
        write_class(&root.path().join("a"), 2);
        write_class(&root.path().join("b"), 2);
        let digest = || scan(root.path(), SplitKind::ClosedSet).unwrap().digest;
        let first = digest();
        assert_eq!((first.len(), &first), (64, &digest()));
        std::fs::rename(root.path().join("a/0.png"), root.path().join("a/00.png")).unwrap();
        let renamed = digest();
        assert_ne!(renamed, first);
        write_png(&root.path().join("a/00.png"), 90, 70);
        assert_ne!(digest(), renamed);
    }

    #[test]
    fn a_folder_without_classes_or_images_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        assert!(message(root.path(), SplitKind::ClosedSet).contains("has no sub-folder"));
        write_class(&root.path().join("a"), 2);
        std::fs::create_dir(root.path().join("empty")).unwrap();
        std::fs::write(root.path().join("empty/readme.md"), "").unwrap();
        let error = message(root.path(), SplitKind::ClosedSet);
        assert!(error.contains("empty has no JPEG or PNG file"), "{error}");
        let missing = root.path().join("nowhere");
        assert!(message(&missing, SplitKind::ClosedSet).contains("nowhere"));
    }
}
