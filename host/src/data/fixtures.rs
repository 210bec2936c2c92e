//! Small data sets that the tests of this folder write.
#![expect(clippy::unwrap_used, reason = "only for tests")]

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{Rgb, RgbImage};

use super::{DataConfig, DataKind, Dataset};

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An IDX file of 28 x 28 images, no two alike.
pub(super) fn idx_images(count: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    for length in [count, 28, 28] {
        bytes.extend((length as u32).to_be_bytes());
    }
    bytes.extend((0..count * 28 * 28).map(|place| (place * place / 7 % 251) as u8));
    bytes
}

/// An IDX file of labels: 0 to 9 again and again.
pub(super) fn idx_labels(count: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 1];
    bytes.extend((count as u32).to_be_bytes());
    bytes.extend((0..count).map(|place| (place % 10) as u8));
    bytes
}

/// The four files of Fashion-MNIST, gzipped.
pub(super) fn write_fashion_mnist(folder: &Path, train: usize, test: usize) {
    for (name, count) in [("train", train), ("t10k", test)] {
        std::fs::write(folder.join(format!("{name}-images-idx3-ubyte.gz")), gzip(&idx_images(count))).unwrap();
        std::fs::write(folder.join(format!("{name}-labels-idx1-ubyte.gz")), gzip(&idx_labels(count))).unwrap();
    }
}

/// An image of one colour in the format `format`, whatever the name of the file says.
fn write_image(path: &Path, width: u32, height: u32, format: image::ImageFormat) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(width, height, Rgb([200, 100, 50])).save_with_format(path, format).unwrap();
}

pub(super) fn write_png(path: &Path, width: u32, height: u32) {
    write_image(path, width, height, image::ImageFormat::Png);
}

pub(super) fn write_jpeg(path: &Path, width: u32, height: u32) {
    write_image(path, width, height, image::ImageFormat::Jpeg);
}

/// A class folder with `count` images, `0.png` and so on.
pub(super) fn write_class(folder: &Path, count: usize) {
    for number in 0..count {
        write_png(&folder.join(format!("{number}.png")), 12, 10);
    }
}

/// A data set whose training part has `count` images of each named class, in the order of the names. Its files are gone.
pub(super) fn folder_dataset(counts: &[(&str, usize)]) -> Dataset {
    let root = tempfile::tempdir().unwrap();
    for (class, count) in counts {
        write_class(&root.path().join(class), *count);
    }
    let path = Some(root.path().to_owned());
    let config = DataConfig { path, validation: 0.0, test: 0.0, ..DataConfig::new(DataKind::Folder) };
    Dataset::open(&config, 0).unwrap()
}

fn write_lines(path: &Path, lines: impl IntoIterator<Item = String>) {
    std::fs::write(path, lines.into_iter().map(|line| line + "\n").collect::<String>()).unwrap();
}

/// The layout of CUB-200-2011 with five classes of three images.
pub(super) fn write_cub(root: &Path) {
    let classes = ["001.Albatross", "002.Auklet", "003.Bunting", "004.Cardinal", "005.Catbird"];
    write_lines(&root.join("classes.txt"), (1..).zip(classes).map(|(id, class)| format!("{id} {class}")));
    let names: Vec<String> =
        classes.iter().flat_map(|class| (0..3).map(move |image| format!("{class}/{image}.jpg"))).collect();
    write_lines(&root.join("images.txt"), (1..).zip(&names).map(|(id, name)| format!("{id} {name}")));
    write_lines(&root.join("image_class_labels.txt"), (0..15).map(|image| format!("{} {}", image + 1, image / 3 + 1)));
    names.iter().for_each(|name| write_jpeg(&root.join("images").join(name), 12, 10));
}

/// Four classes of three images, made by the script beside it.
pub(super) const CARS_ANNOTATIONS: &[u8] = include_bytes!("../../../tests/data/cars196/cars_annos.mat");

/// The layout of Cars196 with four classes of three images.
pub(super) fn write_cars(root: &Path) {
    std::fs::write(root.join("cars_annos.mat"), CARS_ANNOTATIONS).unwrap();
    (1..=12).for_each(|image| write_jpeg(&root.join(format!("car_ims/{image:06}.jpg")), 12, 10));
}

/// The layout of Stanford Online Products: three classes of two images for training, two for testing.
pub(super) fn write_products(root: &Path) {
    let mut image = 0;
    for (file, classes) in [("Ebay_train.txt", vec![10, 1, 2]), ("Ebay_test.txt", vec![11, 3])] {
        let mut lines = vec!["image_id class_id super_class_id path".to_owned()];
        for class in classes.into_iter().flat_map(|class| [class, class]) {
            image += 1;
            lines.push(format!("{image} {class} 1 chair/{image}.JPG"));
            write_jpeg(&root.join(format!("chair/{image}.JPG")), 12, 10);
        }
        write_lines(&root.join(file), lines);
    }
}
