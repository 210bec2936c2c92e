//! Stanford Online Products: `Ebay_train.txt` and `Ebay_test.txt` list the images of the two parts, which share no
//! class.

use std::collections::BTreeMap;
use std::path::Path;

use crate::data::DataError;
use crate::data::files::table::{self, number};
use crate::data::files::{Index, Listed, Listing, Scan};

const COLUMNS: [&str; 4] = ["image_id", "class_id", "super_class_id", "path"];

/// Lists the images in the order of the files, those for training first. The classes are in the order of their ids,
/// those for training first.
pub(super) fn scan(root: &Path) -> Result<Scan, DataError> {
    let [train, test] = ["Ebay_train.txt", "Ebay_test.txt"].map(|name| root.join(name));
    let (mut images, mut class_names) = (Vec::new(), Vec::new());
    let mut labels = BTreeMap::new();
    let first_test_class = read(&train, &mut labels, &mut class_names, &mut images)?;
    read(&test, &mut labels, &mut class_names, &mut images)?;
    Listing { images, class_names }.scan(Index::text(&train), root, Some(first_test_class))
}

/// Appends the classes and images of one part, and returns the number of classes so far.
fn read<'a>(
    path: &'a Path,
    labels: &mut BTreeMap<u64, i64>,
    class_names: &mut Vec<String>,
    images: &mut Vec<Listed<'a>>,
) -> Result<usize, DataError> {
    let index = Index::text(path);
    let help = "the file is not the one of the data set; fetch it again";
    let mut rows = table::read(path, COLUMNS)?.into_iter();
    if rows.next().is_none_or(|header| header.columns != COLUMNS) {
        return Err(index.wrong(1, format!("this is not the header `{}`", COLUMNS.join(" ")), help));
    }
    let mut classes = BTreeMap::new();
    let mut listed = Vec::new();
    for row in rows {
        let [_, class, _, name] = row.columns;
        let id = number(path, row.line, "class id", &class)?;
        if labels.contains_key(&id) {
            let problem = format!("the class id {id} is in the training file as well");
            return Err(index.wrong(row.line, problem, help));
        }
        classes.insert(id, class);
        listed.push((row.line, name, id));
    }
    for (id, name) in classes {
        labels.insert(id, class_names.len() as i64);
        class_names.push(name);
    }
    // Every class of a row is in the map by now.
    let label = |id| labels.get(&id).copied().unwrap_or_default();
    let listed = listed.into_iter();
    images.extend(listed.map(|(record, name, id)| Listed { index, record, name, label: label(id), area: None }));
    Ok(class_names.len())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::data::fixtures::write_products;

    fn message(change: impl FnOnce(&Path)) -> String {
        let root = tempfile::tempdir().unwrap();
        write_products(root.path());
        change(root.path());
        scan(root.path()).err().unwrap().to_string()
    }

    #[test]
    fn the_files_are_the_parts() {
        let root = tempfile::tempdir().unwrap();
        write_products(root.path());
        let found = scan(root.path()).unwrap();
        assert_eq!(found.class_names, ["1", "2", "10", "3", "11"]);
        assert_eq!(found.labels, [2, 2, 0, 0, 1, 1, 4, 4, 3, 3]);
        assert_eq!(found.first_test_class, Some(3));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (file, from, to, expected) in [
            ("Ebay_train.txt", "class_id super", "class super", "Ebay_train.txt, line 1: this is not the header"),
            ("Ebay_train.txt", "2 10 1 ", "2 10 ", "Ebay_train.txt, line 3: there are 3 columns, expected 4: image_id"),
            ("Ebay_train.txt", "2 10 1 ", "2 ten 1 ", "line 3: the class id is `ten`, expected a number"),
            ("Ebay_test.txt", "8 11 1 ", "8 10 1 ", "Ebay_test.txt, line 3: the class id 10 is in the training file"),
            ("Ebay_test.txt", "chair/7.JPG", "chair/77.JPG", "Ebay_test.txt, line 2: there is no file `chair/77.JPG`"),
            ("Ebay_test.txt", "chair/7.JPG", "chair/1.JPG", "Ebay_train.txt, line 2"),
        ] {
            let error = message(|root| {
                let text = std::fs::read_to_string(root.join(file)).unwrap();
                assert!(text.contains(from), "{text}");
                std::fs::write(root.join(file), text.replacen(from, to, 1)).unwrap();
            });
            assert!(error.contains(expected), "{error}");
        }
        for file in ["Ebay_train.txt", "Ebay_test.txt"] {
            let error = message(|root| std::fs::remove_file(root.join(file)).unwrap());
            assert!(error.contains("cannot read") && error.contains(file), "{error}");
        }
    }
}
