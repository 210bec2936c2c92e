//! The picture of retrievals.

use std::collections::BTreeSet;

use image::{Rgb, RgbImage};
use serde_json::Value;

use crate::support::{Lab, MINED_TRIPLETS, folder, picture};

const GREEN: Rgb<u8> = Rgb([0, 150, 70]);
const RED: Rgb<u8> = Rgb([210, 30, 30]);
const GREY: Rgb<u8> = Rgb([90, 90, 90]);

/// Twelve images of each of four classes in a folder of their own, all in the test part but few.
fn lab() -> Lab {
    let lab = Lab::new(MINED_TRIPLETS);
    folder(&lab.path("animals"));
    lab.replace("kind = \"fashion-mnist\"", "kind = \"folder\"\nsize = 16\ntest = 0.5");
    let text = std::fs::read_to_string(lab.path("experiment.toml")).unwrap();
    let path = text.lines().find(|line| line.starts_with("path = ")).unwrap();
    lab.replace(path, "path = \"animals\"");
    lab.replace("classes = 10\nsamples = 4", "classes = 4\nsamples = 2");
    lab
}

/// The colour of the frame at a place: all its corners have it.
#[track_caller]
fn frame(picture: &RgbImage, left: u32, top: u32) -> Rgb<u8> {
    let corners = [(0, 0), (103, 0), (0, 103), (103, 103), (3, 51)].map(|(x, y)| *picture.get_pixel(left + x, top + y));
    assert!(corners.iter().all(|colour| *colour == corners[0]), "{corners:?} at {left}, {top}");
    corners[0]
}

/// Whether something is written in a line of text below an image.
fn written(picture: &RgbImage, left: u32, top: u32) -> bool {
    (0..104).any(|x| (0..16).any(|y| *picture.get_pixel(left + x, top + y) != Rgb([255; 3])))
}

/// Whether the frames of a row, whose top is at `top`, are those of a query of the JSON.
#[track_caller]
fn check_row(picture: &RgbImage, top: u32, query: &Value) {
    assert_eq!(frame(picture, 8, top), GREY);
    assert!(written(picture, 8, top + 104) && !written(picture, 8, top + 120));
    for (column, hit) in (1..).zip(query["neighbours"].as_array().unwrap()) {
        let colour = if hit["right"] == true { GREEN } else { RED };
        let left = 16 + column * 112;
        assert_eq!(frame(picture, left, top), colour, "{query}");
        // The class, and the distance.
        assert!(written(picture, left, top + 104) && written(picture, left, top + 120), "{query}");
        assert_eq!(hit["right"] == true, hit["class"] == query["class"]);
    }
}

#[test]
fn frames_agree_with_the_lists() {
    let lab = lab();
    let run = lab.train(&["epochs=1"]);
    let told = lab
        .lossmith(&["--json", "retrieve", run.name(), "--queries", "6", "--neighbours", "3", "--output", "a.png"])
        .json();
    let queries = told["runs"][0]["queries"].as_array().unwrap();
    let classes: BTreeSet<&str> = queries[..4].iter().map(|query| query["class"].as_str().unwrap()).collect();
    assert_eq!(classes, BTreeSet::from(["ant", "bee", "cat", "dog"]));
    let images: BTreeSet<u64> = queries.iter().map(|query| query["image"].as_u64().unwrap()).collect();
    assert_eq!((queries.len(), images.len()), (6, 6));
    for query in queries {
        let hits = query["neighbours"].as_array().unwrap();
        let distances: Vec<f64> = hits.iter().map(|hit| hit["distance"].as_f64().unwrap()).collect();
        assert!(distances.len() == 3 && distances.is_sorted() && hits.iter().all(|hit| hit["image"] != query["image"]));
    }
    let right =
        queries.iter().flat_map(|query| query["neighbours"].as_array().unwrap()).filter(|hit| hit["right"] == true);
    assert_eq!((&told["runs"][0]["right"], &told["runs"][0]["of"]), (&right.count().into(), &18.into()));

    let picture = image::open(lab.path("a.png")).unwrap().into_rgb8();
    assert_eq!(picture.dimensions(), (16 + 4 * 112, 8 + 6 * 144));
    for (row, query) in (0..).zip(queries) {
        check_row(&picture, 8 + row * 144, query);
        // Wider than high, 20 to 16: the image fills the width and leaves paper above and below.
        assert_eq!(picture.get_pixel(8 + 52, 8 + row * 144 + 4 + 2), &Rgb([255; 3]));
        assert_ne!(picture.get_pixel(8 + 4, 8 + row * 144 + 52), &Rgb([255; 3]));
    }
    let again = |seed: &str, output: &str| {
        let arguments = ["retrieve", run.name(), "--queries", "6", "--neighbours", "3", "--seed", seed];
        let text = lab.lossmith(&[arguments.as_slice(), &["--output", output]].concat()).ok();
        (text, std::fs::read(lab.path(output)).unwrap())
    };
    let (text, same) = again("0", "b.png");
    assert!(text.contains("are right") && text.contains("ant:") && text.contains("brackets"), "{text}");
    assert_eq!(same, std::fs::read(lab.path("a.png")).unwrap());
    assert_ne!(same, again("1", "c.png").1);
}

#[test]
fn two_runs_are_drawn_beneath_each_other_for_the_same_queries() {
    let lab = lab();
    let (one, two) = (lab.train(&["epochs=1"]), lab.train(&["epochs=2", "model.embedding=4"]));
    let arguments = ["--json", "retrieve", one.name(), "--against", two.name(), "--queries", "3", "--output", "a.png"];
    let told = lab.lossmith(&arguments).json();
    let [above, below] = [0, 1].map(|run| told["runs"][run]["queries"].as_array().unwrap());
    assert_eq!((above.len(), below.len(), &told["runs"][1]["run"]), (3, 3, &two.name().into()));
    let picture = image::open(lab.path("a.png")).unwrap().into_rgb8();
    assert_eq!(picture.dimensions(), (16 + 6 * 112, 8 + 3 * (2 * 136 + 4 + 8)));
    for (row, (above, below)) in (0..).zip(above.iter().zip(below)) {
        assert_eq!(above["image"], below["image"]);
        check_row(&picture, 8 + row * 284, above);
        check_row(&picture, 8 + row * 284 + 140, below);
    }
}

#[test]
fn what_should_be_known_of_the_data_is_told_once() {
    let lab = lab();
    (0..12).for_each(|image| picture(&lab.path(&format!("animals/Ant/{image}.png")), 4, image));
    let (one, two) = (lab.train(&["epochs=1"]), lab.train(&["epochs=2"]));
    let both = ["retrieve", one.name(), "--against", two.name(), "--output", "a.png"];
    let told = lab.lossmith(&[&["--json"], both.as_slice()].concat()).json();
    for run in told["runs"].as_array().unwrap() {
        assert!(run["data-warnings"].to_string().contains("`Ant` and `ant` are different classes"), "{told}");
        assert_eq!(run["data-changes"], serde_json::json!([]));
    }
    let text = lab.lossmith(&both).ok();
    assert_eq!(text.matches("the data: `Ant` and `ant` are different classes").count(), 1, "{text}");
    picture(&lab.path("animals/bee/new.png"), 1, 90);
    let text = lab.lossmith(&["retrieve", one.name(), "--accept-changes", "--output", "a.png"]).ok();
    assert!(text.contains("the data changed since the training: "), "{text}");
}

#[test]
fn more_than_there_is_cannot_be_asked_for() {
    let lab = lab();
    let run = lab.train(&["epochs=1"]);
    let most = ["--queries", "999999", "--neighbours", "999999", "--output", "a.png"];
    let told = lab.lossmith(&[&["--json", "retrieve", run.name()], &most[..]].concat()).json();
    let queries = told["runs"][0]["queries"].as_array().unwrap();
    let all = queries.len() - 1;
    assert!(queries.iter().all(|query| query["neighbours"].as_array().unwrap().len() == all), "{told}");
    // Of many images the picture would take all memory.
    for number in 0..300 {
        picture(&lab.path(&format!("animals/ant/many-{number:04}.png")), 0, number);
    }
    let run = lab.train(&["epochs=1"]);
    lab.lossmith(&[&["retrieve", run.name()], &most[..]].concat())
        .fails(2, &["pixels, more than 200000000 in all", "`--queries` and `--neighbours`"]);
}

#[test]
fn what_cannot_be_compared_or_drawn_is_refused() {
    let lab = lab();
    let run = lab.train(&["epochs=1"]);
    let other = lab.train(&["epochs=1", "seed=2"]);
    let compare = |against: &str| lab.lossmith(&["retrieve", run.name(), "--against", against, "--output", "a.png"]);
    compare(other.name()).fails(2, &["the two runs have different images in this part", "same data, split and seed"]);
    folder(&lab.path("others"));
    std::fs::remove_file(lab.path("others/ant/00.png")).unwrap();
    let other = lab.train(&["epochs=1", "data.path=others"]);
    compare(other.name()).fails(2, &["the two runs have different data"]);
    assert!(!lab.path("a.png").exists());
    lab.lossmith(&["retrieve", run.name(), "--output", "no/such/a.png"]).fails(1, &["cannot write no/such/a.png"]);
    lab.lossmith(&["retrieve", run.name(), "--queries", "0", "--output", "a.png"]).fails(2, &["--queries"]);
    lab.lossmith(&["retrieve", run.name(), "--output", "a.jpg"]).fails(2, &["--output a.jpg", "it must be .png"]);
    // In the folder of a run nothing is overwritten, and nothing is put beside the checkpoints.
    let own = |name: &str| run.path.join(name).display().to_string();
    let damage = |command: &[&str], path: &str| {
        lab.lossmith(&[command, &[path]].concat()).fails(2, &["in the folder of the run", "choose a file outside"]);
    };
    damage(&["embed", run.name(), "--output"], &own("checkpoints/best.safetensors"));
    damage(&["embed", run.name(), "--output"], &own("checkpoints/new.npy"));
    damage(&["embed", run.name(), "--output"], &own("data.csv"));
    damage(&["runs", "diff", run.name(), run.name(), "--plot"], &own("report.html"));
    lab.lossmith(&["embed", run.name(), "--output", &own("embedded.csv")]).ok();
    lab.lossmith(&["runs", "diff", run.name(), run.name(), "--plot", "d.png"]).fails(2, &["it must be .html"]);
    lab.lossmith(&["retrieve", "nowhere", "--output", "a.png"]).fails(1, &["nowhere is not a run"]);
    for (class, name) in ["ant", "bee", "cat", "dog"].into_iter().enumerate() {
        (0..4).for_each(|image| picture(&lab.path(&format!("parts/train/{name}/{image}.png")), class, image));
        picture(&lab.path(&format!("parts/test/{name}/9.png")), class, 9);
    }
    let run = lab.train(&["epochs=1", "data.path=parts", "data.validation=0.0", "evaluation.test=false"]);
    lab.lossmith(&["retrieve", run.name(), "--output", "a.png"]).fails(5, &["no image of this part has another one"]);
}

#[test]
fn the_test_part_is_left_alone_if_the_experiment_says_so() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = lab.train(&["evaluation.test=false"]);
    assert!(run.values("evaluation", "test/map-at-r").is_empty());
    assert_eq!(run.values("evaluation", "validation/distance-ratio").len(), 2);
}
