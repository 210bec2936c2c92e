//! Cars196: `cars_annos.mat` lists the images and names the classes; the files are in `car_ims`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::data::DataError;
use crate::data::files::mat::{self, MatValue};
use crate::data::files::{Index, Listed, Listing, Scan};

/// Lists the images in the order of the annotations. The first half of the classes, rounded down, is the training part
/// of the usual split: 98 of 196.
pub(super) fn scan(root: &Path) -> Result<Scan, DataError> {
    let path = root.join("cars_annos.mat");
    let index = Index { path: &path, unit: "annotation" };
    let mut variables = mat::read(&path)?;
    let again = "the file is not the one of Cars196; fetch it again";
    let missing = |name: &str, what: &str| index.wrong(0, format!("there is no variable `{name}` with {what}"), again);
    let Some(MatValue::Cells(names)) = variables.remove("class_names") else {
        return Err(missing("class_names", "the names of the classes"));
    };
    let class_names: Option<Vec<String>> = names.iter().map(|name| name.text().map(str::to_owned)).collect();
    let class_names = class_names.ok_or_else(|| missing("class_names", "the names of the classes"))?;
    let Some(MatValue::Records(annotations)) = variables.remove("annotations") else {
        return Err(missing("annotations", "a record for each image"));
    };
    let image = |(record, annotation): (u64, BTreeMap<String, MatValue>)| {
        let field = |name: &str| {
            annotation.get(name).ok_or_else(|| index.wrong(record, format!("there is no field `{name}`"), again))
        };
        let name = field("relative_im_path")?.text();
        let name = name.ok_or_else(|| index.wrong(record, "`relative_im_path` is no text", again))?.to_owned();
        let class = field("class")?.number().unwrap_or(f64::NAN);
        // Classes are counted from 1.
        let label = (1..=class_names.len()).find(|number| *number as f64 == class).ok_or_else(|| {
            index.wrong(record, format!("the class is {class}, expected 1 to {}", class_names.len()), again)
        })?;
        Ok(Listed { index, record, name, label: label as i64 - 1, area: None })
    };
    let images = (1..).zip(annotations).map(image).collect::<Result<_, DataError>>()?;
    let half = class_names.len() / 2;
    Listing { images, class_names }.scan(index, root, Some(half))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::data::fixtures::{CARS_ANNOTATIONS, write_cars};

    fn message(change: impl FnOnce(&Path)) -> String {
        let root = tempfile::tempdir().unwrap();
        write_cars(root.path());
        change(root.path());
        scan(root.path()).err().unwrap().to_string()
    }

    #[test]
    fn the_first_half_of_the_classes_is_trained() {
        let root = tempfile::tempdir().unwrap();
        write_cars(root.path());
        let found = scan(root.path()).unwrap();
        assert_eq!((found.class_names.len(), found.class_names[1].as_str()), (4, "Acura RL Sedan 2012"));
        assert_eq!(found.labels, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
        assert_eq!(found.first_test_class, Some(2));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = message(|root| std::fs::remove_file(root.join("car_ims/000003.jpg")).unwrap());
        assert!(error.contains("cars_annos.mat, annotation 3: there is no file `car_ims/000003.jpg`"), "{error}");
        let error = message(|root| std::fs::remove_file(root.join("cars_annos.mat")).unwrap());
        assert!(error.contains("cannot read") && error.contains("cars_annos.mat"), "{error}");
        let half = &CARS_ANNOTATIONS[..CARS_ANNOTATIONS.len() / 2];
        let error = message(|root| std::fs::write(root.join("cars_annos.mat"), half).unwrap());
        assert!(error.contains("cars_annos.mat: this is no whole MATLAB file of version 5: it ends early"), "{error}");
    }

    #[test]
    fn wrong_annotations_are_named() {
        // Made by the script beside it: a class that is not there, a missing field, a file of other variables.
        let wrong = |file: &str| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/cars196");
            message(|root| std::fs::copy(folder.join(file), root.join("cars_annos.mat")).map(drop).unwrap())
        };
        let error = wrong("unknown_class.mat");
        assert!(error.contains("annotation 2: the class is 5, expected 1 to 4"), "{error}");
        let error = wrong("no_class.mat");
        assert!(error.contains("annotation 1: there is no field `class`"), "{error}");
        let error = wrong("no_names.mat");
        assert!(error.contains("there is no variable `class_names`"), "{error}");
    }
}
