//! Images of one's own, as people have them: what a training makes of them, and what it says before it starts.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Lab, Outcome, folder, picture};

const CONTRASTIVE: &str = "[[objective]]\nloss = { plugin = \"losses\", strategy = \"contrastive\" }\n";

/// An experiment with everything at its default but what makes it small.
fn lab(kind: &str, path: &str) -> Lab {
    let lab = Lab::new("");
    lab.write(
        "experiment.toml",
        &format!(
            "name = \"own\"\nepochs = 2\ndevice = \"cpu\"\nthreads = 1\n[data]\nkind = \"{kind}\"\npath = \"{path}\"\n\
             size = 16\n\
             [model]\nwidth = 4\nembedding = 8\n[sampler]\nclasses = 4\nsamples = 4\n{CONTRASTIVE}"
        ),
    );
    lab
}

/// The first event of a training, and the texts of its warnings about the data.
#[track_caller]
fn told(outcome: Outcome) -> (Value, Vec<String>) {
    let lines: Vec<Value> = outcome.ok().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let warnings = lines.iter().filter(|line| line["event"] == "line" && line["slot"] == "data");
    let warnings = warnings.map(|line| line["text"].as_str().unwrap().to_owned()).collect();
    (lines[0].clone(), warnings)
}

/// Images and classes of the three parts.
fn parts(ready: &Value) -> [(u64, u64); 3] {
    let part = |name: &str| &ready["data"][name];
    ["train", "validation", "test"]
        .map(|name| (part(name)["images"].as_u64().unwrap(), part(name)["classes"].as_u64().unwrap()))
}

fn classes(root: &Path, classes: std::ops::Range<usize>, images: usize) {
    for class in classes {
        (0..images).for_each(|image| picture(&root.join(format!("class{class:02}/{image:03}.png")), class, image));
    }
}

#[test]
fn ten_classes_of_eight_images_train_with_all_defaults() {
    let lab = lab("folder", "data");
    classes(&lab.path("data"), 0..10, 8);
    let (ready, warnings) = told(lab.try_train(&[]));
    assert_eq!((parts(&ready), warnings), ([(58, 10), (6, 3), (16, 10)], vec![]));
    let rows = lab.run("own").lines("metrics.jsonl");
    for metric in ["validation/map-at-r", "test/map-at-r"] {
        assert!(rows.iter().any(|row| row["values"][metric].is_number()), "{metric}");
    }
}

#[test]
fn a_part_that_cannot_be_searched_is_told_before_the_training_and_the_rest_is_measured() {
    let lab = lab("folder", "data");
    classes(&lab.path("data/train"), 0..4, 6);
    classes(&lab.path("data/val"), 0..4, 1);
    classes(&lab.path("data/test"), 0..4, 1);
    let (ready, warnings) = told(lab.try_train(&[]));
    assert_eq!(parts(&ready), [(24, 4), (4, 4), (4, 4)]);
    for (warning, part) in warnings.iter().zip(["validation", "test"]) {
        assert!(warning.starts_with(&format!("the {part} part has no class with two images")), "{warning}");
    }
    assert_eq!(warnings.len(), 2);
    let run = lab.run("own");
    assert_eq!(run.events().last().unwrap(), "finished");
    let rows = run.lines("metrics.jsonl");
    for part in ["validation", "test"] {
        let has = |metric: &str| rows.iter().any(|row| row["values"][format!("{part}/{metric}")].is_number());
        assert_eq!(["inter-distance", "nmi", "map-at-r"].map(has), [true, true, false], "{part}");
    }
    assert!(lab.lossmith(&["eval", run.name()]).ok().contains("inter-distance"));
}

/// Twelve classes in parts that share none, as other tools of the field write them: with queries, a gallery, and areas.
fn given(lab: &Lab) {
    let mut list = "label,path,split,is_query,is_gallery,x_1,x_2,y_1,y_2,category\n".to_owned();
    for class in 0..12 {
        for image in 0..8 {
            let path = format!("class{class:02}/{image:03}.png");
            picture(&lab.path("data").join(&path), class, image);
            let part = ["train", "train", "validation", "test"][class / 3];
            let role = if part == "train" {
                ","
            } else if image < 2 {
                "True,False"
            } else {
                "False,True"
            };
            list += &format!("{class},{path},{part},{role},0,8.0,0,8,x\n");
        }
    }
    fs::write(lab.path("data/list.csv"), list).unwrap();
}

#[test]
fn parts_queries_and_areas_of_a_list_are_used_as_given() {
    let lab = lab("manifest", "data/list.csv");
    given(&lab);
    let (ready, warnings) = told(lab.try_train(&[]));
    assert_eq!(parts(&ready), [(48, 6), (24, 3), (24, 3)]);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].ends_with("data/list.csv that is not used: category"), "{warnings:?}");
    let run = lab.run("own");
    let measured = lab.lossmith(&["--json", "eval", run.name(), "--part", "test"]).json();
    let overall = &measured["evaluation"]["retrieval"]["overall"];
    assert_eq!((&overall["queries"], &measured["evaluation"]["retrieval"]["excluded"]), (&6.into(), &0.into()));
    lab.try_train(&["data.split='closed-set'"]).fails(
        5,
        &[
            "class `6` is in `validation` but not in `train`",
            "leave `data.split` out to use the data's own parts as they are",
        ],
    );
}

#[test]
fn classes_that_are_not_trained_on_are_told_where_images_are_classified() {
    let lab = lab("manifest", "data/list.csv");
    given(&lab);
    let (_, warnings) = told(lab.try_train(&["evaluation.classification={}", "epochs=1"]));
    let text = "6 classes are measured but not trained on, such as `10`";
    assert!(warnings.iter().any(|warning| warning.starts_with(text)), "{warnings:?}");
}

#[test]
fn train_and_val_are_the_parts_of_a_folder() {
    let lab = lab("folder", "data");
    classes(&lab.path("data/train"), 0..6, 8);
    classes(&lab.path("data/val"), 6..9, 8);
    assert_eq!(parts(&told(lab.try_train(&[])).0), [(48, 6), (24, 3), (0, 0)]);
    classes(&lab.path("data/test"), 9..12, 8);
    assert_eq!(parts(&told(lab.try_train(&[])).0), [(48, 6), (24, 3), (24, 3)]);
}

#[test]
fn blanks_marks_and_other_separators_make_no_classes() {
    let lines = |separator: &str, end: &str, blank: &str| {
        let line = |class: usize, image: usize| {
            let blank = if image.is_multiple_of(2) { blank } else { "" };
            format!("class{class:02}/{image:03}.png{separator}{blank}cat{class}{blank}{end}")
        };
        let rows: String = (0..6).flat_map(|class| (0..8).map(move |image| line(class, image))).collect();
        format!("path{separator}{blank}class{end}{rows}")
    };
    let texts = [
        lines(",", "\n", " "),
        lines(",", "\r\n", "\t"),
        "\u{feff}".to_owned() + &lines(",", "\n", ""),
        lines(";", "\r\n", " "),
        lines("\t", "\n", ""),
    ];
    let lab = lab("manifest", "data/list.csv");
    classes(&lab.path("data"), 0..6, 8);
    let mut digests = Vec::new();
    for text in texts {
        fs::write(lab.path("data/list.csv"), text).unwrap();
        let (ready, warnings) = told(lab.try_train(&["epochs=1"]));
        assert_eq!((parts(&ready)[0].1, warnings), (6, vec![]));
        digests.push(ready["data"]["digest"].clone());
    }
    digests.dedup();
    assert_eq!(digests.len(), 1);
}

#[test]
fn files_that_cannot_be_used_are_all_named_before_the_first_step() {
    let lab = lab("folder", "data");
    folder(&lab.path("data"));
    let good = fs::read(lab.path("data/ant/00.png")).unwrap();
    for (name, bytes) in [
        ("ant/00.png", &b""[..]),
        ("bee/00.png", b"<html>"),
        ("cat/00.png", b"GIF89a\x01\0\x01\0\0\0\0"),
        ("dog/00.png", &good[..20]),
    ] {
        fs::write(lab.path("data").join(name), bytes).unwrap();
    }
    std::os::unix::fs::symlink("nowhere", lab.path("data/dog/99.jpg")).unwrap();
    let phrases = [
        "5 of 49 images cannot be used",
        "ant/00.png: the file is empty",
        "bee/00.png: its first bytes are not those of an image",
        "cat/00.png: it is a gif file",
        "dog/00.png",
        "dog/99.jpg: cannot be read: No such file",
        "replace these files, or take them out of the folder or the list",
    ];
    lab.try_train(&[]).fails(5, &phrases);
    assert!(lab.runs().is_empty());
}

#[test]
fn special_files_and_loops_do_not_hang_a_training() {
    let lab = lab("folder", "data");
    folder(&lab.path("data"));
    let pipe = |path: &str| {
        assert!(std::process::Command::new("mkfifo").arg(lab.path(path)).status().unwrap().success());
    };
    std::os::unix::fs::symlink("..", lab.path("data/ant/again")).unwrap();
    let (ready, _) = told(lab.try_train(&["epochs=1"]));
    assert_eq!(ready["data"]["skipped-files"], 1);
    assert!(ready["data"]["skipped"][0]["path"].as_str().unwrap().ends_with("ant/again"), "{ready}");
    pipe("data/bee/pipe.png");
    lab.try_train(&[]).fails(5, &["1 of 49 images cannot be used", "pipe.png: it is not a regular file"]);
    pipe("list.csv");
    lab.try_train(&["data.kind='manifest'", "data.path='list.csv'"]).fails(5, &["list.csv", "not a regular file"]);
}

#[test]
fn images_that_are_all_equal_are_told_and_so_is_a_gradient_of_zero() {
    let lab = lab("folder", "data");
    for class in 0..4 {
        for number in 0..8 {
            let path = lab.path(&format!("data/{class}/{number}.png"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            // White shapes on a transparent ground.
            image::RgbaImage::from_fn(16, 16, |x, _| image::Rgba([255, 255, 255, if x < class * 4 { 255 } else { 0 }]))
                .save(path)
                .unwrap();
        }
    }
    let outcome = lab.try_train(&["data.augmentation.enabled=false"]);
    assert!(outcome.stdout.contains("the gradient was 0 in every step of this epoch"), "{outcome:?}");
    let (_, warnings) = told(outcome);
    assert!(warnings.iter().any(|text| text.contains("training images are equal pixel by pixel")), "{warnings:?}");
}

#[test]
fn a_list_that_is_no_list_is_refused_with_its_line() {
    let lab = lab("manifest", "data/list.csv");
    classes(&lab.path("data"), 0..2, 4);
    for (text, phrases) in [
        (&b"PK\x03\x04\xff\xfe"[..], ["this is not UTF-8", "must be CSV"]),
        (b"PAR1\x15\x04\x15\xd2", ["this is not UTF-8", "must be CSV"]),
        (
            b"path,class\nclass00/000.png,\"a\nclass01/001.png,b\n",
            ["line 2: the column `class` has a line break", "quote"],
        ),
        (b"path,path,class\nclass00/000.png,x,a\n", ["there are two columns `path`", "line 1"]),
        (b"path,class\n./class00/000.png,a\nclass00/../class00/000.png,b\n", ["line 3", "is listed already in"]),
        (b"path,class,is_query\nclass00/000.png,a,1\n", ["there is no column `is_gallery`", "line 1"]),
        (b"path,class,is_query,is_gallery\nclass00/000.png,a,1,maybe\n", ["`maybe` is neither yes nor no", "line 2"]),
        (b"path,class,x_1,x_2,y_1,y_2\nclass00/000.png,a,4,2,0,8\n", ["the area from 4 to 2", "line 2"]),
        (b"path,class,x_1,x_2,y_1,y_2\nclass00/000.png,a,4,,0,8\n", ["some are empty", "line 2"]),
        (
            b"path,class,x_1,x_2,y_1,y_2\nclass00/000.png,a,50,60,0,8\n",
            ["10 x 8 pixels at 50, 0 is outside", "20 x 16"],
        ),
    ] {
        fs::write(lab.path("data/list.csv"), text).unwrap();
        lab.try_train(&[]).fails(5, &phrases);
    }
}
