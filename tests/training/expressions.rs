//! Data of expressions in the layouts of its publishers, subjects, relabelled classes and unequal ones.

mod subjects;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Lab, MINED_TRIPLETS, Outcome, Run, picture, tensors};

/// Settings of a training on seven or eight classes of few images in `faces`.
fn sets(kind: &str) -> Vec<String> {
    let fixed = ["data.path='faces'", "data.size=16", "epochs=1", "sampler.samples=2", "data.validation=0.25"];
    let kind = [format!("data.kind={kind:?}"), "sampler.classes=7".to_owned()];
    kind.into_iter().chain(fixed.map(str::to_owned)).collect()
}

fn try_train(lab: &Lab, kind: &str, more: &[&str]) -> Outcome {
    let sets = sets(kind);
    lab.try_train(&sets.iter().map(String::as_str).chain(more.iter().copied()).collect::<Vec<_>>())
}

/// The run, and what its training said of the data.
#[track_caller]
fn train(lab: &Lab, kind: &str, more: &[&str]) -> (Run, Value) {
    let stdout = try_train(lab, kind, more).ok();
    let ready: Value = serde_json::from_str(stdout.lines().next().unwrap()).unwrap();
    (lab.run_of(&stdout), ready["data"].clone())
}

#[track_caller]
fn assert_parts(data: &Value, kind: &str, parts: [u64; 3], classes: u64) {
    assert_eq!(data["kind"], kind);
    for (name, images) in ["train", "validation", "test"].into_iter().zip(parts) {
        assert_eq!(data[name], json!({ "images": images, "classes": classes }), "{name} of {data}");
    }
}

/// How many images of each label a part has.
fn counted(lab: &Lab, run: &Run, part: &str, classes: usize) -> Vec<usize> {
    let which = ["embed", run.name(), "--output", "x.safetensors", "--part", part, "--checkpoint", "last"];
    lab.lossmith(&which).ok();
    let labels = tensors(&lab.path("x.safetensors"))["labels"].integers();
    (0..classes as i64).map(|class| labels.iter().filter(|label| **label == class).count()).collect()
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[track_caller]
fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

/// Two of the five images of a class that are not for testing are for validation.
const TWO_OF_FIVE: &str = "data.validation=0.4";

/// Seven classes, of each five images to train and two to test.
fn raf_db(lab: &Lab) {
    let mut list = String::new();
    for image in 0..49 {
        let (part, number) = if image < 35 { ("train", image + 1) } else { ("test", image - 34) };
        let name = format!("{part}_{number:05}");
        list += &format!("{name}.jpg {}\n", image % 7 + 1);
        picture(&lab.path(&format!("faces/Image/aligned/{name}_aligned.jpg")), image % 7, image);
    }
    write(&lab.path("faces/EmoLabel/list_patition_label.txt"), &list);
}

#[test]
fn raf_db_trains_on_the_parts_of_its_list() {
    let lab = Lab::new(MINED_TRIPLETS);
    raf_db(&lab);
    let (run, data) = train(&lab, "raf-db", &[TWO_OF_FIVE]);
    assert_parts(&data, "raf-db", [21, 14, 14], 7);
    assert_eq!(counted(&lab, &run, "test", 7), [2; 7]);
    let text = lab.lossmith(&["eval", run.name()]).ok();
    assert!(
        ["surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"]
            .iter()
            .all(|name| text.contains(name))
    );
    // To people, too.
    let sets = sets("raf-db");
    let arguments = sets.iter().map(String::as_str).chain([TWO_OF_FIVE]).flat_map(|set| ["--set", set]);
    let told = lab.lossmith(&["train", "experiment.toml"].into_iter().chain(arguments).collect::<Vec<_>>()).ok();
    assert!(told.contains("RAF-DB in") && told.contains("train           21 images of 7 classes"), "{told}");
    let list = lab.path("faces/EmoLabel/list_patition_label.txt");
    for (from, to, problem) in [
        ("00003.jpg 3", "00003.jpg 8", "list_patition_label.txt, line 3: the label is 8, expected 1 to 7"),
        ("train_00002", "trian_00002", "line 2: the image `trian_00002.jpg` begins with neither `train_` nor `test_`"),
        ("train_00004", "train_00099", "line 4: there is no file `train_00099_aligned.jpg`"),
    ] {
        edit(&list, from, to);
        try_train(&lab, "raf-db", &[]).fails(5, &[problem]);
        edit(&list, to, from);
    }
    fs::remove_file(list).unwrap();
    try_train(&lab, "raf-db", &[]).fails(5, &["cannot read", "EmoLabel/list_patition_label.txt"]);
}

#[test]
fn fer2013_trains_on_its_three_usages() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut csv = "emotion,pixels,Usage\n".to_owned();
    for image in 0..49 {
        let usage =
            ["Training", "Training", "Training", "PublicTest", "PublicTest", "PrivateTest", "PrivateTest"][image / 7];
        let pixels: Vec<String> = (0..48 * 48).map(|at| ((at * (image % 7 + 1) + image) % 256).to_string()).collect();
        csv += &format!("{},{},{usage}\n", image % 7, pixels.join(" "));
    }
    let file = lab.path("faces/fer2013.csv");
    write(&file, &csv);
    let (run, data) = train(&lab, "fer2013", &[]);
    assert_parts(&data, "fer2013", [21, 14, 14], 7);
    assert_eq!(counted(&lab, &run, "validation", 7), [2; 7]);
    for (from, to, problem) in [
        ("\n6,", "\n7,", "fer2013.csv, line 8: the emotion is `7`, expected 0 to 6"),
        ("PublicTest", "Public", "line 23: the usage is `Public`, expected one of Training, PublicTest, PrivateTest"),
        ("\n0,0 1 ", "\n0,0 ", "line 2: there are 2303 pixels, expected 2304 for 48 x 48"),
        ("\n0,0 1 ", "\n0,0 -1 ", "line 2: pixel 2 is `-1`"),
    ] {
        edit(&file, from, to);
        try_train(&lab, "fer2013", &[]).fails(5, &[problem]);
        fs::write(&file, &csv).unwrap();
    }
}

#[test]
fn sfew_trains_on_one_folder_and_tests_on_the_other() {
    let lab = Lab::new(MINED_TRIPLETS);
    let classes = ["Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise"];
    for (class, name) in classes.into_iter().enumerate() {
        for image in 0..7 {
            let part = if image < 5 { "Train" } else { "Val" };
            picture(&lab.path(&format!("faces/{part}/{name}/film_{image}.png")), class, image);
        }
    }
    let (run, data) = train(&lab, "sfew", &[TWO_OF_FIVE]);
    assert_parts(&data, "sfew", [21, 14, 14], 7);
    assert_eq!(counted(&lab, &run, "test", 7), [2; 7]);
    fs::rename(lab.path("faces/Val/Happy"), lab.path("faces/Val/Joy")).unwrap();
    try_train(&lab, "sfew", &[]).fails(5, &["faces/Val/Joy"]);
}

#[test]
fn affectnet_trains_on_the_faces_that_are_cut_out() {
    let lab = Lab::new(MINED_TRIPLETS);
    for (file, folder, count) in [("training", 1, 5), ("validation", 2, 2)] {
        let mut csv =
            "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal\n"
                .to_owned();
        for image in 0..count * 11 {
            let name = format!("{folder}/{image}.jpg");
            picture(&lab.path(&format!("faces/Manually_Annotated_Images/{name}")), image % 11, image);
            csv += &format!("{name},2,1,12,12,1;2;3,{},0.1,-0.2\n", image % 11);
        }
        write(&lab.path(&format!("faces/{file}.csv")), &csv);
    }
    let (run, data) = train(&lab, "affectnet", &["sampler.classes=8", TWO_OF_FIVE]);
    // Eight of the eleven kinds are expressions.
    assert_parts(&data, "affectnet", [24, 16, 16], 8);
    assert_eq!(counted(&lab, &run, "test", 8), [2; 8]);
    let list = lab.path("faces/training.csv");
    for (from, to, problem) in [
        ("1/3.jpg,2,1,12,12,1;2;3,3", "1/3.jpg,2,1,12,12,1;2;3,11", "training.csv, line 5: the expression is `11`"),
        ("1/3.jpg,2,1,12,12", "1/3.jpg,2,1,0,12", "line 5: the face is 0 x 12 pixels"),
        ("1/3.jpg", "1/999.jpg", "line 5: there is no file `1/999.jpg`"),
    ] {
        edit(&list, from, to);
        try_train(&lab, "affectnet", &[]).fails(5, &[problem]);
        edit(&list, to, from);
    }
    // What is outside of the image shows when it is read.
    edit(&list, "1/3.jpg,2,1", "1/3.jpg,200,1");
    let whole = ["sampler.classes=8", "data.validation=0.0"];
    try_train(&lab, "affectnet", &whole)
        .fails(5, &["3.jpg", "the area of 12 x 12 pixels at 200, 1 is outside", "20 x 16"]);
}

/// Four classes of different sizes, each in `faces`.
fn unequal(lab: &Lab, sizes: [usize; 4]) {
    for (class, (name, size)) in ["ant", "bee", "cat", "dog"].into_iter().zip(sizes).enumerate() {
        (0..size).for_each(|image| picture(&lab.path(&format!("faces/{name}/{image:02}.png")), class, image));
    }
}

const FOLDER: [&str; 3] = ["data.test=0.25", "data.validation=0.0", "sampler.samples=4"];

#[test]
fn relabelled_classes_train_wherever_the_command_is_started() {
    let lab = Lab::new(MINED_TRIPLETS);
    unequal(&lab, [8; 4]);
    fs::create_dir(lab.path("deep")).unwrap();
    lab.write("deep/labels.csv", "class,label\nant,insect\nbee,insect\ndog,mammal\n");
    let faces = format!("data.path={:?}", lab.path("faces"));
    let text = fs::read_to_string(lab.path("experiment.toml")).unwrap();
    lab.write("deep/experiment.toml", &text.replace("validation = 0.2", "validation = 0.2\nrelabel = \"labels.csv\""));
    let sets = sets("folder");
    let sets: Vec<&str> =
        sets.iter().map(String::as_str).chain(FOLDER).chain([faces.as_str(), "sampler.classes=2"]).collect();
    let changes: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    let arguments = [["--json", "train", "deep/experiment.toml"].as_slice(), &changes].concat();
    let stdout = lab.lossmith(&arguments).ok();
    let ready: Value = serde_json::from_str(stdout.lines().next().unwrap()).unwrap();
    assert_eq!(ready["data"]["train"], json!({ "images": 18, "classes": 2 }), "{ready}");
    assert_eq!(ready["data"]["test"], json!({ "images": 6, "classes": 2 }), "{ready}");
    let run = lab.run_of(&stdout);
    assert_eq!(counted(&lab, &run, "test", 2), [4, 2]);
    let text = lab.lossmith(&["eval", run.name()]).ok();
    assert!(text.contains("insect") && text.contains("mammal") && !text.contains("bee"), "{text}");

    for (table, phrases) in [
        (
            "class,label\nant,insect\nbeee,insect\ndog,mammal\n",
            ["labels.csv, line 3: the data has no class `beee`", "did you mean `bee`?"],
        ),
        (
            "class,label\nant,insect\nant,mammal\n",
            ["labels.csv, line 3: the class `ant` is listed already in line 2", "one label"],
        ),
        (
            "class,label\nant,insect\nbee,insect\n",
            ["labels.csv: fewer than two labels are left: insect", "at least two labels"],
        ),
        ("class,name\nant,insect\n", ["labels.csv, line 1: there is no column `label`", "class, name"]),
    ] {
        lab.write("deep/labels.csv", table);
        lab.lossmith(&arguments).fails(5, &phrases);
    }
    fs::remove_file(lab.path("deep/labels.csv")).unwrap();
    lab.lossmith(&arguments).fails(5, &["cannot read", "deep/labels.csv"]);
}

#[test]
fn small_classes_repeat_their_images() {
    let lab = Lab::new(MINED_TRIPLETS);
    unequal(&lab, [24, 8, 8, 4]);
    let few = [&FOLDER[..], &["sampler.classes=4"]].concat();
    try_train(&lab, "folder", &few)
        .fails(5, &["`sampler.samples` is 4, but class `dog` has only 3 images for training", "`sampler.repeat`"]);
    let (run, data) = train(&lab, "folder", &[&few[..], &["sampler.repeat=true"]].concat());
    assert_eq!((&data["train"]["images"], run.events().last().unwrap().as_str()), (&33.into(), "finished"));
    // The same images with another seed, and the same batches with the same one.
    let again = train(&lab, "folder", &[&few[..], &["sampler.repeat=true"]].concat()).0;
    assert_eq!(again.text("metrics.jsonl"), run.text("metrics.jsonl"));
}

#[test]
fn class_weights_say_how_often_a_class_is_drawn() {
    let lab = Lab::new(MINED_TRIPLETS);
    unequal(&lab, [48, 8, 8, 8]);
    let metrics = ["uniform", "square-root", "frequency"].map(|weights| {
        let set = format!("sampler.class-weights={weights:?}");
        let (run, _) = train(&lab, "folder", &[&FOLDER[..], &["sampler.classes=2", "epochs=2", &set]].concat());
        assert_eq!(run.events().last().unwrap(), "finished", "{weights}");
        run.text("metrics.jsonl")
    });
    assert!(metrics[0] != metrics[1] && metrics[1] != metrics[2] && metrics[0] != metrics[2]);
    try_train(&lab, "folder", &["sampler.class-weights='squareroot'"]).fails(3, &["squareroot", "`square-root`"]);
}

#[test]
fn the_new_kinds_are_listed_with_how_to_get_them() {
    let lab = Lab::new(MINED_TRIPLETS);
    let list = lab.lossmith(&["--json", "data", "list"]).json();
    let table = lab.lossmith(&["data", "list"]).ok();
    for (kind, file) in [
        ("raf-db", "EmoLabel/list_patition_label.txt"),
        ("affectnet", "Manually_Annotated_Images"),
        ("fer2013", "fer2013.csv"),
        ("sfew", "Train_Aligned_Faces"),
        ("ck-plus", "<class>/<subject>_<anything>.png"),
        ("mmi", "<class>/<subject>_<anything>.png"),
    ] {
        let entry = list.as_array().unwrap().iter().find(|entry| entry["kind"] == kind).unwrap();
        assert!(entry["remedy"].as_str().unwrap().contains(file), "{entry}");
        assert!(table.contains(kind), "{table}");
        lab.replace("path = ", "# path = ");
        try_missing(&lab, kind, file);
        lab.replace("# path = ", "path = ");
    }
}

/// A training on data that is not there says where it looked and how to get it.
#[track_caller]
fn try_missing(lab: &Lab, kind: &str, file: &str) {
    let set = format!("data.kind={kind:?}");
    lab.try_train(&[&set]).fails(5, &["is not installed", &format!(".data/{kind}"), file]);
}
