//! Relabelling: a table says which label the images of a class get.

use lossmith_plugin::suggest::nearest;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::data::DataError;
use crate::data::files::{Index, Scan, Sheet, Trim, extend_digest, filter};

/// Gives the images of each class that the CSV file `table` lists in its column `class` the class of its column
/// `label`. Images of other classes are left out. The new classes are in the order of their names; where the data has a
/// split of its classes, those for training come first.
pub(in crate::data) fn relabel(scan: Scan, table: &Path) -> Result<Scan, DataError> {
    let (label_of, warning) = read(table, &scan.class_names)?;
    let warnings = scan.warnings.iter().cloned().chain(warning).collect();
    let old = |label: &i64| usize::try_from(*label).ok().and_then(|label| scan.class_names.get(label));
    let new: Vec<Option<&String>> = scan.labels.iter().map(|label| label_of.get(old(label)?)).collect();
    let names: BTreeSet<&String> = new.iter().flatten().copied().collect();
    if names.len() < 2 {
        let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
        let problem = format!("fewer than two labels are left: {}", names.join(", "));
        return Err(Index::text(table).wrong(0, problem, "list classes that have images, with at least two labels"));
    }
    let (class_names, first_test_class) = order(&scan, &label_of, names);
    let kept: Vec<bool> = new.iter().map(Option::is_some).collect();
    // Every label is in the list of names.
    let place = |name: &String| class_names.iter().position(|known| known == name).unwrap_or_default() as i64;
    let places: BTreeMap<&String, i64> = class_names.iter().map(|name| (name, place(name))).collect();
    let labels = new.iter().flatten().filter_map(|name| places.get(name)).copied().collect();
    let lines = label_of
        .iter()
        .map(|(class, label)| format!("{} {}\n", lossmith_files::quoted(class), lossmith_files::quoted(label)));
    Ok(Scan {
        labels,
        own_parts: scan.own_parts.map(|parts| filter(parts, &kept).collect()),
        own_folds: scan.own_folds.map(|folds| filter(folds, &kept).collect()),
        subjects: scan.subjects.map(|subjects| filter(subjects, &kept).collect()),
        digest: extend_digest(&scan.digest, lines),
        source: scan.source.keep(&kept),
        roles: scan.roles.map(|roles| filter(roles, &kept).collect()),
        skipped: scan.skipped,
        warnings,
        first_test_class,
        class_names,
    })
}

/// The label of each class that the table lists, and a warning of columns that are not used.
fn read(table: &Path, known: &[String]) -> Result<(BTreeMap<String, String>, Option<String>), DataError> {
    let index = Index::text(table);
    let sheet = Sheet::open(table, Trim::All, "`class` and `label` are needed")?;
    let (class, label) = (sheet.column("class")?, sheet.column("label")?);
    let warning = sheet.unused(&["class", "label"]);
    let (mut label_of, mut lines) = (BTreeMap::new(), BTreeMap::new());
    for entry in sheet.entries() {
        let entry = entry?;
        let (class, label) = (entry.text(class)?, entry.text(label)?);
        if !known.iter().any(|name| name == class) {
            let help = match nearest(class, known) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("the classes are: {}", known.iter().take(20).cloned().collect::<Vec<_>>().join(", ")),
            };
            return Err(index.wrong(entry.line, format!("the data has no class `{class}`"), help));
        }
        if let Some(first) = lines.insert(class.to_owned(), entry.line) {
            let problem = format!("the class `{class}` is listed already in line {first}");
            return Err(index.wrong(entry.line, problem, "a class has one label; remove one of the lines"));
        }
        label_of.insert(class.to_owned(), label.to_owned());
    }
    Ok((label_of, warning))
}

/// The names of the new classes in their order, and the first of those for testing. `None` if the data has no split of
/// its classes, or if a label has classes of both of its parts.
fn order(scan: &Scan, label_of: &BTreeMap<String, String>, names: BTreeSet<&String>) -> (Vec<String>, Option<i64>) {
    let side = |first: i64, tested: bool| -> BTreeSet<&String> {
        let classes = (0..).zip(&scan.class_names).filter(|(label, _)| (*label >= first) == tested);
        classes.filter_map(|(_, class)| label_of.get(class)).filter(|label| names.contains(label)).collect()
    };
    if let Some(first) = scan.first_test_class {
        let (trained, tested) = (side(first, false), side(first, true));
        if trained.is_disjoint(&tested) {
            let first = trained.len() as i64;
            return (trained.into_iter().chain(tested).cloned().collect(), Some(first));
        }
    }
    (names.into_iter().cloned().collect(), None)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::data::files::{ImageSource, OwnPart};

    /// Seven images of one pixel, 0 to 6, of the classes a, b, c, d and again a, b, c.
    fn data() -> Scan {
        Scan {
            source: ImageSource::Bytes { pixels: (0..7).collect(), side: 1 },
            labels: vec![0, 1, 2, 3, 0, 1, 2],
            class_names: ["apple", "berry", "cherry", "date"].map(str::to_owned).to_vec(),
            own_parts: Some([vec![OwnPart::Train; 4], vec![OwnPart::Test; 3]].concat()),
            own_folds: Some((0..7).collect()),
            subjects: Some((0..7).map(|subject| format!("S{subject}")).collect()),
            first_test_class: None,
            roles: None,
            skipped: Vec::new(),
            warnings: vec!["known before".to_owned()],
            digest: "0".to_owned(),
        }
    }

    fn with(scan: Scan, table: &str) -> Result<Scan, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, table).unwrap();
        relabel(scan, &path)
    }

    #[test]
    fn images_keep_what_belongs_to_them() {
        let found = with(data(), "label,class\nred,cherry\nblue,berry\nred,date\n").unwrap();
        assert_eq!(found.class_names, ["blue", "red"]);
        assert_eq!(found.labels, [0, 1, 1, 0, 1]);
        let pixels: Vec<u8> = (0..5).map(|image| found.source.picture(image).unwrap().unwrap().pixels[0]).collect();
        assert_eq!((pixels, found.source.picture(5).is_none()), (vec![1, 2, 3, 5, 6], true));
        assert_eq!(found.own_parts.unwrap(), [vec![OwnPart::Train; 3], vec![OwnPart::Test; 2]].concat());
        assert_eq!(found.own_folds.unwrap(), [1, 2, 3, 5, 6]);
        assert_eq!(found.subjects.unwrap(), ["S1", "S2", "S3", "S5", "S6"]);
    }

    #[test]
    fn the_digest_follows_the_labels_and_not_their_order() {
        let digest = |table| with(data(), table).unwrap().digest;
        let first = digest("class,label\napple,x\nberry,y\n");
        assert_eq!(first, digest("label,class\ny,berry\nx,apple\n"));
        assert_ne!(first, digest("class,label\napple,y\nberry,x\n"));
        assert_ne!(first, digest("class,label\napple,x\ncherry,y\n"));
        assert_ne!(first, data().digest);
    }

    #[test]
    fn a_split_of_the_classes_stays_one() {
        let official = || Scan { first_test_class: Some(2), ..data() };
        let found = with(official(), "class,label\napple,y\nberry,z\ncherry,x\ndate,a\n").unwrap();
        assert_eq!(
            (found.class_names, found.first_test_class),
            (["y", "z", "a", "x"].map(str::to_owned).to_vec(), Some(2))
        );
        assert_eq!(found.labels, [0, 1, 3, 2, 0, 1, 3]);
        let mixed = with(official(), "class,label\napple,y\nberry,z\ncherry,y\n").unwrap();
        assert_eq!((mixed.class_names, mixed.first_test_class), (["y", "z"].map(str::to_owned).to_vec(), None));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (table, expected) in [
            ("class,name\napple,x\n", "table.csv, line 1: there is no column `label`, only: class, name"),
            ("label\nx\n", "line 1: there is no column `class`"),
            ("class,label\napple,x\nberry,y\napple,y\n", "line 4: the class `apple` is listed already in line 2"),
            ("class,label\napple,x\ncherri,y\n", "line 3: the data has no class `cherri`"),
            ("class,label\napple,x\nberry,x\n", "table.csv: fewer than two labels are left: x"),
            ("class,label\n", "fewer than two labels are left"),
            ("class,label\napple,\n", "line 2: the column `label` is empty"),
        ] {
            let error = with(data(), table).err().unwrap().to_string();
            assert!(error.contains(expected), "{table:?}: {error}");
        }
        let help = |table| miette::Diagnostic::help(&with(data(), table).err().unwrap()).unwrap().to_string();
        assert!(help("class,label\ncherri,y\n").contains("did you mean `cherry`?"));
        assert!(help("class,label\nx,y\n").contains("apple, berry, cherry, date"));
        let error = relabel(data(), Path::new("no/table.csv")).err().unwrap().to_string();
        assert!(error.contains("cannot read no/table.csv"), "{error}");
    }
}
