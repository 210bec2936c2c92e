//! AffectNet: `training.csv` and `validation.csv` list the images below `Manually_Annotated_Images` and say where the
//! face is.

use std::path::Path;

use lossmith_images::Area;

use super::class_folders::{NO_IMAGE, is_image};
use crate::data::files::{ImageSource, Index, Listed, Listing, OwnPart, Scan, Sheet, SheetEntry, Trim, extend_digest};
use crate::data::{DataError, Skipped};

/// The classes in the order of their numbers, which start at 0.
const CLASSES: [&str; 8] = ["neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"];
/// The number of the last kind of images without an expression: none, uncertain, no face.
const LAST: usize = 10;
const BOX: [&str; 4] = ["face_x", "face_y", "face_width", "face_height"];
const AGAIN: &str = "the file is not the one of AffectNet or is damaged; obtain it again";

/// The faces of both files.
#[derive(Default)]
struct Faces<'a> {
    images: Vec<Listed<'a>>,
    areas: Vec<Area>,
    own_parts: Vec<OwnPart>,
    skipped: Vec<Skipped>,
}

/// Lists the faces in the order of the files, those for training first. Images without an expression are left out, and
/// so are files that are neither JPEG, PNG nor WebP by their names, which are told as skipped.
pub(super) fn scan(root: &Path) -> Result<Scan, DataError> {
    let [train, test] = ["training.csv", "validation.csv"].map(|name| root.join(name));
    let mut faces = Faces::default();
    faces.read(&train, OwnPart::Train)?;
    faces.read(&test, OwnPart::Test)?;
    let Faces { images, areas, own_parts, skipped } = faces;
    let class_names = CLASSES.map(str::to_owned).to_vec();
    let mut scan =
        Listing { images, class_names }.scan(Index::text(&train), &root.join("Manually_Annotated_Images"), None)?;
    let line = |Area { left, top, width, height }: &Area| format!("{left} {top} {width} {height}\n");
    scan.digest = extend_digest(&scan.digest, areas.iter().map(line));
    if let ImageSource::Files(files) = &mut scan.source {
        files.iter_mut().zip(areas).for_each(|(file, area)| file.area = Some(area));
    }
    Ok(Scan { own_parts: Some(own_parts), skipped, ..scan })
}

impl<'a> Faces<'a> {
    fn read(&mut self, path: &'a Path, part: OwnPart) -> Result<(), DataError> {
        let index = Index::text(path);
        let needed =
            "`subDirectory_filePath`, `face_x`, `face_y`, `face_width`, `face_height` and `expression` are needed";
        let sheet = Sheet::open(path, Trim::None, needed)?;
        let (name, expression) = (sheet.column("subDirectory_filePath")?, sheet.column("expression")?);
        let [left, top, width, height] = BOX.map(|name| sheet.column(name).map(|column| (column, name)));
        let [left, top, width, height] = [left?, top?, width?, height?];
        let before = self.images.len();
        for entry in sheet.entries() {
            let entry = entry?;
            let text = entry.text(expression)?;
            let label = (0..=LAST)
                .find(|label| label.to_string() == text)
                .ok_or_else(|| entry.wrong(format!("the expression is `{text}`, expected 0 to {LAST}"), AGAIN))?;
            if label >= CLASSES.len() {
                continue;
            }
            let name = entry.text(name)?.to_owned();
            if !is_image(Path::new(&name)) {
                self.skipped.push(Skipped { path: name.into(), reason: NO_IMAGE });
                continue;
            }
            let number = |(column, name)| number(&entry, name, entry.text(column)?);
            let area = Area { left: number(left)?, top: number(top)?, width: number(width)?, height: number(height)? };
            if area.width < 1 || area.height < 1 {
                let problem = format!("the face is {} x {} pixels, expected at least 1 x 1", area.width, area.height);
                return Err(entry.wrong(problem, AGAIN));
            }
            self.images.push(Listed { index, record: entry.line, name, label: label as i64, area: None });
            self.areas.push(area);
        }
        self.own_parts.resize(self.images.len(), part);
        if self.images.len() == before {
            return Err(index.wrong(0, "no image with an expression is listed", AGAIN));
        }
        Ok(())
    }
}

fn number(entry: &SheetEntry, name: &str, text: &str) -> Result<i64, DataError> {
    let number = text.parse::<i32>().map(i64::from);
    number.map_err(|_| entry.wrong(format!("`{name}` is `{text}`, expected a whole number of pixels"), AGAIN))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::data::fixtures::write_affectnet;

    fn message(change: impl FnOnce(&Path)) -> String {
        let root = tempfile::tempdir().unwrap();
        write_affectnet(root.path());
        change(root.path());
        scan(root.path()).err().unwrap().to_string()
    }

    fn replace(root: &Path, file: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(root.join(file), text.replacen(from, to, 1)).unwrap();
    }

    #[test]
    fn faces_are_cut_out_and_images_without_expression_left_out() {
        let root = tempfile::tempdir().unwrap();
        write_affectnet(root.path());
        let found = scan(root.path()).unwrap();
        assert_eq!(found.labels, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7]);
        let parts = [[OwnPart::Train; 8], [OwnPart::Test; 8]].concat();
        assert_eq!((found.own_parts, found.skipped.len(), found.class_names[7].as_str()), (Some(parts), 0, "contempt"));
        let picture = found.source.picture(1).unwrap().unwrap();
        assert_eq!((picture.width, picture.height), (6, 5));
        replace(root.path(), "training.csv", "1/1.jpg,2,1,6,5", "1/1.jpg,2,1,7,5");
        assert_ne!(scan(root.path()).unwrap().digest, found.digest);
        replace(root.path(), "training.csv", "1/1.jpg", "1/1.tif");
        assert_eq!(scan(root.path()).unwrap().skipped.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (from, to, expected) in [
            ("expression", "feeling", "line 1: there is no column `expression`, only: subDirectory_filePath, face_x"),
            ("subDirectory_filePath", "path", "line 1: there is no column `subDirectory_filePath`"),
            ("face_y", "y", "line 1: there is no column `face_y`"),
            (",x,1,0.5", ",x,11,0.5", "line 3: the expression is `11`, expected 0 to 10"),
            (",x,1,0.5", ",x,happy,0.5", "line 3: the expression is `happy`"),
            (",x,1,0.5", ",x,,0.5", "line 3: the column `expression` is empty"),
            ("1/1.jpg,2", "1/1.jpg,a", "line 3: `face_x` is `a`, expected a whole number of pixels"),
            ("1/1.jpg,2", "1/1.jpg,1.5", "line 3: `face_x` is `1.5`"),
            ("1/1.jpg,2,1,6,5", "1/1.jpg,2,1,0,5", "line 3: the face is 0 x 5 pixels, expected at least 1 x 1"),
            ("1/1.jpg,2,1,6,5", "1/1.jpg,2,1,6,", "line 3: the column `face_height` is empty"),
            ("1/1.jpg", "1/99.jpg", "line 3: there is no file `1/99.jpg`"),
            ("1/1.jpg", "1/0.jpg", "line 3: `1/0.jpg` is listed already in"),
            ("1/1.jpg,2", "1/1.jpg,2,2", "line 3: there are 9 columns, expected 8"),
        ] {
            let error = message(|root| replace(root, "training.csv", from, to));
            assert!(error.contains("training.csv") && error.contains(expected), "{from:?} to {to:?}: {error}");
        }
        let header = |root: &Path| {
            std::fs::read_to_string(root.join("training.csv")).unwrap().lines().next().unwrap().to_owned()
        };
        let error = message(|root| std::fs::write(root.join("validation.csv"), header(root) + "\n").unwrap());
        assert!(error.contains("validation.csv: no image with an expression is listed"), "{error}");
        let error = message(|root| replace(root, "validation.csv", "2/0.jpg", "1/0.jpg"));
        assert!(error.contains("validation.csv, line 2: `1/0.jpg` is listed already in"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        for file in ["training.csv", "validation.csv"] {
            let error = message(|root| std::fs::remove_file(root.join(file)).unwrap());
            assert!(error.contains("cannot read") && error.contains(file), "{error}");
        }
    }

    #[test]
    fn a_face_outside_of_its_image_is_named() {
        let root = tempfile::tempdir().unwrap();
        write_affectnet(root.path());
        replace(root.path(), "training.csv", "1/1.jpg,2", "1/1.jpg,200");
        let error = scan(root.path()).unwrap().source.picture(1).unwrap().err().unwrap().to_string();
        assert!(error.contains("1.jpg: the area of 6 x 5 pixels at 200, 1 is outside"), "{error}");
    }
}
