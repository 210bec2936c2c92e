//! FER2013: one CSV file with the pixels of every image as text.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::data::DataError;
use crate::data::files::{ImageSource, Index, OwnPart, Scan, Sheet, SheetEntry, Trim, hex};

/// Height and width of an image.
const SIDE: usize = 48;
/// The classes in the order of their numbers, which start at 0.
const CLASSES: [&str; 7] = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"];
/// The names of the parts in the file.
const USAGES: [(&str, OwnPart); 3] =
    [("Training", OwnPart::Train), ("PublicTest", OwnPart::Validation), ("PrivateTest", OwnPart::Test)];
const AGAIN: &str = "the file is not the one of FER2013 or is damaged; obtain it again";

/// Reads `fer2013.csv`, or `icml_face_data.csv` if that is not there. The images keep the order of the lines.
pub(super) fn scan(root: &Path) -> Result<Scan, DataError> {
    let [first, second] = ["fer2013.csv", "icml_face_data.csv"].map(|name| root.join(name));
    let path = if !first.is_file() && second.is_file() { second } else { first };
    let index = Index::text(&path);
    let sheet = Sheet::open(&path, Trim::All, "`emotion`, `pixels` and `Usage` are needed")?;
    let (emotion, text, usage) = (sheet.column("emotion")?, sheet.column("pixels")?, sheet.column("Usage")?);
    let mut digest = Sha256::new();
    let (mut pixels, mut labels, mut own_parts) = (Vec::new(), Vec::new(), Vec::new());
    for entry in sheet.entries() {
        let entry = entry?;
        let (emotion, usage) = (entry.text(emotion)?, entry.text(usage)?);
        let label = (0..CLASSES.len()).find(|label| label.to_string() == emotion);
        let label = label.ok_or_else(|| {
            entry.wrong(format!("the emotion is `{emotion}`, expected 0 to {}", CLASSES.len() - 1), AGAIN)
        })? as i64;
        let part = USAGES.iter().find(|(name, _)| *name == usage).map(|(_, part)| *part);
        let part = part.ok_or_else(|| {
            let known = USAGES.map(|(name, _)| name).join(", ");
            entry.wrong(format!("the usage is `{usage}`, expected one of {known}"), AGAIN)
        })?;
        let start = pixels.len();
        read_pixels(&entry, entry.text(text)?, &mut pixels)?;
        digest.update(format!("{} {label}\n", part.name()));
        digest.update(pixels.get(start..).unwrap_or_default());
        labels.push(label);
        own_parts.push(part);
    }
    if let Some((name, _)) = USAGES.iter().find(|(_, part)| !own_parts.contains(part)) {
        return Err(index.wrong(0, format!("no line has the usage `{name}`"), AGAIN));
    }
    Ok(Scan {
        source: ImageSource::Bytes { pixels, side: SIDE },
        labels,
        class_names: CLASSES.map(str::to_owned).to_vec(),
        own_parts: Some(own_parts),
        own_folds: None,
        subjects: None,
        first_test_class: None,
        roles: None,
        skipped: Vec::new(),
        warnings: Vec::new(),
        digest: hex(digest),
    })
}

/// Appends the pixels of one image.
fn read_pixels(entry: &SheetEntry, text: &str, pixels: &mut Vec<u8>) -> Result<(), DataError> {
    let before = pixels.len();
    for (place, number) in (1..).zip(text.split_ascii_whitespace()) {
        let pixel = number.parse();
        pixels.push(pixel.map_err(|_| {
            let number: String = number.chars().take(20).collect();
            entry.wrong(format!("pixel {place} is `{number}`, expected a whole number from 0 to 255"), AGAIN)
        })?);
    }
    let (found, expected) = (pixels.len() - before, SIDE * SIDE);
    if found == expected {
        Ok(())
    } else {
        Err(entry.wrong(format!("there are {found} pixels, expected {expected} for {SIDE} x {SIDE}"), AGAIN))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::data::fixtures::fer2013_line;

    const HEADER: &str = "emotion,pixels,Usage\n";

    /// Two images of each class for each part.
    fn lines() -> String {
        let usages = ["Training", "PublicTest", "PrivateTest"];
        let line = |image: usize| fer2013_line(image, image % 7, usages[image / 14]);
        HEADER.to_owned() + &(0..42).map(line).collect::<String>()
    }

    fn scanned(name: &str, text: impl AsRef<[u8]>) -> Result<Scan, DataError> {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join(name), text).unwrap();
        scan(root.path())
    }

    #[test]
    fn pixels_classes_and_parts_are_those_of_the_lines() {
        let found = scanned("fer2013.csv", lines()).unwrap();
        assert_eq!((found.labels.len(), found.labels.get(..8).unwrap()), (42, [0, 1, 2, 3, 4, 5, 6, 0].as_slice()));
        let parts = OwnPart::ALL.map(|part| [part; 14]).concat();
        assert_eq!((found.own_parts, found.class_names[6].as_str()), (Some(parts), "neutral"));
        let picture = found.source.picture(5).unwrap().unwrap();
        assert_eq!(
            (picture.width, picture.height, picture.pixels.get(..4).unwrap()),
            (48, 48, [5, 6, 7, 8].as_slice())
        );
    }

    #[test]
    fn order_and_blanks_of_the_columns_do_not_count() {
        let first = scanned("fer2013.csv", lines()).unwrap();
        let swapped = lines().lines().skip(1).fold("emotion, Usage, pixels\n".to_owned(), |text, line| {
            let columns: Vec<&str> = line.split(',').collect();
            text + &format!("{},{}, {}\n", columns[0], columns[2], columns[1])
        });
        let second = scanned("icml_face_data.csv", swapped).unwrap();
        assert_eq!((first.digest, first.labels), (second.digest, second.labels));
    }

    #[test]
    fn the_digest_follows_pixels_labels_and_parts() {
        let digest = |from: &str, to: &str| {
            assert!(lines().contains(from));
            scanned("fer2013.csv", lines().replacen(from, to, 1)).unwrap().digest
        };
        let digests =
            [digest("", ""), digest("5 6 7", "5 6 8"), digest("\n1,", "\n2,"), digest("Training", "PublicTest")];
        assert!(digests.iter().all(|digest| digests.iter().filter(|other| *other == digest).count() == 1));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (from, to, expected) in [
            ("emotion,", "feeling,", "fer2013.csv, line 1: there is no column `emotion`, only: feeling, pixels, Usage"),
            (",pixels,", ",points,", "line 1: there is no column `pixels`"),
            (",Usage", ",Part", "line 1: there is no column `Usage`"),
            ("\n1,", "\n7,", "line 3: the emotion is `7`, expected 0 to 6"),
            ("\n1,", "\n,", "line 3: the column `emotion` is empty"),
            ("Training", "Test", "line 2: the usage is `Test`, expected one of Training, PublicTest, PrivateTest"),
            ("0,0 1 2 ", "0,0 1 ", "line 2: there are 2303 pixels, expected 2304 for 48 x 48"),
            ("0,0 1 2 ", "0,0 1 2 3 ", "line 2: there are 2305 pixels"),
            ("0,0 1 2 ", "0,0 1 256 ", "line 2: pixel 3 is `256`, expected a whole number from 0 to 255"),
            ("0,0 1 2 ", "0,0 1 -2 ", "line 2: pixel 3 is `-2`"),
            ("PublicTest", "PublicTest,1", "line 16: there are 4 columns, expected 3"),
        ] {
            assert!(lines().contains(from), "{from}");
            let error = scanned("fer2013.csv", lines().replacen(from, to, 1)).err().unwrap().to_string();
            assert!(error.contains(expected), "{from:?} to {to:?}: {error}");
        }
        let error = scanned("fer2013.csv", lines().replace("PrivateTest", "Training")).err().unwrap().to_string();
        assert!(error.contains("fer2013.csv: no line has the usage `PrivateTest`"), "{error}");
        assert!(scanned("fer2013.csv", HEADER).err().unwrap().to_string().contains("no line has the usage `Training`"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = scanned("other.csv", lines()).err().unwrap();
        assert!(matches!(&error, DataError::Read { path, .. } if path.ends_with("fer2013.csv")), "{error}");
    }
}
