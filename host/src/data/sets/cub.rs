//! CUB-200-2011: birds. `classes.txt`, `images.txt` and `image_class_labels.txt` list them; the files are below
//! `images`.

use std::collections::HashMap;
use std::path::Path;

use crate::data::DataError;
use crate::data::files::table::{self, number};
use crate::data::files::{Index, Listed, Listing, Scan};

/// Lists the images in the order of `images.txt`. The first half of the classes, rounded down, is the training part of
/// the usual split: 100 of 200.
pub(super) fn scan(root: &Path) -> Result<Scan, DataError> {
    let [names, images, labels] = ["classes.txt", "images.txt", "image_class_labels.txt"].map(|name| root.join(name));
    let again = "the file is not the one of the data set; fetch it again";
    let (mut class_names, mut classes) = (Vec::new(), HashMap::new());
    for row in table::read(&names, ["class id", "class name"])? {
        let [id, name] = row.columns;
        if classes.insert(number(&names, row.line, "class id", &id)?, class_names.len() as i64).is_some() {
            return Err(Index::text(&names).wrong(row.line, format!("the class id {id} is there twice"), again));
        }
        class_names.push(name);
    }
    let mut label_of = HashMap::new();
    for row in table::read(&labels, ["image id", "class id"])? {
        let [image, class] = row.columns;
        let label = classes.get(&number(&labels, row.line, "class id", &class)?).ok_or_else(|| {
            let problem = format!("the class id {class} is not in classes.txt");
            Index::text(&labels).wrong(row.line, problem, again)
        })?;
        if label_of.insert(number(&labels, row.line, "image id", &image)?, *label).is_some() {
            return Err(Index::text(&labels).wrong(row.line, format!("the image id {image} is there twice"), again));
        }
    }
    let index = Index::text(&images);
    let mut listed = Vec::new();
    for row in table::read(&images, ["image id", "path"])? {
        let [image, name] = row.columns;
        let label = label_of.remove(&number(&images, row.line, "image id", &image)?).ok_or_else(|| {
            let problem = format!("the image id {image} is there twice or has no line in image_class_labels.txt");
            index.wrong(row.line, problem, again)
        })?;
        listed.push(Listed { index, record: row.line, name, label, area: None });
    }
    let half = class_names.len() / 2;
    Listing { images: listed, class_names }.scan(index, &root.join("images"), Some(half))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::data::fixtures::write_cub;

    fn message(change: impl FnOnce(&Path)) -> String {
        let root = tempfile::tempdir().unwrap();
        write_cub(root.path());
        change(root.path());
        scan(root.path()).err().unwrap().to_string()
    }

    fn replace(file: &str, from: &str, to: &str) -> String {
        message(|root| {
            let text = std::fs::read_to_string(root.join(file)).unwrap();
            assert!(text.contains(from), "{text}");
            std::fs::write(root.join(file), text.replacen(from, to, 1)).unwrap();
        })
    }

    #[test]
    fn the_first_half_of_the_classes_is_trained() {
        let root = tempfile::tempdir().unwrap();
        write_cub(root.path());
        let found = scan(root.path()).unwrap();
        assert_eq!(found.class_names, ["001.Albatross", "002.Auklet", "003.Bunting", "004.Cardinal", "005.Catbird"]);
        assert_eq!(found.labels, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
        assert_eq!(found.first_test_class, Some(2));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (file, from, to, expected) in [
            (
                "classes.txt",
                "2 002.Auklet",
                "2",
                "classes.txt, line 2: there are 1 columns, expected 2: class id, class name",
            ),
            ("classes.txt", "2 002", "1 002", "classes.txt, line 2: the class id 1 is there twice"),
            (
                "image_class_labels.txt",
                "4 2",
                "4 9",
                "image_class_labels.txt, line 4: the class id 9 is not in classes.txt",
            ),
            ("image_class_labels.txt", "4 2", "4 x", "line 4: the class id is `x`, expected a number"),
            ("image_class_labels.txt", "4 2", "3 2", "line 4: the image id 3 is there twice"),
            ("image_class_labels.txt", "4 2\n", "", "images.txt, line 4: the image id 4 is there twice or has no line"),
            ("images.txt", "4 002.Auklet/0.jpg", "4 002.Auklet/9.jpg", "line 4: there is no file `002.Auklet/9.jpg`"),
            (
                "images.txt",
                "4 002.Auklet/0.jpg",
                "4 002.Auklet/1.jpg",
                "line 5: `002.Auklet/1.jpg` is listed already in",
            ),
        ] {
            let error = replace(file, from, to);
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        for file in ["classes.txt", "images.txt", "image_class_labels.txt"] {
            let error = message(|root| std::fs::remove_file(root.join(file)).unwrap());
            assert!(error.contains("cannot read") && error.contains(file), "{error}");
        }
        assert!(message(|root| std::fs::write(root.join("images.txt"), "").unwrap()).contains("no image is listed"));
    }
}
