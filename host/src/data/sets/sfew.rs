//! SFEW 2.0: the folders `Train` and `Val` with one sub-folder per class. The labels of its `Test` folder are withheld.

use std::path::{Path, PathBuf};

use super::class_folders::{self, ClassFolders, ScanBuilder, entries};
use crate::data::DataError;
use crate::data::files::{Index, OwnPart, Scan};

/// The name of each class folder and what the class is called, as in the other data of expressions.
const CLASSES: [(&str, &str); 7] = [
    ("Angry", "anger"),
    ("Disgust", "disgust"),
    ("Fear", "fear"),
    ("Happy", "happiness"),
    ("Neutral", "neutral"),
    ("Sad", "sadness"),
    ("Surprise", "surprise"),
];
/// The folders for training and for testing: whole frames, or aligned faces.
const LAYOUTS: [[&str; 2]; 2] = [["Train", "Val"], ["Train_Aligned_Faces", "Val_Aligned_Faces"]];

/// Lists the images in the order of their names, those for training first.
pub(super) fn scan(root: &Path) -> Result<Scan, DataError> {
    let mut images = ScanBuilder::new(root);
    let mut own_parts = Vec::new();
    for (folder, part) in parts(root)?.into_iter().zip([OwnPart::Train, OwnPart::Test]) {
        let ClassFolders { classes, skipped } = class_folders::list(&folder)?;
        images.skip(skipped);
        for class in classes {
            let label =
                CLASSES.iter().position(|(name, _)| name.eq_ignore_ascii_case(&class.name)).ok_or_else(|| {
                    let index = Index { path: &class.path, unit: "image" };
                    let known = CLASSES.map(|(name, _)| name).join(", ");
                    let problem = format!("`{}` is no class of SFEW; the classes are {known}", class.name);
                    index.wrong(0, problem, "rename the folder, or move it away")
                })?;
            images.add(class, label as i64)?;
        }
        own_parts.resize(images.len(), part);
    }
    let scan = images.scan(CLASSES.map(|(_, name)| name.to_owned()).to_vec());
    Ok(Scan { own_parts: Some(own_parts), ..scan })
}

/// The folders for training and for testing.
fn parts(root: &Path) -> Result<[PathBuf; 2], DataError> {
    let folders: Vec<PathBuf> = entries(root)?.into_iter().filter(|path| path.is_dir()).collect();
    let named = |name: &str| {
        let is = |path: &&PathBuf| path.file_name().is_some_and(|found| found.eq_ignore_ascii_case(name));
        folders.iter().find(is).cloned()
    };
    let both = |[train, test]: [&str; 2]| Some([named(train)?, named(test)?]);
    let index = Index { path: root, unit: "image" };
    match LAYOUTS.map(both) {
        [Some(folders), None] | [None, Some(folders)] => Ok(folders),
        [Some(_), Some(_)] => Err(index.wrong(
            0,
            "there are whole frames in `Train` and `Val` and aligned faces in `Train_Aligned_Faces` and \
             `Val_Aligned_Faces`",
            "move one pair of folders away",
        )),
        [None, None] => Err(index.wrong(
            0,
            "there are neither the folders `Train` and `Val` nor `Train_Aligned_Faces` and `Val_Aligned_Faces`",
            "unpack both parts of SFEW 2.0 into this folder",
        )),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::data::fixtures::write_class;

    fn write(root: &Path, [train, test]: [&str; 2]) {
        for (name, _) in CLASSES {
            write_class(&root.join(train).join(name), 2);
            write_class(&root.join(test).join(name), 1);
        }
    }

    fn message(root: &Path) -> String {
        scan(root).err().unwrap().to_string()
    }

    #[test]
    fn train_and_val_are_the_parts_in_any_case() {
        for layout in [["Train", "Val"], ["train", "VAL"], ["Train_Aligned_Faces", "Val_aligned_faces"]] {
            let root = tempfile::tempdir().unwrap();
            write(root.path(), layout);
            std::fs::rename(root.path().join(layout[0]).join("Fear"), root.path().join(layout[0]).join("FEAR"))
                .unwrap();
            write_class(&root.path().join("Test"), 3);
            let found = scan(root.path()).unwrap();
            let mut counts = [0; 7];
            found.labels.iter().for_each(|label| counts[*label as usize] += 1);
            assert_eq!((counts, found.class_names[3].as_str()), ([3; 7], "happiness"));
            let parts = [[OwnPart::Train; 14].as_slice(), &[OwnPart::Test; 7]].concat();
            assert_eq!(found.own_parts, Some(parts));
        }
    }

    #[test]
    fn what_does_not_belong_there_is_named() {
        let root = tempfile::tempdir().unwrap();
        let error = message(root.path());
        assert!(error.contains("neither the folders `Train` and `Val` nor"), "{error}");
        write(root.path(), ["Train", "Val_Aligned_Faces"]);
        assert_eq!(message(root.path()), error);
        write(root.path(), ["Train", "Val"]);
        write_class(&root.path().join("Val/Contempt"), 1);
        let error = message(root.path());
        assert!(
            error.contains("Val/Contempt: `Contempt` is no class of SFEW; the classes are Angry, Disgust"),
            "{error}"
        );
        std::fs::remove_dir_all(root.path().join("Val/Contempt")).unwrap();
        std::fs::create_dir(root.path().join("Val/Happiness")).unwrap();
        assert!(message(root.path()).contains("Happiness has no JPEG, PNG or WebP file"));
        std::fs::remove_dir_all(root.path().join("Val/Happiness")).unwrap();
        assert!(scan(root.path()).is_ok());
        write(root.path(), ["Train_Aligned_Faces", "Val_Aligned_Faces"]);
        assert!(message(root.path()).contains("there are whole frames in `Train` and `Val` and aligned faces"));
        assert!(message(&root.path().join("no")).contains("cannot read"));
    }
}
