//! Fashion-MNIST: four files in the IDX format, plain or gzipped.
//!
//! An IDX file is a magic number (two zero bytes, the type of an element, the number of dimensions), one big-endian
//! 32-bit length per dimension, and the elements.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::data::DataError;
use crate::data::files::{ImageSource, OwnPart, Scan, hex};

/// Height and width of an image.
const SIDE: usize = 28;
/// The most images of a file; the original has 60,000.
const MOST_IMAGES: usize = 1_000_000;
/// The type byte of unsigned bytes, the only one that Fashion-MNIST uses.
const UNSIGNED_BYTE: u8 = 8;
const CLASSES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

/// Reads the four files; the images of the test files come after those of the training files.
pub(super) fn scan(path: &Path) -> Result<Scan, DataError> {
    let mut digest = Sha256::new();
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let trained = read_pair(path, "train", &mut digest, &mut pixels, &mut labels)?;
    let tested = read_pair(path, "t10k", &mut digest, &mut pixels, &mut labels)?;
    let mut own_parts = vec![OwnPart::Train; trained];
    own_parts.resize(trained + tested, OwnPart::Test);
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

/// Appends the images and labels of one pair of files and returns their number.
fn read_pair(
    folder: &Path,
    name: &str,
    digest: &mut Sha256,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<i64>,
) -> Result<usize, DataError> {
    let images_file = Idx::<3>::read(folder, &format!("{name}-images-idx3-ubyte"))?;
    let labels_file = Idx::<1>::read(folder, &format!("{name}-labels-idx1-ubyte"))?;
    let [images, rows, columns] = images_file.lengths;
    images_file.check("the size of an image", (rows, columns) == (SIDE, SIDE), || {
        (format!("{rows} x {columns}"), format!("{SIDE} x {SIDE}"))
    })?;
    images_file.check("the number of images", images > 0, || ("0".to_owned(), "at least 1".to_owned()))?;
    let [count] = labels_file.lengths;
    labels_file.check("the number of labels", count == images, || {
        (count.to_string(), format!("{images}, one for each image of {}", images_file.path.display()))
    })?;
    if let Some((place, label)) = labels_file.elements().iter().enumerate().find(|(_, label)| **label >= 10) {
        return Err(labels_file.error("a label", format!("{label} at place {place}"), "0 to 9".to_owned()));
    }
    for file in [&images_file.bytes, &labels_file.bytes] {
        digest.update(file);
    }
    pixels.extend_from_slice(images_file.elements());
    labels.extend(labels_file.elements().iter().map(|label| i64::from(*label)));
    Ok(images)
}

/// A checked IDX file of unsigned bytes with `D` dimensions.
struct Idx<const D: usize> {
    path: PathBuf,
    bytes: Vec<u8>,
    lengths: [usize; D],
}

impl<const D: usize> Idx<D> {
    /// Bytes before the elements.
    const HEADER: usize = 4 + 4 * D;

    fn read(folder: &Path, name: &str) -> Result<Self, DataError> {
        let plain = folder.join(name);
        let gzipped = folder.join(format!("{name}.gz"));
        let (path, gzip) = if plain.exists() { (plain, false) } else { (gzipped, true) };
        let failed = |cause| DataError::Read { path: path.clone(), cause };
        let file = BufReader::new(lossmith_files::open(&path, lossmith_files::WEIGHTS).map_err(failed)?);
        let mut reader: Box<dyn Read> = if gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        // A byte more than any file may have, so that a small file that unpacks to a large one does not fill the
        // memory.
        let mut bytes = Vec::new();
        reader.by_ref().take(Self::HEADER as u64).read_to_end(&mut bytes).map_err(failed)?;
        let most = Self { path: path.clone(), bytes: bytes.clone(), lengths: [0; D] }.most()?;
        reader.take(most as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        Self { path, bytes, lengths: [0; D] }.parse()
    }

    /// The bytes of the elements that the header announces, if those are not too many.
    fn most(mut self) -> Result<usize, DataError> {
        let count = self.header()?.unwrap_or(usize::MAX);
        let most = MOST_IMAGES * if D == 1 { 1 } else { SIDE * SIDE };
        let lengths = self.lengths.map(|length| length.to_string()).join(" x ");
        self.check("the number of its elements", count <= most, || (lengths, format!("at most {most}")))?;
        Ok(count)
    }

    /// Reads the lengths. Returns their product.
    fn header(&mut self) -> Result<Option<usize>, DataError> {
        let size = self.bytes.len();
        self.check("its size", size >= Self::HEADER, || {
            (format!("{size} bytes"), format!("at least {} bytes", Self::HEADER))
        })?;
        let mut words = self.bytes.chunks_exact(4).map(|word| <[u8; 4]>::try_from(word).unwrap_or_default());
        let magic = words.next().unwrap_or_default();
        let expected = [0, 0, UNSIGNED_BYTE, D as u8];
        let show = |magic| format!("0x{:08x}", u32::from_be_bytes(magic));
        let mut lengths = [0; D];
        for (length, word) in lengths.iter_mut().zip(words) {
            *length = u32::from_be_bytes(word) as usize;
        }
        self.lengths = lengths;
        self.check("the magic number", magic == expected, || (show(magic), show(expected)))?;
        Ok(lengths.iter().try_fold(1_usize, |product, length| product.checked_mul(*length)))
    }

    fn parse(mut self) -> Result<Self, DataError> {
        let size = self.bytes.len();
        let wanted = self.header()?.and_then(|elements| elements.checked_add(Self::HEADER));
        self.check("its size", wanted == Some(size), || {
            let lengths = self.lengths.map(|length| length.to_string()).join(" x ");
            let wanted =
                wanted.map_or_else(|| "more than fits in memory".to_owned(), |wanted| format!("{wanted} bytes"));
            (format!("{size} bytes"), format!("{wanted} for {lengths} elements"))
        })?;
        Ok(self)
    }

    fn elements(&self) -> &[u8] {
        self.bytes.get(Self::HEADER..).unwrap_or_default()
    }

    fn check(
        &self,
        item: &'static str,
        holds: bool,
        texts: impl FnOnce() -> (String, String),
    ) -> Result<(), DataError> {
        if holds {
            return Ok(());
        }
        let (found, expected) = texts();
        Err(self.error(item, found, expected))
    }

    fn error(&self, item: &'static str, found: String, expected: String) -> DataError {
        DataError::Idx { path: self.path.clone(), item, found, expected }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::data::fixtures::{gzip, idx_images, idx_labels, write_fashion_mnist};

    const IMAGES: &str = "train-images-idx3-ubyte.gz";
    const LABELS: &str = "train-labels-idx1-ubyte.gz";

    /// The message for a good data set of which one file is replaced by `bytes`, gzipped.
    fn message(file: &str, bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        write_fashion_mnist(folder.path(), 20, 10);
        std::fs::write(folder.path().join(file), gzip(bytes)).unwrap();
        let error = scan(folder.path()).err().unwrap().to_string();
        assert!(error.contains(file), "{error} does not name {file}");
        error
    }

    #[test]
    fn gzipped_and_plain_files_are_the_same_data() {
        let folder = tempfile::tempdir().unwrap();
        write_fashion_mnist(folder.path(), 20, 10);
        let gzipped = scan(folder.path()).unwrap();
        let parts = [vec![OwnPart::Train; 20], vec![OwnPart::Test; 10]].concat();
        assert_eq!((gzipped.labels.len(), gzipped.own_parts.as_ref()), (30, Some(&parts)));
        std::fs::remove_file(folder.path().join(LABELS)).unwrap();
        std::fs::write(folder.path().join("train-labels-idx1-ubyte"), idx_labels(20)).unwrap();
        let plain = scan(folder.path()).unwrap();
        assert_eq!(plain.labels, gzipped.labels);
        assert_eq!(plain.digest, gzipped.digest);
        std::fs::write(folder.path().join("train-labels-idx1-ubyte"), idx_labels(21)).unwrap();
        assert!(scan(folder.path()).is_err());
    }

    #[test]
    fn another_pixel_is_another_digest() {
        let folder = tempfile::tempdir().unwrap();
        write_fashion_mnist(folder.path(), 20, 10);
        let before = scan(folder.path()).unwrap().digest;
        let mut images = idx_images(20);
        images[500] ^= 1;
        std::fs::write(folder.path().join(IMAGES), gzip(&images)).unwrap();
        assert_ne!(scan(folder.path()).unwrap().digest, before);
    }

    #[test]
    fn a_wrong_magic_number_is_named() {
        let error = message(IMAGES, &idx_labels(2000));
        assert!(error.contains("magic number is 0x00000801, expected 0x00000803"), "{error}");
        assert!(message(LABELS, b"").contains("0 bytes, expected at least 8 bytes"));
    }

    #[test]
    fn truncated_and_trailing_bytes_are_named() {
        let images = idx_images(20);
        let size = images.len();
        let cut = message(IMAGES, &images[..size - 1]);
        assert!(cut.contains(&format!("{} bytes, expected {size} bytes for 20 x 28 x 28", size - 1)), "{cut}");
        // What is behind the end is not read, however much it is.
        for more in [1, 5_000_000] {
            let longer = message(IMAGES, &[images.clone(), vec![0; more]].concat());
            assert!(longer.contains(&format!("{} bytes, expected {size} bytes", size + 1)), "{longer}");
        }
    }

    #[test]
    fn lengths_that_overflow_are_an_error() {
        let huge = [&[0, 0, 8, 3][..], &[0xff; 12]].concat();
        let error = message(IMAGES, &huge);
        assert!(error.contains("the number of its elements is 4294967295 x 4294967295 x 4294967295"), "{error}");
        let many = [&[0, 0, 8, 3, 0, 16, 0, 0, 0, 0, 0, 28, 0, 0, 0, 28][..], &[0; 1000]].concat();
        assert!(message(IMAGES, &many).contains("expected at most 784000000"));
    }

    #[test]
    fn a_damaged_gzip_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        write_fashion_mnist(folder.path(), 20, 10);
        let good = std::fs::read(folder.path().join(IMAGES)).unwrap();
        for bad in [good[..good.len() / 2].to_vec(), [&good[..], b"more"].concat(), b"not gzip".to_vec()] {
            std::fs::write(folder.path().join(IMAGES), bad).unwrap();
            let error = scan(folder.path()).err().unwrap();
            assert!(matches!(&error, DataError::Read { path, .. } if path.ends_with(IMAGES)), "{error}");
        }
    }

    #[test]
    fn counts_labels_and_sizes_must_fit() {
        let error = message(LABELS, &idx_labels(19));
        assert!(error.contains("number of labels is 19, expected 20"), "{error}");
        let mut labels = idx_labels(20);
        labels[8 + 3] = 10;
        let error = message(LABELS, &labels);
        assert!(error.contains("a label is 10 at place 3, expected 0 to 9"), "{error}");
        let small = [&[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2][..], &[0; 4]].concat();
        let error = message(IMAGES, &small);
        assert!(error.contains("size of an image is 2 x 2, expected 28 x 28"), "{error}");
        assert!(message(IMAGES, &idx_images(0)).contains("number of images is 0"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        write_fashion_mnist(folder.path(), 20, 10);
        std::fs::remove_file(folder.path().join(LABELS)).unwrap();
        let error = scan(folder.path()).err().unwrap();
        assert!(matches!(&error, DataError::Read { path, .. } if path.ends_with(LABELS)), "{error}");
    }
}
