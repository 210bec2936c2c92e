//! A CSV file that lists images: the columns `path` and `class`.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};

use super::DataError;
use super::listing::{Index, Listed, Listing};
use super::source::Scan;

/// Lists the images in the order of their paths.
pub(super) fn scan(manifest: &Path) -> Result<Scan, DataError> {
    let index = Index::text(manifest);
    let file = File::open(manifest).map_err(|source| DataError::Read { path: manifest.to_owned(), source })?;
    let mut reader = ReaderBuilder::new().from_reader(file);
    let header = reader.headers().map_err(|error| damaged(index, &error))?.clone();
    let (path, class) = (column(index, &header, "path")?, column(index, &header, "class")?);
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| damaged(index, &error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |column: usize, name: &str| match record.get(column) {
            None | Some("") => {
                let problem = format!("the column `{name}` is empty");
                Err(index.wrong(line, problem, "every image needs a path and a class"))
            }
            Some(text) => Ok(text.to_owned()),
        };
        rows.push((field(path, "path")?, field(class, "class")?, line));
    }
    rows.sort_unstable();
    let names: BTreeSet<&String> = rows.iter().map(|(_, class, _)| class).collect();
    let class_names: Vec<String> = names.into_iter().cloned().collect();
    let images = rows.into_iter().map(|(name, class, record)| {
        // Every class of the rows is in the sorted list of names.
        let label = class_names.binary_search(&class).unwrap_or_else(|place| place) as i64;
        Listed { index, record, name, label }
    });
    let images = images.collect();
    Listing { images, class_names }.scan(index, manifest.parent().unwrap_or(Path::new("")), None)
}

fn column(index: Index, header: &StringRecord, name: &str) -> Result<usize, DataError> {
    header.iter().position(|column| column == name).ok_or_else(|| {
        let found: Vec<&str> = header.iter().collect();
        let problem = format!("there is no column `{name}`, only: {}", found.join(", "));
        index.wrong(1, problem, "the first line names the columns; `path` and `class` are needed")
    })
}

fn damaged(index: Index, error: &csv::Error) -> DataError {
    let line = error.position().map_or(0, csv::Position::line);
    let problem = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("there are {len} columns, expected {expected_len} as in the first line")
        }
        csv::ErrorKind::Utf8 { .. } => "this is not UTF-8".to_owned(),
        _ => error.to_string(),
    };
    index.wrong(line, problem, "the file must be CSV in UTF-8 with a first line that names the columns")
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
        scan(&folder(text).path().join("list.csv")).unwrap()
    }

    fn message(text: impl AsRef<[u8]>) -> String {
        scan(&folder(text).path().join("list.csv")).err().unwrap().to_string()
    }

    #[test]
    fn images_and_classes_are_sorted_and_other_columns_ignored() {
        let found = scanned("class,vendor,path\nplum,x,sub/c.png\n\"apple, red\",y,b.png\nplum,z,a.png\n");
        assert_eq!(found.class_names, ["apple, red", "plum"]);
        assert_eq!((found.labels, found.own_test), (vec![1, 0, 1], None));
        let again = scanned("path,class\nb.png,\"apple, red\"\na.png,plum\nsub/c.png,plum\n");
        assert_eq!(found.digest, again.digest);
        assert_ne!(found.digest, scanned("path,class\nb.png,plum\na.png,plum\nsub/c.png,apple\n").digest);
        assert_ne!(found.digest, scanned("path,class\nb.png,\"apple, red\"\na.png,plum\n").digest);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, expected) in [
            ("path,label\na.png,x\n", "list.csv, line 1: there is no column `class`, only: path, label"),
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
        let error = scan(Path::new("no/such/list.csv")).err().unwrap();
        assert!(matches!(&error, DataError::Read { path, .. } if path.ends_with("list.csv")), "{error}");
    }
}
