//! A folder of images: one sub-folder per class, directly or inside `train`, `val` and `test`.
//!
//! A folder `train` with `val` (also called `valid` or `validation`), with `test`, or with both beside it holds the
//! parts of the data, each with class folders in it; what is beside them is skipped. In every other folder each
//! sub-folder is a class.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::class_folders::{self, ClassFolders, ScanBuilder, entries};
use crate::data::files::{OwnPart, Scan};
use crate::data::{DataError, Skipped};

/// Lists the images in the order of their names, part by part.
pub(super) fn scan(root: &Path) -> Result<Scan, DataError> {
    let own = parts(root)?;
    let mut images = ScanBuilder::new(root);
    let mut found = Vec::new();
    if own.is_empty() {
        found.push((OwnPart::Train, class_folders::list(root)?));
    }
    for (part, folder) in &own {
        found.push((*part, class_folders::list(folder)?));
    }
    if !own.is_empty() {
        let beside = entries(root)?.into_iter().filter(|path| own.iter().all(|(_, folder)| folder != path));
        images.skip(beside.map(|path| Skipped { path, reason: "it is beside the folders of the parts" }).collect());
    }

    let names: BTreeSet<String> =
        found.iter().flat_map(|(_, folders)| &folders.classes).map(|class| class.name.clone()).collect();
    let class_names: Vec<String> = names.into_iter().collect();
    let mut own_parts = Vec::new();
    for (part, ClassFolders { classes, skipped }) in found {
        images.skip(skipped);
        for class in classes {
            // Every class of the folders is in the sorted list of names.
            let label = class_names.binary_search(&class.name).unwrap_or_else(|place| place) as i64;
            images.add(class, label)?;
        }
        own_parts.resize(images.len(), part);
    }
    Ok(Scan { own_parts: (!own.is_empty()).then_some(own_parts), ..images.scan(class_names) })
}

/// The folders of the parts; none if the folder is not divided into parts.
fn parts(root: &Path) -> Result<Vec<(OwnPart, PathBuf)>, DataError> {
    let mut parts = Vec::new();
    for part in OwnPart::ALL {
        let mut found = part.names().iter().filter(|name| root.join(name).is_dir());
        let Some(name) = found.next() else { continue };
        if let Some(other) = found.next() {
            return Err(DataError::TwoParts { path: root.to_owned(), one: name, other });
        }
        parts.push((part, root.join(name)));
    }
    if parts.len() > 1 && parts.iter().any(|(part, _)| *part == OwnPart::Train) {
        return Ok(parts);
    }
    for (_, path) in parts {
        let inside = entries(&path)?;
        let is_image = |path: &PathBuf| !path.is_dir() && class_folders::is_image(path);
        if inside.iter().any(|path| path.is_dir()) && !inside.iter().any(is_image) {
            return Err(DataError::LonePart { path });
        }
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::data::files::ImageSource;
    use crate::data::fixtures::{write_class, write_png};

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
        assert_eq!((found.labels, found.own_parts, found.skipped.len()), (vec![0, 0, 0, 1, 1], None, 1));
        assert!(found.skipped.first().unwrap().path.ends_with("plum/notes.txt"));
        let ImageSource::Files(files) = found.source else { unreachable!() };
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
    fn a_folder_for_validation_has_three_names_and_test_may_be_missing() {
        for name in ["val", "valid", "validation"] {
            let root = tempfile::tempdir().unwrap();
            write_class(&root.path().join("train/b"), 2);
            write_class(&root.path().join(name).join("a"), 1);
            let found = scan(root.path()).unwrap();
            assert_eq!(found.own_parts.unwrap(), [OwnPart::Train, OwnPart::Train, OwnPart::Validation]);
            assert_eq!(found.labels, [1, 1, 0]);
            write_class(&root.path().join("test/b"), 1);
            write_class(&root.path().join("extra"), 1);
            let found = scan(root.path()).unwrap();
            assert_eq!((found.own_parts.unwrap().len(), found.skipped.len()), (4, 1));
            assert!(found.skipped.first().unwrap().to_string().contains("extra: it is beside the folders"));
        }
        let root = tempfile::tempdir().unwrap();
        ["train/b", "val/b", "valid/b"].iter().for_each(|class| write_class(&root.path().join(class), 2));
        assert!(message(root.path()).contains("both `val` and `valid`"));
    }

    #[test]
    fn a_part_alone_is_no_class_and_a_class_may_have_its_name() {
        for classes in [&["train/a", "train/b"][..], &["test/a", "val/a"]] {
            let root = tempfile::tempdir().unwrap();
            classes.iter().for_each(|class| write_class(&root.path().join(class), 2));
            let error = scan(root.path()).err().unwrap();
            assert!(matches!(error, DataError::LonePart { .. }), "{error}");
            let help = miette::Diagnostic::help(&error).unwrap().to_string();
            assert!(help.contains("`train` and beside it `test` or `val`"), "{help}");
        }
        let root = tempfile::tempdir().unwrap();
        ["train", "bus"].iter().for_each(|class| write_class(&root.path().join(class), 2));
        assert_eq!(scan(root.path()).unwrap().class_names, ["bus", "train"]);
    }

    #[test]
    fn webp_is_read_and_what_is_skipped_is_named() {
        let root = tempfile::tempdir().unwrap();
        write_class(&root.path().join("a"), 2);
        image::RgbImage::new(4, 4).save(root.path().join("a/2.WEBP")).unwrap();
        write_class(&root.path().join("a/deep"), 1);
        std::fs::write(root.path().join("readme.txt"), "").unwrap();
        let found = scan(root.path()).unwrap();
        assert_eq!(found.labels.len(), 3);
        let skipped: Vec<String> = found.skipped.iter().map(|skipped| skipped.to_string()).collect();
        assert!(skipped.iter().any(|text| text.ends_with("a/deep: a folder in a class folder")), "{skipped:?}");
        assert!(skipped.iter().any(|text| text.ends_with("readme.txt: it is not in a class folder")), "{skipped:?}");
        let deep = tempfile::tempdir().unwrap();
        write_class(&deep.path().join("a/b"), 1);
        assert!(message(deep.path()).contains("a has no JPEG, PNG or WebP file, only sub-folders"));
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
        assert!(error.contains("empty has no JPEG, PNG or WebP file"), "{error}");
        let missing = root.path().join("nowhere");
        assert!(message(&missing).contains("nowhere"));
    }
}
