//! Data that is missing, damaged or too small: a clear error, and nothing lost.

use std::fs;

use crate::support::{Lab, MINED_TRIPLETS, Running, fashion_mnist, folder, gzip, idx_images, idx_labels, picture};

const IMAGES: &str = "train-images-idx3-ubyte.gz";
const LABELS: &str = "train-labels-idx1-ubyte.gz";

/// An experiment on data of its own in `data`.
fn own_data() -> Lab {
    let lab = Lab::new(MINED_TRIPLETS);
    fashion_mnist(&lab.path("data"));
    lab
}

fn data(lab: &Lab) -> String {
    format!("data.path={:?}", lab.path("data"))
}

#[track_caller]
fn refused(lab: &Lab, sets: &[&str], phrases: &[&str]) {
    let path = data(lab);
    lab.try_train(&[&[path.as_str()], sets].concat()).fails(5, phrases);
    assert!(lab.runs().is_empty(), "a run was made");
}

#[test]
fn a_missing_idx_file_is_named() {
    let lab = own_data();
    fs::remove_file(lab.path("data").join(LABELS)).unwrap();
    refused(&lab, &[], &["cannot read", LABELS, "No such file"]);
    lab.try_train(&["data.path='none'"]).fails(5, &["cannot read", "none"]);
}

#[test]
fn a_damaged_idx_file_is_named_with_what_is_wrong() {
    let images = idx_images(0, 300);
    let mut another = images.clone();
    another[2] = 13;
    let whole = gzip(&images);
    let labels = |count: usize, label: u8| gzip(&idx_labels(&vec![label; count]));
    for (file, bytes, phrases) in [
        (IMAGES, whole[..whole.len() / 2].to_vec(), ["cannot read", IMAGES]),
        (IMAGES, b"no gzip".to_vec(), ["cannot read", IMAGES]),
        (IMAGES, gzip(&images[..images.len() - 1]), ["its size is 235215 bytes, expected 235216", "fetch it again"]),
        (IMAGES, gzip(b"short"), ["its size is 5 bytes", "fetch it again"]),
        (IMAGES, gzip(&another), ["the magic number is 0x00000d03, expected 0x00000803", IMAGES]),
        (LABELS, labels(299, 0), ["the number of labels is 299, expected 300", LABELS]),
        (LABELS, labels(300, 11), ["a label is 11 at place 0, expected 0 to 9", LABELS]),
    ] {
        let lab = own_data();
        fs::write(lab.path("data").join(file), bytes).unwrap();
        refused(&lab, &[], &phrases);
    }
}

#[test]
fn a_class_with_one_image_is_named() {
    let lab = own_data();
    let labels: Vec<u8> = (0..300).map(|number| if number == 0 { 9 } else { (number % 9) as u8 }).collect();
    fs::write(lab.path("data").join(LABELS), gzip(&idx_labels(&labels))).unwrap();
    refused(&lab, &[], &["class `Ankle boot` has only 1 image", "at least 2 training images"]);
}

#[test]
fn a_batch_that_the_classes_cannot_fill_is_refused() {
    let lab = own_data();
    refused(
        &lab,
        &["sampler.samples=25"],
        &["`sampler.samples` is 25", "has only 24 images", "lower `sampler.samples`"],
    );
    refused(&lab, &["sampler.classes=11"], &["`sampler.classes` is 11", "has 10 classes", "lower `sampler.classes`"]);
}

#[test]
fn a_folder_without_classes_or_images_is_refused() {
    let lab = Lab::new(MINED_TRIPLETS);
    fs::create_dir_all(lab.path("data")).unwrap();
    refused(&lab, &["data.kind=folder"], &["has no sub-folder", "each class needs a sub-folder"]);
    picture(&lab.path("data/ant/0.png"), 0, 0);
    fs::create_dir_all(lab.path("data/bee")).unwrap();
    refused(&lab, &["data.kind=folder"], &["bee has no JPEG, PNG or WebP file"]);
    picture(&lab.path("alone/train/ant/0.png"), 0, 0);
    lab.try_train(&["data.path=alone", "data.kind=folder"])
        .fails(5, &["alone/train has folders and no images", "`train` and beside it `test` or `val`"]);
}

#[test]
fn an_image_that_is_damaged_while_training_costs_nothing_that_was_learned() {
    let lab = Lab::new(MINED_TRIPLETS);
    folder(&lab.path("data"));
    let path = data(&lab);
    let sets = [path.as_str(), "data.kind=folder", "data.size=16", "sampler.classes=4", "epochs=60", "run.keep=60"];
    let mut running = Running::start(lab.command(&lab.training(&sets)));
    running.wait_for("epoch");
    let image = lab.path("data/cat/02.png");
    let good = fs::read(&image).unwrap();
    // Renamed into place, so that a reader sees the one or the other.
    fs::write(lab.path("damaged"), &good[..good.len() / 2]).unwrap();
    fs::rename(lab.path("damaged"), &image).unwrap();
    let outcome = running.finish();
    assert_eq!(outcome.stderr.matches("cannot decode").count(), 1, "{}", outcome.stderr);
    assert!(outcome.stderr.matches("png").count() < 3, "said over and over: {}", outcome.stderr);
    outcome.fails(5, &["cannot decode", "cat/02.png", "replace the file"]);

    let run = lab.run("tiny");
    let last = run.lines("journal.jsonl").pop().unwrap();
    assert_eq!(last["event"], "failed");
    assert!(last["error"].as_str().unwrap().contains("cat/02.png"), "{last}");
    assert!(!run.files("checkpoints").iter().any(|name| name.starts_with('.')));
    fs::write(&image, good).unwrap();
    lab.lossmith(&["eval", run.name(), "--checkpoint", "1"]).ok();
    lab.lossmith(&["train", "--resume", run.name()]).ok();
    assert_eq!(run.events().last().unwrap(), "finished");
    assert!(run.checkpoint("epoch-0060") == lab.train(&sets).checkpoint("epoch-0060"));
}
