//! Small data sets that the tests of this folder write.
#![expect(clippy::unwrap_used, reason = "only for tests")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{Rgb, RgbImage};

use super::files::{ImageSource, OwnPart, Scan};
use super::split::Split;
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

/// A data set whose training part has `count` images of each named class, in the order of the names. Its files are
/// gone.
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

/// The layout of RAF-DB: seven classes of two images for training and one for testing.
pub(super) fn write_raf_db(root: &Path) {
    std::fs::create_dir_all(root.join("EmoLabel")).unwrap();
    let name =
        |image: usize| if image < 14 { format!("train_{:05}", image + 1) } else { format!("test_{:04}", image - 13) };
    let list = root.join("EmoLabel/list_patition_label.txt");
    write_lines(&list, (0..21).map(|image| format!("{}.jpg {}", name(image), image % 7 + 1)));
    (0..21).for_each(|image| write_jpeg(&root.join(format!("Image/aligned/{}_aligned.jpg", name(image))), 10, 10));
}

/// A line of `fer2013.csv`: pixels that count up from `first`.
pub(super) fn fer2013_line(first: usize, emotion: usize, usage: &str) -> String {
    let pixels: Vec<String> = (0..48 * 48).map(|place| ((first + place) % 256).to_string()).collect();
    format!("{emotion},{},{usage}\n", pixels.join(" "))
}

/// Class folders of `count` images, each of another subject, `S000_1.png` and so on.
pub(super) fn write_subjects(root: &Path, classes: &[&str], count: usize) {
    for class in classes {
        (0..count).for_each(|subject| write_png(&root.join(class).join(format!("S{subject:03}_1.png")), 12, 10));
    }
}

/// The layout of AffectNet: an image of each of the eleven kinds in both files.
pub(super) fn write_affectnet(root: &Path) {
    for (file, folder) in [("training.csv", 1), ("validation.csv", 2)] {
        let header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence";
        let line = |kind| format!("{folder}/{kind}.jpg,2,1,6,5,x,{kind},0.5");
        let image = |kind| root.join(format!("Manually_Annotated_Images/{folder}/{kind}.jpg"));
        (0..11).for_each(|kind| write_jpeg(&image(kind), 12, 10));
        write_lines(&root.join(file), std::iter::once(header.to_owned()).chain((0..11).map(line)));
    }
}

/// The configuration of a folder of images, with a change.
pub(super) fn config(change: impl FnOnce(&mut DataConfig)) -> DataConfig {
    let mut config = DataConfig::new(DataKind::Folder);
    change(&mut config);
    config
}

/// Images of which class `c` has `counts[c]`, class by class. They are for training, and from the image number of each
/// of `parts` on for that part; without `parts` the data has none of its own.
pub(super) fn counted_scan(counts: &[usize], parts: &[(OwnPart, usize)]) -> Scan {
    let labels: Vec<i64> = (0..).zip(counts).flat_map(|(label, count)| vec![label; *count]).collect();
    let part = |image| parts.iter().rev().find(|(_, first)| *first <= image).map_or(OwnPart::Train, |(part, _)| *part);
    Scan {
        source: ImageSource::Files(Vec::new()),
        own_parts: (!parts.is_empty()).then(|| (0..labels.len()).map(part).collect()),
        labels,
        class_names: counts.iter().map(usize::to_string).collect(),
        own_folds: None,
        subjects: None,
        first_test_class: None,
        roles: None,
        skipped: Vec::new(),
        warnings: Vec::new(),
        digest: String::new(),
    }
}

/// How many images of each class are in a part.
pub(super) fn count(scan: &Scan, part: &[usize]) -> Vec<usize> {
    let labels: Vec<i64> = part.iter().map(|image| *scan.labels.get(*image).unwrap()).collect();
    (0..).zip(&scan.class_names).map(|(class, _)| labels.iter().filter(|label| **label == class).count()).collect()
}

/// The parts are disjoint and hold all images.
pub(super) fn assert_partition(scan: &Scan, split: &Split) {
    let parts = [&split.train, &split.validation, &split.test];
    assert!(parts.iter().all(|part| part.is_sorted()));
    let all: BTreeSet<usize> = parts.into_iter().flatten().copied().collect();
    assert_eq!(all.len(), scan.labels.len());
    assert_eq!(parts.iter().map(|part| part.len()).sum::<usize>(), all.len());
}
