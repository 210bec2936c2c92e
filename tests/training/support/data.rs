//! Small data that is easy to tell apart: each class is a pattern with noise.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{ImageFormat, Rgb, RgbImage};

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A well-mixed number for each (a, b).
fn noise(a: usize, b: usize) -> u64 {
    let mut x = (a as u64) << 32 | b as u64;
    for _ in 0..2 {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    }
    x ^ (x >> 31)
}

/// A grey value of 0 to 255: a pattern of the class, and noise of the image.
fn pixel(class: usize, image: usize, place: usize) -> u8 {
    (noise(class, place) % 160 + noise(1000 + image, place) % 90) as u8
}

/// An IDX file of `count` images of 28 x 28 pixels, of the classes 0 to 9 in turn. `first` numbers the images.
pub(crate) fn idx_images(first: usize, count: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    for length in [count, 28, 28] {
        bytes.extend((length as u32).to_be_bytes());
    }
    let image = |number: usize| (0..28 * 28).map(move |place| pixel(number % 10, number, place));
    bytes.extend((first..first + count).flat_map(image));
    bytes
}

/// An IDX file of labels.
pub(crate) fn idx_labels(labels: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 1];
    bytes.extend((labels.len() as u32).to_be_bytes());
    bytes.extend(labels);
    bytes
}

/// The four files of a data set as Fashion-MNIST is: 300 images to train, 100 to test, of ten classes.
pub(crate) fn fashion_mnist(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (name, first, count) in [("train", 0, 300), ("t10k", 300, 100)] {
        let labels: Vec<u8> = (0..count).map(|number| (number % 10) as u8).collect();
        fs::write(folder.join(format!("{name}-images-idx3-ubyte.gz")), gzip(&idx_images(first, count))).unwrap();
        fs::write(folder.join(format!("{name}-labels-idx1-ubyte.gz")), gzip(&idx_labels(&labels))).unwrap();
    }
}

/// An image of `class` as a PNG or JPEG file.
pub(crate) fn picture(path: &Path, class: usize, image: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let format = ImageFormat::from_path(path).unwrap();
    let colour = |x: u32, y: u32| {
        let place = (y / 4 * 8 + x / 4) as usize;
        Rgb([0, 100, 200].map(|channel| pixel(class, image, place + channel)))
    };
    RgbImage::from_fn(20, 16, colour).save_with_format(path, format).unwrap();
}

/// A folder with four classes of twelve images, half of them PNG and half JPEG.
pub(crate) fn folder(root: &Path) {
    for (class, name) in ["ant", "bee", "cat", "dog"].into_iter().enumerate() {
        for number in 0..12 {
            let ending = if number % 2 == 0 { "png" } else { "jpg" };
            picture(&root.join(name).join(format!("{number:02}.{ending}")), class, number);
        }
    }
}
