//! RAF-DB, the single-label part: `EmoLabel/list_patition_label.txt` lists the images, the aligned faces are in
//! `Image/aligned`.

use std::path::Path;

use crate::data::DataError;
use crate::data::files::table::{self, number};
use crate::data::files::{Index, Listed, Listing, OwnPart, Scan};

/// The classes in the order of their numbers, which start at 1.
const CLASSES: [&str; 7] = ["surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"];

/// Lists the images in the order of the list. The beginning of a name says whether the image is for training or for
/// testing.
pub(super) fn scan(root: &Path) -> Result<Scan, DataError> {
    // The publisher spells it so.
    let list = root.join("EmoLabel/list_patition_label.txt");
    let index = Index::text(&list);
    let again = "the file is not the one of RAF-DB; obtain it again";
    let (mut images, mut own_parts) = (Vec::new(), Vec::new());
    for row in table::read(&list, ["image", "label"])? {
        let [image, label] = row.columns;
        let label = number(&list, row.line, "label", &label)?;
        if !(1..=CLASSES.len() as u64).contains(&label) {
            let problem = format!("the label is {label}, expected 1 to {}", CLASSES.len());
            return Err(index.wrong(row.line, problem, again));
        }
        own_parts.push(match image.split_once('_') {
            Some(("train", _)) => OwnPart::Train,
            Some(("test", _)) => OwnPart::Test,
            _ => {
                let problem = format!("the image `{image}` begins with neither `train_` nor `test_`");
                return Err(index.wrong(row.line, problem, again));
            }
        });
        let Some(stem) = image.strip_suffix(".jpg") else {
            return Err(index.wrong(row.line, format!("the image `{image}` does not end with `.jpg`"), again));
        };
        let name = format!("{stem}_aligned.jpg");
        images.push(Listed { index, record: row.line, name, label: label as i64 - 1, area: None });
    }
    for part in [OwnPart::Train, OwnPart::Test] {
        if !own_parts.is_empty() && !own_parts.contains(&part) {
            return Err(index.wrong(0, format!("no image begins with `{}_`", part.name()), again));
        }
    }
    let class_names = CLASSES.map(str::to_owned).to_vec();
    let scan = Listing { images, class_names }.scan(index, &root.join("Image/aligned"), None)?;
    Ok(Scan { own_parts: Some(own_parts), ..scan })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::data::fixtures::write_raf_db;

    fn message(change: impl FnOnce(&Path)) -> String {
        let root = tempfile::tempdir().unwrap();
        write_raf_db(root.path());
        change(root.path());
        scan(root.path()).err().unwrap().to_string()
    }

    #[test]
    fn names_say_the_part() {
        let root = tempfile::tempdir().unwrap();
        write_raf_db(root.path());
        let found = scan(root.path()).unwrap();
        assert_eq!(found.labels, [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6]);
        let parts = [[OwnPart::Train; 14].as_slice(), &[OwnPart::Test; 7]].concat();
        assert_eq!((found.own_parts, found.subjects, found.class_names[3].as_str()), (Some(parts), None, "happiness"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let list = "EmoLabel/list_patition_label.txt";
        for (from, to, expected) in [
            ("train_00002.jpg 2", "train_00002.jpg 8", "line 2: the label is 8, expected 1 to 7"),
            ("train_00002.jpg 2", "train_00002.jpg 0", "line 2: the label is 0, expected 1 to 7"),
            ("train_00002.jpg 2", "train_00002.jpg x", "line 2: the label is `x`, expected a number"),
            ("train_00002.jpg 2", "train_00002.jpg", "line 2: there are 1 columns, expected 2: image, label"),
            ("train_00002.jpg 2", "valid_00002.jpg 2", "line 2: the image `valid_00002.jpg` begins with neither"),
            ("train_00002.jpg 2", "train_00002.png 2", "line 2: the image `train_00002.png` does not end with"),
            ("train_00002.jpg 2", "train_00099.jpg 2", "line 2: there is no file `train_00099_aligned.jpg`"),
            ("train_00002.jpg 2", "train_00001.jpg 2", "line 2: `train_00001_aligned.jpg` is listed already in"),
        ] {
            let error = message(|root| {
                let text = std::fs::read_to_string(root.join(list)).unwrap();
                assert!(text.contains(from), "{text}");
                std::fs::write(root.join(list), text.replacen(from, to, 1)).unwrap();
            });
            assert!(error.contains("list_patition_label.txt") && error.contains(expected), "{error}");
        }
        let only = |part: &str| {
            message(|root| {
                let text = std::fs::read_to_string(root.join(list)).unwrap();
                let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(part)).collect();
                std::fs::write(root.join(list), lines.join("\n")).unwrap();
            })
        };
        assert!(only("train").contains("no image begins with `test_`"));
        assert!(only("test").contains("no image begins with `train_`"));
        assert!(only("none").contains("no image is listed"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = message(|root| std::fs::remove_dir_all(root.join("EmoLabel")).unwrap());
        assert!(error.contains("cannot read") && error.contains("list_patition_label.txt"), "{error}");
        let error = message(|root| std::fs::remove_dir_all(root.join("Image/aligned")).unwrap());
        assert!(error.contains("line 1: there is no file `train_00001_aligned.jpg`"), "{error}");
    }
}
