//! Subjects: no part shares one with another.

use std::fs;

use serde_json::json;

use super::{counted, edit, train, try_train, write};
use crate::support::{Lab, MINED_TRIPLETS, picture};

/// Five subjects in two classes: subject s has 2^s images of one and 2^(4 - s) of the other, so that the counts of a
/// part say whose images are in it.
fn subjects() -> impl Iterator<Item = (usize, usize, usize)> {
    (0..5).flat_map(|subject| {
        let images = [1 << subject, 1 << (4 - subject)];
        (0..2).flat_map(move |class| (0..images[class]).map(move |image| (subject, class, image)))
    })
}

/// The subjects of a part, of which all images are there.
#[track_caller]
fn whole_subjects(counts: &[usize]) -> Vec<usize> {
    let subjects: Vec<usize> = (0..5).filter(|subject| counts[0] & (1 << subject) != 0).collect();
    let other: usize = subjects.iter().map(|subject| 1 << (4 - subject)).sum();
    assert_eq!(counts[1], other, "some subject is in two parts: {counts:?}");
    subjects
}

const PARTS: [&str; 3] = ["train", "validation", "test"];
const TWO: [&str; 3] = ["sampler.classes=2", "sampler.repeat=true", "data.seed=4"];

/// The five subjects as their publisher's data names them.
fn faces(lab: &Lab) {
    for (subject, class, image) in subjects() {
        let name = ["anger", "joy"][class];
        picture(&lab.path(&format!("faces/{name}/S{subject:03}_{image:02}.png")), class, subject * 20 + image);
    }
}

/// The subjects of each part of a training on a fold of three, in which all of them are.
#[track_caller]
fn fold_of_three(lab: &Lab, kind: &str, fold: usize) -> [Vec<usize>; 3] {
    let fold = format!("data.fold={fold}");
    // The split of a kind with subjects and without parts of its own.
    let (run, data) = train(lab, kind, &[&TWO[..], &["data.folds=3", &fold]].concat());
    assert_eq!((&data["kind"], &data["subjects"]), (&kind.into(), &5.into()));
    let parts = PARTS.map(|part| {
        let counts = counted(lab, &run, part, 2);
        assert_eq!(data[part]["images"], counts.iter().sum::<usize>());
        whole_subjects(&counts)
    });
    let mut all = parts.concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 4], "{parts:?}");
    parts
}

#[test]
fn folds_of_subjects_share_nobody_and_test_everybody_once() {
    let lab = Lab::new(MINED_TRIPLETS);
    faces(&lab);
    let mut tested = (0..3).flat_map(|fold| fold_of_three(&lab, "ck-plus", fold)[2].clone()).collect::<Vec<_>>();
    tested.sort_unstable();
    assert_eq!(tested, [0, 1, 2, 3, 4]);
    fold_of_three(&lab, "mmi", 1);
}

#[test]
fn folds_that_cannot_be_are_refused() {
    let lab = Lab::new(MINED_TRIPLETS);
    faces(&lab);
    let fails = |code: i32, more: &[&str], phrases: &[&str]| {
        try_train(&lab, "ck-plus", &[&TWO[..], more].concat()).fails(code, phrases);
        assert!(lab.runs().is_empty(), "a run was made");
    };
    fails(3, &["data.folds=1"], &["`data.folds` is", "at least 2", "[experiment.toml"]);
    fails(3, &["data.folds=3", "data.fold=3"], &["`data.fold` is 3", "below `data.folds`", "[experiment.toml"]);
    fails(5, &["data.folds=6"], &["6 folds need at least 6 subjects, but the data has 5", "lower `data.folds`"]);
    fails(5, &["data.folds=2", "data.validation=0.9"], &["which leaves 0 for training", "lower `data.validation`"]);
    fs::write(lab.path("faces/joy/S001.png"), "").unwrap();
    fails(5, &["data.folds=3"], &["joy/S001.png: the name of the file does not begin with a subject"]);
}

#[test]
fn one_image_of_each_class_can_be_classified() {
    let lab = Lab::new(MINED_TRIPLETS);
    for (subject, class) in (0..5).flat_map(|subject| [(subject, 0), (subject, 1)]) {
        let name = ["anger", "joy"][class];
        picture(&lab.path(&format!("faces/{name}/S{subject:03}_1.png")), class, subject);
    }
    let sets = [
        "data.folds=5",
        "evaluation.best='class-mean-accuracy'",
        "evaluation.classification={}",
        "sampler.repeat=true",
    ];
    let (run, data) = train(&lab, "ck-plus", &[&TWO[..], &sets].concat());
    assert_eq!(data["test"], json!({ "images": 2, "classes": 2 }));
    assert_eq!(run.values("evaluation", "test/class-mean-accuracy").len(), 1);
    assert!(run.values("evaluation", "test/map-at-r").is_empty(), "there is nothing to find");
}

/// `list.csv` with the images of the five subjects; the cell `split` is the subject's of these.
fn manifest(lab: &Lab, split: Option<[&str; 5]>) {
    let mut csv = format!("path,label,subject{}\n", if split.is_some() { ",split" } else { "" });
    for (subject, class, image) in subjects() {
        let name = format!("{subject}/{class}-{image}.png");
        picture(&lab.path("faces").join(&name), class, subject * 20 + image);
        let cell = split.map_or(String::new(), |split| format!(",{}", split[subject]));
        csv += &format!("{name},{},P{subject}{cell}\n", ["anger", "joy"][class]);
    }
    write(&lab.path("faces/list.csv"), &csv);
}

const LIST: [&str; 3] = ["data.path='faces/list.csv'", "sampler.classes=2", "sampler.repeat=true"];

#[test]
fn a_manifest_says_the_part_or_the_fold_of_each_image() {
    let lab = Lab::new(MINED_TRIPLETS);
    let parts = |more: &[&str]| {
        let (run, data) = train(&lab, "manifest", &[&LIST[..], more].concat());
        assert_eq!(data["subjects"], 5);
        let counts = |part| if data[part]["images"] == 0 { vec![0; 2] } else { counted(&lab, &run, part, 2) };
        PARTS.map(|part| whole_subjects(&counts(part)))
    };
    manifest(&lab, Some(["train", "test", "train", "validation", "train"]));
    assert_eq!(parts(&[]), [vec![0, 2, 4], vec![3], vec![1]]);
    manifest(&lab, Some(["2", "0", "1", "0", "2"]));
    for (fold, tested) in [("0", vec![1, 3]), ("1", vec![2]), ("2", vec![0, 4])] {
        let fold = format!("data.fold={fold}");
        assert_eq!(parts(&[&fold, "data.validation=0.0"])[2], tested);
    }
    try_train(&lab, "manifest", &[&LIST[..], &["data.fold=3"]].concat())
        .fails(5, &["`data.fold` is 3, expected below 3, the number of folds"]);
    try_train(&lab, "manifest", &[&LIST[..], &["data.folds=4"]].concat())
        .fails(5, &["`data.folds` is 4, but the data has 3 folds of its own", "leave `data.folds` out"]);
    // Folds that the seed draws, since nobody numbers them.
    manifest(&lab, None);
    let drawn = parts(&["data.split='subject-folds'", "data.folds=5", "data.validation=0.25"]);
    assert_eq!(drawn.each_ref().map(Vec::len), [3, 1, 1], "{drawn:?}");
}

#[test]
fn a_manifest_that_contradicts_itself_is_shown_with_its_line() {
    let lab = Lab::new(MINED_TRIPLETS);
    let list = lab.path("faces/list.csv");
    let fails = |split: [&str; 5], from: &str, to: &str, phrases: &[&str]| {
        manifest(&lab, Some(split));
        edit(&list, from, to);
        try_train(&lab, "manifest", &LIST).fails(5, phrases);
    };
    let words = ["train", "test", "train", "validation", "train"];
    // Line 2 is subject 0's only image of the first class, and the next 16 are of the other.
    let second = "0/1-0.png,joy,P0,";
    fails(
        words,
        &format!("{second}train"),
        &format!("{second}test"),
        &[
            "list.csv, line 3: the subject `P0` is in part `test`, but in `train` in line 2",
            "all images of a subject belong into one part",
        ],
    );
    let numbers = ["2", "0", "1", "0", "2"];
    fails(
        numbers,
        &format!("{second}2"),
        &format!("{second}1"),
        &["line 3: the subject `P0` is in fold `1`, but in `2` in line 2"],
    );
    fails(
        words,
        &format!("{second}train"),
        &format!("{second}trian"),
        &["line 3: `trian` in the column", "did you mean `train`?"],
    );
    fails(
        words,
        &format!("{second}train"),
        &format!("{second}0"),
        &["line 3: the column `split` has `0`, but `train` in line 2"],
    );
    fails(words, "0/1-0.png", "0/1-99.png", &["list.csv, line 3: there is no file `0/1-99.png`", "correct the path"]);
    fails(words, "path,label", "path,lable", &["line 1: there is no column `class`"]);
    fails(["0", "1", "3", "1", "0"], "P0", "P0", &["there is fold 3, but no image is in fold 2"]);
}
