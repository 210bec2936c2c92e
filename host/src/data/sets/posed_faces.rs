//! CK+ and MMI, as exported by the user: `<class>/<subject>_<anything>.png`.

use std::path::Path;

use super::class_folders::{self, ClassFolders, ScanBuilder, name};
use crate::data::DataError;
use crate::data::files::{Index, Scan};

/// Lists the images in the order of their names. The subject is the file's name up to the first `_`.
pub(super) fn scan(root: &Path) -> Result<Scan, DataError> {
    let mut images = ScanBuilder::new(root);
    let (mut class_names, mut subjects) = (Vec::new(), Vec::new());
    let ClassFolders { classes, skipped } = class_folders::list(root)?;
    images.skip(skipped);
    for class in classes {
        for file in &class.files {
            subjects.push(subject(file)?);
        }
        let label = class_names.len() as i64;
        class_names.push(class.name.clone());
        images.add(class, label)?;
    }
    Ok(Scan { subjects: Some(subjects), ..images.scan(class_names) })
}

fn subject(file: &Path) -> Result<String, DataError> {
    match name(file)?.split_once('_') {
        Some((subject, _)) if !subject.is_empty() => Ok(subject.to_owned()),
        _ => Err(Index { path: file, unit: "image" }.wrong(
            0,
            "the name of the file does not begin with a subject and `_`",
            "name the images <class>/<subject>_<anything>.png, such as happiness/S005_001.png",
        )),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::data::fixtures::{write_png, write_subjects};

    #[test]
    fn names_say_the_subject() {
        let root = tempfile::tempdir().unwrap();
        write_subjects(root.path(), &["anger", "fear"], 3);
        std::fs::write(root.path().join("fear/notes.txt"), "").unwrap();
        let found = scan(root.path()).unwrap();
        assert_eq!(
            (found.class_names, found.labels),
            (vec!["anger".to_owned(), "fear".to_owned()], vec![0, 0, 0, 1, 1, 1])
        );
        assert_eq!(found.subjects.unwrap(), ["S000", "S001", "S002", "S000", "S001", "S002"]);
        assert_eq!((found.own_parts, found.own_folds, found.skipped.len()), (None, None, 1));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let root = tempfile::tempdir().unwrap();
        let message = || scan(root.path()).err().unwrap().to_string();
        assert!(message().contains("has no sub-folder"));
        for name in ["S000.png", "_001.png"] {
            write_subjects(root.path(), &["anger", "fear"], 2);
            write_png(&root.path().join("fear").join(name), 4, 4);
            let error = message();
            assert!(error.contains(&format!("fear/{name}: the name of the file does not begin with")), "{error}");
            std::fs::remove_file(root.path().join("fear").join(name)).unwrap();
        }
        std::fs::create_dir(root.path().join("joy")).unwrap();
        assert!(message().contains("joy has no JPEG, PNG or WebP file"));
    }
}
