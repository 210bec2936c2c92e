//! A folder of images: one sub-folder per class, directly or inside `train` and `test`.

use std::collections::BTreeSet;
use std::path::Path;

use super::DataError;
use super::class_folders::{self, Collection};
use super::source::{OwnPart, Scan};

/// Lists the images in the order of their names. Hidden files and folders are ignored; other files that are neither JPEG nor
/// PNG by their names are counted as skipped.
pub(super) fn scan(root: &Path) -> Result<Scan, DataError> {
    let (train, test) = (root.join("train"), root.join("test"));
    let divided = train.is_dir() && test.is_dir();
    let parts = if divided { vec![train, test] } else { vec![root.to_owned()] };
    let listings = parts.iter().map(|part| class_folders::list(part)).collect::<Result<Vec<_>, _>>()?;

    let names: BTreeSet<&String> = listings.iter().flatten().map(|class| &class.name).collect();
    let class_names: Vec<String> = names.into_iter().cloned().collect();
    let mut images = Collection::new(root);
    let mut own_parts = Vec::new();
    for (classes, part) in listings.into_iter().zip([OwnPart::Train, OwnPart::Test]) {
        for class in classes {
            // Every class of the listings is in the sorted list of names.
            let label = class_names.binary_search(&class.name).unwrap_or_else(|place| place) as i64;
            images.add(class, label)?;
        }
        own_parts.resize(images.len(), part);
    }
    Ok(Scan { own_parts: divided.then_some(own_parts), ..images.scan(class_names) })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::super::fixtures::{write_class, write_png};
    use super::super::source::Source;
    use super::*;

    fn message(root: &Path) -> String {
        scan(root).err().unwrap().to_string()
    }

    #[test]
    fn classes_and_files_are_sorted_by_name() {
        let root = tempfile::tempdir().unwrap();
        write_class(&root.path().join("plum"), 2);
        write_class(&root.path().join("apple"), 3);
        std::fs::write(root.path().join("plum/notes.txt"), "").unwrap();
        std::fs::write(root.path().join("plum/.hidden"), "").unwrap();
        std::fs::create_dir(root.path().join(".cache")).unwrap();
        let found = scan(root.path()).unwrap();
        assert_eq!(found.class_names, ["apple", "plum"]);
        assert_eq!((found.labels, found.own_parts, found.skipped), (vec![0, 0, 0, 1, 1], None, 1));
        let Source::Files(files) = found.source else { unreachable!() };
        let files: Vec<_> = files.into_iter().map(|file| file.path).collect();
        assert!(files.is_sorted() && files.first().unwrap().ends_with("apple/0.png"), "{files:?}");
    }

    #[test]
    fn train_and_test_folders_are_the_parts() {
        let root = tempfile::tempdir().unwrap();
        for (class, images) in [("train/b", 2), ("train/c", 1), ("test/b", 3)] {
            write_class(&root.path().join(class), images);
        }
        let found = scan(root.path()).unwrap();
        let parts = [[OwnPart::Train; 3], [OwnPart::Test; 3]].concat();
        assert_eq!((found.labels, found.own_parts), (vec![0, 0, 1, 0, 0, 0], Some(parts)));
        write_class(&root.path().join("test/a"), 1);
        assert_eq!(scan(root.path()).unwrap().labels, [1, 1, 2, 0, 1, 1, 1]);
    }

    #[test]
    fn the_digest_follows_names_sizes_and_labels() {
        let root = tempfile::tempdir().unwrap();
        write_class(&root.path().join("a"), 2);
        write_class(&root.path().join("b"), 2);
        let digest = || scan(root.path()).unwrap().digest;
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
        assert!(message(root.path()).contains("has no sub-folder"));
        write_class(&root.path().join("a"), 2);
        std::fs::create_dir(root.path().join("empty")).unwrap();
        std::fs::write(root.path().join("empty/readme.md"), "").unwrap();
        let error = message(root.path());
        assert!(error.contains("empty has no JPEG or PNG file"), "{error}");
        let missing = root.path().join("nowhere");
        assert!(message(&missing).contains("nowhere"));
    }
}
