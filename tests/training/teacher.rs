//! Embedding transfers: where the teacher comes from, what is kept of it, and what does not fit.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Lab, MINED_TRIPLETS, Run, Stored, folder, tensors};

/// A student of `[teacher]`, whose table follows.
const STUDENT: &str = r#"
[[objective]]
transfer = { plugin = "test-roles", strategy = "cosine-difference" }
balance = { plugin = "test-roles", strategy = "sum", params = { alpha = 4.0 } }

[teacher]
"#;

const PLAIN: &str = "data.augmentation.enabled=false";

/// A lab with a finished teacher, and the experiment of a student that has no teacher yet.
fn lab(sets: &[&str]) -> (Lab, Run) {
    let lab = Lab::new(MINED_TRIPLETS);
    let sets = [&["name=teacher", "model.width=6", "model.embedding=12"], sets].concat();
    let teacher = lab.train(&sets);
    lab.replace(MINED_TRIPLETS, STUDENT);
    (lab, teacher)
}

/// The `--set` that names a teacher.
fn of(teacher: &Run) -> String {
    format!("teacher.run={}", teacher.name())
}

fn teacher_of(run: &Run) -> Value {
    serde_json::from_str::<Value>(&run.text("manifest.json")).unwrap()["teacher"].clone()
}

/// The files of the cache.
fn cached(lab: &Lab) -> Vec<PathBuf> {
    fs::read_dir(lab.path("runs/.teacher")).into_iter().flatten().map(|file| file.unwrap().path()).collect()
}

/// Embeddings of a run's training part by image: the order of the labels and the embeddings.
fn embedded(lab: &Lab, run: &Run) -> BTreeMap<String, Stored> {
    lab.lossmith(&["embed", run.name(), "--part", "train", "--output", "embedded.safetensors"]).ok();
    tensors(&lab.path("embedded.safetensors"))
}

#[track_caller]
fn close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    // Each by itself: `max` would hide a NaN.
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance), "{a:?} {b:?}");
}

#[test]
fn a_run_teaches_and_its_embeddings_are_computed_once() {
    let (lab, teacher) = lab(&[]);
    let lines = lab.try_train(&[PLAIN, &of(&teacher)]).ok();
    let first = lab.run_of(&lines);
    assert!(lines.contains("12 dimensions, embeddings computed and kept"), "{lines}");
    let files = cached(&lab);
    assert_eq!(files.len(), 1);
    // What was kept is what the teacher's run gives for these images.
    close(&tensors(&files[0])["embeddings"].floats(), &embedded(&lab, &teacher)["embeddings"].floats(), 1e-6);

    let lines = lab.try_train(&[PLAIN, &of(&teacher)]).ok();
    assert!(lines.contains("embeddings from the cache"), "{lines}");
    let second = lab.run_of(&lines);
    assert!(first.part("epoch-0002", "model/") == second.part("epoch-0002", "model/"));
    assert_eq!(cached(&lab), files);

    // Looking at every batch gives the same up to rounding, and keeps nothing.
    fs::remove_file(&files[0]).unwrap();
    let lines = lab.try_train(&[PLAIN, &of(&teacher), "teacher.cache=false"]).ok();
    assert!(lines.contains("runs on every batch") && cached(&lab).is_empty(), "{lines}");
    let (a, b) = (first.values("step", "loss"), lab.run_of(&lines).values("step", "loss"));
    assert!((a[0] - b[0]).abs() < 1e-5 * a[0], "{a:?} {b:?}");
    // A student is measured without its teacher.
    fs::remove_dir_all(&teacher.path).unwrap();
    lab.lossmith(&["eval", first.name()]).ok();
}

#[test]
fn with_augmentation_the_teacher_sees_the_students_crops_in_its_own_way() {
    let (lab, teacher) = lab(&["data.size=20", "data.mean=[0.5]", "data.std=[0.25]"]);
    let lines = lab.try_train(&[&of(&teacher)]).ok();
    assert!(lines.contains("runs on every batch") && cached(&lab).is_empty(), "{lines}");
    let losses = lab.run_of(&lines).values("epoch", "loss");
    assert!(losses[1] < losses[0], "{losses:?}");
    // Another input of the same weights is another teacher.
    let weights = teacher.path.join("checkpoints/best.safetensors");
    let weights = format!("teacher.weights={}", weights.display());
    let model = "teacher.model={ width = 6, embedding = 12 }";
    let own = ["teacher.size=20", "teacher.mean=[0.5]", "teacher.std=[0.25]"];
    let same = lab.train(&[&[weights.as_str(), model], own.as_slice()].concat());
    let other = lab.train(&[&weights, model]);
    let of_run = teacher_of(&lab.run_of(&lines));
    assert_eq!(teacher_of(&same)["digest"], of_run["digest"]);
    assert_ne!(teacher_of(&other)["digest"], of_run["digest"]);
    assert_eq!(same.values("step", "loss"), lab.run_of(&lines).values("step", "loss"));
    assert_ne!(other.values("step", "loss"), same.values("step", "loss"));
}

#[test]
fn a_torchscript_module_teaches() {
    let lab = Lab::new(STUDENT);
    let module = concat!(env!("CARGO_MANIFEST_DIR"), "/src/model/testdata/script.pt");
    let module = format!("teacher.module={module}");
    let lines = lab.try_train(&[&module, "teacher.size=8", PLAIN]).ok();
    assert!(lines.contains("6 dimensions, embeddings computed and kept"), "{lines}");
    folder(&lab.path("colours"));
    let colours = format!("data.path={}", lab.path("colours").display());
    let colours = [module.as_str(), "data.kind=folder", &colours, "data.size=16", "sampler.classes=4"];
    lab.try_train(&colours).fails(5, &["the teacher's network", "3 x 16 x 16"]);
    lab.try_train(&["teacher.module=no.pt"]).fails(5, &["cannot read the teacher's weights", "no.pt"]);
    lab.try_train(&["teacher.weights=no.safetensors", "teacher.model={}"]).fails(5, &["no.safetensors"]);
}

#[test]
fn a_run_that_goes_on_has_the_same_bits_and_wants_the_same_teacher() {
    let (lab, teacher) = lab(&[]);
    let set = of(&teacher);
    let whole = lab.train(&[&set, PLAIN]);
    let mut running =
        crate::support::Running::start(lab.command(&lab.training(&["name=stopped", &set, PLAIN, "epochs=400"])));
    running.wait_for("epoch");
    running.signal(libc::SIGINT);
    assert_eq!(running.finish().code, Some(130));
    let stopped = lab.run("stopped");
    // The run kept 400 epochs; two are enough to compare.
    let text = stopped.text("experiment.toml").replace("epochs = 400", "epochs = 2");
    fs::write(stopped.path.join("experiment.toml"), text).unwrap();
    let best = teacher.path.join("checkpoints/best.safetensors");
    let kept = fs::read(&best).unwrap();
    let epochs = ["epoch-0001", "epoch-0002"].map(|name| teacher.path.join(format!("checkpoints/{name}.safetensors")));
    let other = epochs.iter().map(|file| fs::read(file).unwrap()).find(|bytes| *bytes != kept).unwrap();
    // It may be a link to one of them.
    fs::remove_file(&best).unwrap();
    fs::write(&best, other).unwrap();
    lab.lossmith(&["train", "--resume", stopped.name()])
        .fails(5, &["the teacher is not the one that this run began with"]);
    fs::write(&best, kept).unwrap();
    lab.lossmith(&["train", "--resume", stopped.name()]).ok();
    assert!(whole.part("epoch-0002", "model/") == stopped.part("epoch-0002", "model/"));
}

#[test]
fn a_set_path_begins_where_the_command_was_typed() {
    let (lab, teacher) = lab(&["epochs=1"]);
    fs::create_dir(lab.path("students")).unwrap();
    fs::rename(lab.path("experiment.toml"), lab.path("students/student.toml")).unwrap();
    let set = format!("teacher.run=runs/{}", teacher.folder());
    lab.lossmith(&["train", "students/student.toml", "--set", "epochs=1", "--set", &set]).ok();
    // In the file it begins beside the file.
    let text = fs::read_to_string(lab.path("students/student.toml")).unwrap();
    let with = |path: &str| lab.write("students/student.toml", &format!("{text}\nrun = \"{path}\"\n"));
    with(&format!("runs/{}", teacher.folder()));
    let train = ["train", "students/student.toml", "--set", "epochs=1"];
    lab.lossmith(&train).fails(5, &["is not a run"]);
    with(&format!("../runs/{}", teacher.folder()));
    lab.lossmith(&train).ok();
}

#[test]
fn a_teacher_that_does_not_fit_is_refused_and_no_run_is_made() {
    let (lab, teacher) = lab(&["data.split=class-disjoint", "sampler.classes=3", "data.validation=0.3"]);
    let set = of(&teacher);
    let disjoint = ["data.split=class-disjoint", "sampler.classes=3", "data.validation=0.3"];
    let refused = |sets: &[&str], code: i32, phrases: &[&str]| {
        lab.try_train(sets).fails(code, phrases);
        assert_eq!(lab.runs().iter().filter(|run| run.folder().starts_with("tiny")).count(), 0, "a run was made");
    };
    // Other classes are for testing there.
    refused(
        &[&[set.as_str(), "seed=2"], disjoint.as_slice()].concat(),
        5,
        &["the teacher was trained on", "part", "data.seed"],
    );
    refused(&["teacher.run=nowhere"], 5, &["nowhere is not a run"]);
    refused(&[&set, "teacher.checkpoint='7'"], 5, &["has no checkpoint `7`; there are best, last, 1, 2"]);
    refused(&[&set, "teacher.size=20"], 3, &["a run brings its own input size", "experiment.toml"]);
    refused(&["teacher.cache=true"], 3, &["exactly one of `run`, `weights` and `module`", "experiment.toml"]);
    refused(&[&set, "teacher.chekpoint=last"], 3, &["unknown key `teacher.chekpoint`", "did you mean `checkpoint`?"]);
    let weights = format!("teacher.weights={}", teacher.path.join("checkpoints/best.safetensors").display());
    refused(&[&weights, "teacher.model={ width = 7 }"], 5, &["of another shape: backbone.conv1.weight"]);
    refused(&[&weights, "teacher.model={ width = 0 }"], 3, &["`model.width` is 0"]);
    folder(&lab.path("colours"));
    let colours = format!("data.path={}", lab.path("colours").display());
    refused(
        &[&set, "data.kind=folder", &colours, "data.size=28", "sampler.classes=3"],
        5,
        &["the teacher sees images of 1 channels, the student's data has 3"],
    );
    // The same split is fine, and a student of it begins.
    lab.train(&[&[set.as_str()], disjoint.as_slice()].concat());
}

#[test]
fn a_run_that_is_not_finished_does_not_teach() {
    let (lab, teacher) = lab(&[]);
    let journal = teacher.path.join("journal.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    let unfinished: Vec<&str> = text.lines().filter(|line| !line.contains("finished")).collect();
    fs::write(&journal, unfinished.join("\n") + "\n").unwrap();
    lab.try_train(&[&of(&teacher)]).fails(5, &["the teacher's run", "train --resume"]);
}

#[test]
fn a_damaged_cache_is_named_and_a_removed_one_is_made_again() {
    let (lab, teacher) = lab(&[]);
    let set = of(&teacher);
    lab.train(&[&set, PLAIN]);
    let file = cached(&lab).remove(0);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    lab.try_train(&[&set, PLAIN]).fails(5, &["the teacher's cache", name, "remove the file"]);
    fs::remove_file(&file).unwrap();
    lab.train(&[&set, PLAIN]);
    assert_eq!(fs::read(&file).unwrap(), bytes);
}

#[test]
fn the_imbalance_is_in_the_record_the_command_and_the_report() {
    let (lab, teacher) = lab(&[]);
    let run = lab.train(&[&of(&teacher), PLAIN, "run.log-every=2"]);
    // Ten classes of four: each image has 3 of its class and 36 others.
    assert_eq!(run.values("step", "objective.0/intra-pairs"), [120.0; 6]);
    assert_eq!(run.values("epoch", "objective.0/inter-pairs"), [1440.0; 2]);
    assert!(run.values("step", "objective.0/intra-weight").iter().all(|weight| (weight - 4.0).abs() < 1e-4));
    for kind in ["step", "epoch"] {
        let shares = run.values(kind, "objective.0/intra-gradient-share");
        let balanced = run.values(kind, "objective.0/balanced-intra-gradient-share");
        assert!(!shares.is_empty() && shares.iter().all(|share| *share > 0.0 && *share < 0.5), "{shares:?}");
        for (share, balanced) in shares.iter().zip(balanced).take(if kind == "step" { 99 } else { 0 }) {
            // Four times the one half's gradient.
            let expected = 4.0 * share / (4.0 * share + 1.0 - share);
            assert!((balanced - expected).abs() < 1e-4, "{balanced} {expected}");
        }
    }
    let shown = lab.lossmith(&["runs", "show", run.name()]).ok();
    for text in ["teacher ", "intra gradient share", "objective.0", "120", "1440", "4.00"] {
        assert!(shown.contains(text), "{text} is not in:\n{shown}");
    }
    let report = run.text("report.html");
    assert!(report.contains("imbalance: shares") && report.contains("balanced-intra-gradient-share"));
}

#[test]
fn a_batch_without_pairs_of_one_class_is_warned_about_and_trains() {
    let (lab, teacher) = lab(&[]);
    let lines = lab.try_train(&[&of(&teacher), PLAIN, "sampler.samples=1"]).ok();
    assert!(lines.contains("no pairs of one class"), "{lines}");
    let run = lab.run_of(&lines);
    assert_eq!(run.values("epoch", "objective.0/intra-pairs"), [0.0; 2]);
    let all = run.lines("metrics.jsonl");
    assert!(all.iter().all(|row| row["values"].as_object().unwrap().values().all(Value::is_number)));
}

const STANDARD: &str = r#"
[[objective]]
transfer = { plugin = "transfers", strategy = "relaxed-contrastive" }
balance = { plugin = "balances", strategy = "gradient-share", params = { rho = 0.4 } }

[[objective]]
weight = 0.1
loss = { plugin = "transfers", strategy = "attention" }

[teacher]
"#;

#[test]
fn standard_strategies_train_on_two_views_with_feature_maps() {
    let (lab, teacher) = lab(&[]);
    lab.replace(STUDENT, STANDARD);
    let set = of(&teacher);
    let run = lab.train(&[&set, "sampler.views=2", "sampler.samples=2"]);
    // Two images of a class, each twice: 40 images, each with 3 of its class.
    assert_eq!(run.values("step", "objective.0/intra-pairs"), [120.0; 24]);
    let losses = run.values("epoch", "loss");
    assert!(losses[1] < losses[0], "{losses:?}");
    // The balance's own metric is the weight that the host sees in force.
    let (own, seen) =
        (run.values("step", "objective.0.balance/weight"), run.values("step", "objective.0/intra-weight"));
    assert!(own.iter().zip(&seen).all(|(own, seen)| (own - seen).abs() < 1e-3 * own), "{own:?} {seen:?}");
    assert!(own.iter().any(|weight| (weight - own[0]).abs() > 1e-3), "{own:?}");
    // Its state is in the checkpoint.
    assert!(!run.part("epoch-0002", "plugin/objective.0.balance/buffer/").is_empty());
    // Known embeddings come without maps.
    lab.try_train(&[&set, PLAIN]).fails(4, &["attention", "cache = false"]);
    lab.try_train(&[&set, PLAIN, "sampler.views=2"]).fails(5, &["views", "augmentation"]);
}
