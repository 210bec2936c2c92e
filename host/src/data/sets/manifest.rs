//! A CSV file that lists images.
//!
//! The first line names the columns; blanks around names and values do not count. `path` (relative to the file) and
//! `class` or `label` are needed. If they are there, these are used too:
//! - `subject`: whom the image shows.
//! - `split`: the image's part, `train`, `validation` (`val`, `valid`) or `test`, or the number of its fold from 0.
//! - `is_query` and `is_gallery`: in the validation and the test part each query is searched for in the gallery of the
//!   part. An image may be both; it does not find itself. An empty value is no.
//! - `x_1`, `x_2`, `y_1`, `y_2`: left, right, top and bottom in pixels of what is cut out of the image, right and
//!   bottom not included. A file may be listed several times with different areas. Where all four are empty nothing is
//!   cut.
//!
//! Other columns are named in a warning.

use std::collections::BTreeSet;
use std::path::Path;

use super::manifest_row::{Columns, ManifestRow, Vendors};
use super::split_column::{PartOrFold, SplitColumn};
use crate::data::DataError;
use crate::data::files::{Index, Listed, Listing, OwnPart, RetrievalRole, Scan, Sheet, Trim, extend_digest};

/// Lists the images in the order of their paths.
pub(super) fn scan(manifest: &Path, vendors: Vendors) -> Result<Scan, DataError> {
    let index = Index::text(manifest);
    let sheet = Sheet::open(manifest, Trim::All, "`path` and `class` are needed")?;
    let columns = Columns::find(&sheet, vendors)?;
    let warning = columns.unused(&sheet);
    let mut split_column = SplitColumn::default();
    let mut rows = Vec::new();
    for entry in sheet.entries() {
        let entry = entry?;
        let mut row = columns.row(&entry)?;
        if let Some(split) = columns.split {
            row.place = Some(split_column.place(index, row.line, entry.text(split)?, row.subject.as_deref())?);
        }
        rows.push(row);
    }
    let places: Vec<PartOrFold> = rows.iter().filter_map(|row| row.place).collect();
    split_column.finish(index, &places)?;
    rows.sort_unstable_by(|a, b| (&a.name, &a.class, a.line).cmp(&(&b.name, &b.class, b.line)));
    let names: BTreeSet<&String> = rows.iter().map(|row| &row.class).collect();
    let class_names: Vec<String> = names.into_iter().cloned().collect();
    let images = rows.iter().map(|ManifestRow { name, class, line, area, .. }| {
        // Every class of the rows is in the sorted list of names.
        let label = class_names.binary_search(class).unwrap_or_else(|place| place) as i64;
        Listed { index, record: *line, name: name.clone(), label, area: *area }
    });
    let images = images.collect();
    let scan = Listing { images, class_names }.scan(index, manifest.parent().unwrap_or(Path::new("")), None)?;
    let part = |row: &ManifestRow| if let Some(PartOrFold::Part(part)) = row.place { Some(part) } else { None };
    let fold = |row: &ManifestRow| if let Some(PartOrFold::Fold(fold)) = row.place { Some(fold) } else { None };
    let own_parts: Option<Vec<OwnPart>> = rows.iter().map(part).collect();
    let own_folds: Option<Vec<usize>> = rows.iter().map(fold).collect();
    let digest = digest(&columns, &rows, scan.digest);
    let roles: Option<Vec<RetrievalRole>> = rows.iter().map(|row| row.role).collect();
    // A list in which nobody is a query or in a gallery says nothing.
    let roles = roles.filter(|roles| roles.iter().any(|role| role.query || role.gallery));
    let subjects = rows.into_iter().map(|row| row.subject).collect();
    Ok(Scan { own_parts, own_folds, subjects, roles, digest, warnings: Vec::from_iter(warning), ..scan })
}

/// The line of a row in the digest. Its form never changes.
fn digested(row: &ManifestRow) -> String {
    let subject =
        row.subject.as_ref().map_or("None".to_owned(), |subject| format!("Some({})", lossmith_files::quoted(subject)));
    let place = row.place.map_or("None".to_owned(), |place| format!("Some({})", place.digest()));
    format!("{subject} {place}\n")
}

/// Extends the digest of the listed files by what else the list says of them.
fn digest(columns: &Columns, rows: &[ManifestRow], mut digest: String) -> String {
    // Vendors are in the paths already.
    if columns.subject.is_some() || columns.split.is_some() {
        digest = extend_digest(&digest, rows.iter().map(digested));
    }
    if rows.iter().any(|row| row.area.is_some()) {
        let area = |row: &ManifestRow| row.area.map_or("whole\n".to_owned(), |area| format!("{area}\n"));
        digest = extend_digest(&digest, rows.iter().map(area));
    }
    if rows.iter().any(|row| row.role.is_some_and(|role| role.query || role.gallery)) {
        let role = |row: &ManifestRow| row.role.map_or((false, false), |role| (role.query, role.gallery));
        let line = |(query, gallery)| format!("query {query} gallery {gallery}\n");
        digest = extend_digest(&digest, rows.iter().map(role).map(line));
    }
    digest
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use lossmith_images::Area;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::data::files::{ImageSource, hex};
    use crate::data::fixtures::write_png;

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
    fn images_and_classes_are_sorted_and_other_columns_named() {
        let found = scanned("class,vendor,path\nplum,x,sub/c.png\n\"apple, red\",y,b.png\nplum,z,a.png\n");
        let [warning] = found.warnings.as_slice() else { unreachable!() };
        assert!(warning.ends_with("list.csv that is not used: vendor"), "{warning}");
        assert_eq!(found.class_names, ["apple, red", "plum"]);
        assert_eq!((found.labels, found.subjects), (vec![1, 0, 1], None));
        let again = scanned("path,class\nb.png,\"apple, red\"\na.png,plum\nsub/c.png,plum\n");
        assert_eq!(found.digest, again.digest);
        assert_ne!(found.digest, scanned("path,class\nb.png,plum\na.png,plum\nsub/c.png,apple\n").digest);
        assert_ne!(found.digest, scanned("path,class\nb.png,\"apple, red\"\na.png,plum\n").digest);
    }

    #[test]
    fn blanks_around_values_do_not_count() {
        let found = scanned("path , class\na.png, x \n b.png,x\n sub/c.png ,\" y\"\n");
        assert_eq!((found.class_names, found.labels), (vec!["x".to_owned(), "y".to_owned()], vec![0, 0, 1]));
        let plain = scanned("path,class\na.png,x\nb.png,x\nsub/c.png,y\n");
        assert_eq!((found.digest, found.warnings.len()), (plain.digest, 0));
    }

    #[test]
    fn areas_and_roles_belong_to_their_lines() {
        let text = "path,class,x_1,x_2,y_1,y_2,is_query,is_gallery\n\
                    a.png,x,1,5,2,8.0,True,0\na.png,y,,,,,,yes\nb.png,x,0,3,0,3,,\n";
        let found = scanned(text);
        let ImageSource::Files(files) = &found.source else { unreachable!() };
        let area = |left, top, width, height| Some(Area { left, top, width, height });
        let areas: Vec<Option<Area>> = files.iter().map(|file| file.area).collect();
        assert_eq!(areas, [area(1, 2, 4, 6), None, area(0, 0, 3, 3)]);
        let roles: Vec<(bool, bool)> = found.roles.unwrap().iter().map(|role| (role.query, role.gallery)).collect();
        assert_eq!(roles, [(true, false), (false, true), (false, false)]);
        for (from, to) in [("8.0", "7"), ("True", "no"), (",yes", ",no")] {
            assert_ne!(scanned(&text.replacen(from, to, 1)).digest, found.digest, "{from}");
        }
        let nothing = scanned("path,class,is_query,is_gallery\na.png,x,,\n");
        assert!(nothing.roles.is_none());
        assert_eq!(nothing.digest, scanned("path,class\na.png,x\n").digest);
        let twice = message("path,class,x_1,x_2,y_1,y_2\na.png,x,1,5,2,8\na.png,y,1,5,2,8\n");
        assert!(twice.contains("line 3: `a.png` is listed already"), "{twice}");
    }

    #[test]
    fn the_digest_is_that_of_earlier_versions() {
        let text = format!("{SPLIT}a.png,x,A,train\nb.png,y,B,validation\nsub/c.png,y,C,test\n");
        let root = folder(text);
        let size = |name: &str| std::fs::metadata(root.path().join(name)).unwrap().len();
        let files = [("a.png", 0), ("b.png", 1), ("sub/c.png", 1)];
        let lines: String = files.map(|(name, label)| format!("\"{name}\" {} {label}\n", size(name))).concat();
        let places = [("A", "Train"), ("B", "Validation"), ("C", "Test")];
        let places = places.map(|(subject, part)| format!("Some(\"{subject}\") Some(Part({part}))\n")).concat();
        let sha = |text: String| hex(Sha256::new_with_prefix(text));
        let expected = sha(format!("{}\n{places}", sha(lines)));
        assert_eq!(scan(&root.path().join("list.csv"), Vendors::Ignored).unwrap().digest, expected);
        let folds = folder("path,class,split\na.png,x,0\nb.png,y,1\n");
        let lines: String = ["a.png", "b.png"]
            .iter()
            .zip(0..)
            .map(|(name, label)| format!("\"{name}\" {} {label}\n", size(name)))
            .collect();
        let expected = sha(format!("{}\nNone Some(Fold(0))\nNone Some(Fold(1))\n", sha(lines)));
        assert_eq!(scan(&folds.path().join("list.csv"), Vendors::Ignored).unwrap().digest, expected);
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
            ("path,class\r\na.png,x\r\nb.png,x\r\na.png,y\r\n", "line 4: `a.png` is listed already in"),
            ("path,class\r\nz.png,x\r\n", "line 2: there is no file `z.png`"),
            ("path,class\r\na.png,x\r\nb.png,x,y\r\n", "line 3: there are 3 columns"),
            ("path,class\ra.png,x\rz.png,x", "line 3: there is no file `z.png`"),
            ("path,class\n\na.png,x\n\n\nz.png,x\n", "line 6: there is no file `z.png`"),
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
            ("a.png,x,A,train\nb.png,y,B,vld\n", "line 3: `vld` in the column `split` is no part and no fold"),
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
