//! A CSV file that lists images: the columns `path` and `class`, and maybe `subject` and `split`.

use std::collections::BTreeSet;
use std::path::Path;

use super::DataError;
use super::assignment::{Assignment, Place};
use super::listing::{Index, Listed, Listing};
use super::sheet::{Column, Entry, Sheet, Trim};
use super::source::{OwnPart, Scan, extend_digest};

/// Whether the column `vendor` names the subject if there is no column `subject`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Vendors {
    Ignored,
    /// As in the manifest of the emoji: the name up to its first `-`, as a designer draws one emoji in several styles.
    AreSubjects,
}

/// One image.
struct Row {
    name: String,
    class: String,
    line: u64,
    subject: Option<String>,
    place: Option<Place>,
}

/// The columns of a manifest.
struct Columns {
    path: Column,
    class: Column,
    subject: Option<Column>,
    vendor: Option<Column>,
    split: Option<Column>,
}

/// Lists the images in the order of their paths.
pub(super) fn scan(manifest: &Path, vendors: Vendors) -> Result<Scan, DataError> {
    let index = Index::text(manifest);
    let sheet = Sheet::open(manifest, Trim::None, "`path` and `class` are needed")?;
    let columns = Columns::find(&sheet, vendors)?;
    let mut assignment = Assignment::default();
    let mut rows = Vec::new();
    for entry in sheet.entries() {
        let entry = entry?;
        let mut row = columns.row(&entry)?;
        if let Some(split) = columns.split {
            row.place = Some(assignment.place(index, row.line, entry.text(split)?, row.subject.as_deref())?);
        }
        rows.push(row);
    }
    let places: Vec<Place> = rows.iter().filter_map(|row| row.place).collect();
    assignment.finish(index, &places)?;
    rows.sort_unstable_by(|a, b| (&a.name, &a.class, a.line).cmp(&(&b.name, &b.class, b.line)));
    let names: BTreeSet<&String> = rows.iter().map(|row| &row.class).collect();
    let class_names: Vec<String> = names.into_iter().cloned().collect();
    let images = rows.iter().map(|Row { name, class, line, .. }| {
        // Every class of the rows is in the sorted list of names.
        let label = class_names.binary_search(class).unwrap_or_else(|place| place) as i64;
        Listed { index, record: *line, name: name.clone(), label }
    });
    let images = images.collect();
    let scan = Listing { images, class_names }.scan(index, manifest.parent().unwrap_or(Path::new("")), None)?;
    let part = |row: &Row| if let Some(Place::Part(part)) = row.place { Some(part) } else { None };
    let fold = |row: &Row| if let Some(Place::Fold(fold)) = row.place { Some(fold) } else { None };
    let own_parts: Option<Vec<OwnPart>> = rows.iter().map(part).collect();
    let own_folds: Option<Vec<usize>> = rows.iter().map(fold).collect();
    // Vendors are in the paths already.
    let digest = if columns.subject.is_some() || columns.split.is_some() {
        extend_digest(&scan.digest, rows.iter().map(|row| format!("{:?} {:?}\n", row.subject, row.place)))
    } else {
        scan.digest
    };
    Ok(Scan { own_parts, own_folds, subjects: rows.into_iter().map(|row| row.subject).collect(), digest, ..scan })
}

impl Columns {
    fn find(sheet: &Sheet, vendors: Vendors) -> Result<Self, DataError> {
        let path = sheet.column("path")?;
        let class = match (sheet.find("class"), sheet.find("label")) {
            (Some(_), Some(_)) => {
                return Err(sheet.wrong("there are both columns `class` and `label`, which mean the same".to_owned()));
            }
            (None, Some(label)) => label,
            _ => sheet.column("class")?,
        };
        let subject = sheet.find("subject");
        let vendor = if subject.is_none() && vendors == Vendors::AreSubjects { sheet.find("vendor") } else { None };
        Ok(Self { path, class, subject, vendor, split: sheet.find("split") })
    }

    fn row(&self, entry: &Entry) -> Result<Row, DataError> {
        let text = |column| entry.text(column).map(str::to_owned);
        let designer = |column| text(column).map(|vendor| vendor.split('-').next().unwrap_or_default().to_owned());
        let subject = match (self.subject, self.vendor) {
            (Some(column), _) => Some(text(column)?),
            (None, vendor) => vendor.map(designer).transpose()?,
        };
        let (name, class) = (text(self.path)?, text(self.class)?);
        Ok(Row { name, class, line: entry.line, subject, place: None })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::super::fixtures::write_png;
    use super::*;

    /// A folder with the manifest `text` and the images a.png, b.png, sub/c.png.
    fn folder(text: impl AsRef<[u8]>) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for name in ["a.png", "b.png", "sub/c.png"] {
            write_png(&root.path().join(name), 12, 10);
        }
        std::fs::write(root.path().join("list.csv"), text).unwrap();
        root
    }

    fn scanned(text: &str) -> Scan {
        scan(&folder(text).path().join("list.csv"), Vendors::Ignored).unwrap()
    }

    fn message(text: impl AsRef<[u8]>) -> String {
        scan(&folder(text).path().join("list.csv"), Vendors::Ignored).err().unwrap().to_string()
    }

    #[test]
    fn images_and_classes_are_sorted_and_other_columns_ignored() {
        let found = scanned("class,vendor,path\nplum,x,sub/c.png\n\"apple, red\",y,b.png\nplum,z,a.png\n");
        assert_eq!(found.class_names, ["apple, red", "plum"]);
        assert_eq!((found.labels, found.subjects), (vec![1, 0, 1], None));
        let again = scanned("path,class\nb.png,\"apple, red\"\na.png,plum\nsub/c.png,plum\n");
        assert_eq!(found.digest, again.digest);
        assert_ne!(found.digest, scanned("path,class\nb.png,plum\na.png,plum\nsub/c.png,apple\n").digest);
        assert_ne!(found.digest, scanned("path,class\nb.png,\"apple, red\"\na.png,plum\n").digest);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, expected) in [
            ("path,name\na.png,x\n", "list.csv, line 1: there is no column `class`, only: path, name"),
            ("path,class,label\na.png,x,x\n", "line 1: there are both columns `class` and `label`"),
            ("path,class,subject\na.png,x,\n", "line 2: the column `subject` is empty"),
            ("file,class\na.png,x\n", "line 1: there is no column `path`"),
            ("path,class\na.png,x\nz.png,x\n", "line 3: there is no file `z.png`"),
            ("path,class\na.png,x\nsub,x\n", "line 3: there is no file `sub`"),
            ("path,class\na.png,x\nb.png,\n", "line 3: the column `class` is empty"),
            ("path,class\n,x\n", "line 2: the column `path` is empty"),
            ("path,class\na.png,x\nb.png,x\na.png,y\n", "line 4: `a.png` is listed already in"),
            ("path,class\na.png,x,y\n", "line 2: there are 3 columns, expected 2"),
            ("path,class\n", "list.csv: no image is listed"),
            ("", "line 1: there is no column `path`"),
        ] {
            let error = message(text);
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        let error = message(b"path,class\na.png,\xff\n");
        assert!(error.contains("line 2: this is not UTF-8"), "{error}");
    }

    #[test]
    fn a_missing_manifest_is_named() {
        let error = scan(Path::new("no/such/list.csv"), Vendors::Ignored).err().unwrap();
        assert!(matches!(&error, DataError::Read { path, .. } if path.ends_with("list.csv")), "{error}");
    }

    const SPLIT: &str = "path,class,subject,split\n";

    #[test]
    fn the_column_label_is_the_class() {
        let found = scanned("path,label\na.png,x\nb.png,y\n");
        assert_eq!(found.class_names, ["x", "y"]);
    }

    #[test]
    fn subjects_and_parts_follow_their_images() {
        let found = scanned(&format!("{SPLIT}sub/c.png,x,C,test\nb.png,y,B,validation\na.png,x,A,train\n"));
        assert_eq!(found.subjects.unwrap(), ["A", "B", "C"]);
        assert_eq!((found.own_parts.unwrap(), found.own_folds), (OwnPart::ALL.to_vec(), None));
        let found = scanned("split,path,class\n1,sub/c.png,x\n0,b.png,y\n1,a.png,x\n");
        assert_eq!((found.own_folds.unwrap(), found.own_parts, found.subjects), (vec![1, 0, 1], None, None));
    }

    #[test]
    fn the_digest_follows_subjects_and_parts() {
        let digest = |rows: &str| scanned(&format!("{SPLIT}{rows}")).digest;
        let first = digest("a.png,x,A,train\nb.png,y,B,test\n");
        assert_eq!(first, digest("b.png,y,B,test\na.png,x,A,train\n"));
        assert_ne!(first, digest("a.png,x,A,train\nb.png,y,B,train\n"));
        assert_ne!(first, digest("a.png,x,A,train\nb.png,y,C,test\n"));
    }

    #[test]
    fn vendors_are_the_subjects_of_emoji() {
        let text = "path,class,vendor\na.png,x,fluent-3d\nb.png,x,google\nsub/c.png,y,fluent-flat\n";
        let root = folder(text);
        let found = scan(&root.path().join("list.csv"), Vendors::AreSubjects).unwrap();
        assert_eq!(found.subjects.unwrap(), ["fluent", "google", "fluent"]);
        let ignored = scanned(text);
        assert_eq!((ignored.subjects, ignored.digest), (None, found.digest));
    }

    #[test]
    fn a_column_split_that_does_not_fit_is_named() {
        for (rows, expected) in [
            ("a.png,x,A,train\nb.png,y,B,1\n", "line 3: the column `split` has `1`, but `train` in line 2"),
            ("a.png,x,A,0\nb.png,y,B,test\n", "line 3: the column `split` has `test`, but `0` in line 2"),
            ("a.png,x,A,train\nb.png,y,B,valid\n", "line 3: `valid` in the column `split` is no part and no fold"),
            ("a.png,x,A,-1\n", "line 2: `-1` in the column `split` is no part"),
            ("a.png,x,A,99999999999999999999999\n", "line 2: `99999999999999999999999` in the column `split`"),
            ("a.png,x,A,0\nb.png,y,B,2\n", "line 3: there is fold 2, but no image is in fold 1"),
            ("a.png,x,A,1\nb.png,y,B,2\n", "line 2: there is fold 1, but no image is in fold 0"),
            ("a.png,x,A,0\nb.png,y,B,0\n", "list.csv: all images are in fold 0"),
            ("a.png,x,A,test\nb.png,y,B,test\n", "list.csv: no image has `train`"),
            (
                "b.png,x,A,train\na.png,y,A,test\n",
                "line 3: the subject `A` is in part `test`, but in `train` in line 2",
            ),
            ("a.png,x,A,0\nb.png,y,A,1\n", "line 3: the subject `A` is in fold `1`, but in `0` in line 2"),
            ("a.png,x,A,train\nb.png,y,B,\n", "line 3: the column `split` is empty"),
        ] {
            let error = message(format!("{SPLIT}{rows}"));
            assert!(error.contains(expected), "{rows:?}: {error}");
        }
        let root = folder(format!("{SPLIT}a.png,x,A,tst\n"));
        let error = scan(&root.path().join("list.csv"), Vendors::Ignored).err().unwrap();
        assert!(miette::Diagnostic::help(&error).unwrap().to_string().contains("did you mean `test`?"));
    }
}
