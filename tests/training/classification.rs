//! Classifiers on the embedding, and the metric that marks the best checkpoint.

use serde_json::Value;

use crate::support::{Lab, MINED_TRIPLETS, Run, Running};

const CLASSIFIERS: [&str; 3] = ["linear", "nearest-neighbours", "class-mean"];
const NAMES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

fn lab() -> Lab {
    let lab = Lab::new(MINED_TRIPLETS);
    lab.replace("[run]", "[evaluation.classification]\nneighbours = 3\n\n[run]");
    lab
}

fn matrix(row: &Value) -> Vec<Vec<u64>> {
    serde_json::from_value(row["confusion"].clone()).unwrap()
}

/// Right ones of all images, and of each class.
fn accuracies(matrix: &[Vec<u64>]) -> (f64, Vec<f64>) {
    let right = |at: usize| matrix[at][at] as f64;
    let all = |at: usize| matrix[at].iter().sum::<u64>() as f64;
    let classes = 0..matrix.len();
    let overall = classes.clone().map(right).sum::<f64>() / classes.clone().map(all).sum::<f64>();
    (overall, classes.map(|at| right(at) / all(at)).collect())
}

/// The confusions of the last measurement of a part, by classifier.
fn last(run: &Run, part: &str) -> Vec<Value> {
    let rows = run.lines("confusion.jsonl");
    let of =
        |classifier: &&str| rows.iter().rfind(|row| row["part"] == part && row["classifier"] == *classifier).cloned();
    CLASSIFIERS.iter().filter_map(of).collect()
}

#[test]
fn accuracies_are_those_of_the_confusion_matrices() {
    let lab = lab();
    let run = lab.train(&[]);
    let rows = run.lines("confusion.jsonl");
    // Two epochs and the test part, by three classifiers.
    assert_eq!(rows.len(), 9);
    for row in &rows {
        let (part, classifier) = (row["part"].as_str().unwrap(), row["classifier"].as_str().unwrap());
        let matrix = matrix(row);
        assert_eq!(row["classes"], serde_json::json!(NAMES));
        // 6 of 30 images of a class are for validation, 10 for testing.
        let images = if part == "test" { 10 } else { 6 };
        assert!(matrix.iter().all(|row| row.iter().sum::<u64>() == images) && matrix.len() == 10, "{row}");
        let (overall, by_class) = accuracies(&matrix);
        let measured = run.rows("evaluation");
        let is_of = |other: &&Value| {
            let measured = other["values"][format!("{part}/map-at-r")].is_number();
            measured && (part == "test" || other["step"] == row["step"])
        };
        let values = &measured.iter().find(is_of).unwrap()["values"];
        let value = |name: &str| values[format!("{part}/{classifier}-{name}")].as_f64().unwrap();
        assert!((value("accuracy") - overall).abs() < 1e-12, "{row}");
        assert!((value("mean-class-accuracy") - by_class.iter().sum::<f64>() / 10.0).abs() < 1e-12, "{row}");
        for (name, accuracy) in NAMES.iter().zip(by_class) {
            assert!((value(&format!("accuracy.{name}")) - accuracy).abs() < 1e-12, "{row}");
        }
    }
    // Patterns with noise are told apart after two epochs, though not by chance alone.
    assert!(run.values("evaluation", "test/linear-accuracy")[0] > 0.3);
}

#[test]
fn the_report_shows_who_was_taken_for_whom() {
    let lab = lab();
    let run = lab.train(&[]);
    let html = run.text("report.html");
    assert_eq!(html.matches("<h2>Classes</h2>").count(), 1);
    let (_, tables) = html.split_once("<h2>Classes</h2>").unwrap();
    let (tables, _) = tables.split_once("</section>").unwrap();
    // The test part and the validation part.
    assert_eq!(tables.matches("class=\"matrix\"").count(), 6);
    let epoch = &last(&run, "test")[0]["epoch"];
    for classifier in CLASSIFIERS {
        assert!(tables.contains(&format!("{classifier}, test part, epoch {epoch}")), "{classifier}");
    }
    // Each name beside the rows and below the columns.
    assert_eq!(tables.matches("<th scope=\"row\">Ankle boot</th>").count() - CLASSIFIERS.len() * 2, 6);
    assert!(NAMES.iter().all(|name| tables.contains(name)));
    let unclassified = Lab::new(MINED_TRIPLETS);
    let plain = unclassified.train(&["epochs=1"]);
    assert!(!plain.text("report.html").contains("<h2>Classes</h2>") && !plain.path.join("confusion.jsonl").exists());
    assert!(plain.rows("evaluation").iter().all(|row| !row.to_string().contains("accuracy")));
}

#[test]
fn a_run_is_classified_again_and_shown() {
    let lab = lab();
    let run = lab.train(&[]);
    for (part, checkpoint) in [("test", "best"), ("validation", "last")] {
        let which = ["--part", part, "--checkpoint", checkpoint];
        let told = lab.lossmith(&[["--json", "eval", run.name()].as_slice(), &which].concat()).json();
        let found = &told["evaluation"]["classification"];
        let recorded = last(&run, part);
        assert_eq!(recorded.len(), 3);
        for row in recorded {
            let classifier = row["classifier"].as_str().unwrap();
            assert_eq!(found[classifier]["confusion"], row["confusion"], "{part}, {classifier}");
            assert_eq!(found[classifier]["classes"], serde_json::json!((0..10).collect::<Vec<_>>()));
        }
    }
    let text = lab.lossmith(&["eval", run.name()]).ok();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let values = run.rows("evaluation").last().unwrap()["values"].clone();
    let value = |name: &str| format!("{:.4}", values[format!("test/{name}")].as_f64().unwrap());
    assert!(text.lines().any(|line| words(line) == ["linear-accuracy", &value("linear-accuracy")]), "{text}");
    let row = ["class-mean", "linear", "nearest-neighbours"].map(|name| value(&format!("{name}-accuracy.Bag")));
    let bag = [["Bag".to_owned()].as_slice(), &row].concat();
    assert!(text.lines().any(|line| words(line) == bag), "{bag:?}: {text}");

    let shown = lab.lossmith(&["runs", "show", run.name()]).ok();
    for name in ["linear-accuracy", "nearest-neighbours-accuracy", "class-mean-accuracy"] {
        assert!(shown.contains(name) && shown.contains(&value(name)), "{name}: {shown}");
    }
    let plain = lab.train(&["epochs=1", "evaluation.classification.classifiers=['class-mean']"]);
    assert_eq!(plain.lines("confusion.jsonl").len(), 2);
    let shown = lab.lossmith(&["runs", "show", plain.name()]).ok();
    assert!(shown.contains("class-mean-accuracy") && !shown.contains("linear-accuracy"), "{shown}");
}

#[test]
fn the_training_part_is_not_classified_by_itself() {
    let lab = lab();
    let run = lab.train(&["epochs=1"]);
    let told = lab.lossmith(&["--json", "eval", run.name(), "--part", "train", "--checkpoint", "last"]).json();
    assert_eq!(told["evaluation"]["classification"], serde_json::json!({}));
    assert_eq!(told["evaluation"]["retrieval"]["per-class"].as_object().unwrap().len(), 10);
}

#[test]
fn what_cannot_be_classified_is_refused_with_its_place() {
    const PLACE: &str = "[experiment.toml:";
    for (from, to, phrases) in [
        ("validation = 0.2", "validation = 0.2\nsplit = \"class-disjoint\"", ["nobody was trained on", "closed-set"]),
        ("neighbours = 3", "neighbours = 0", ["a whole number from 1 on", "neighbours = 0"]),
        ("neighbours = 3", "neighbuors = 3", ["unknown key", "did you mean `neighbours`?"]),
        ("neighbours = 3", "classifiers = []", ["it must name at least one classifier", "classifiers = []"]),
        ("neighbours = 3", "classifiers = [\"lineal\"]", ["lineal", "`linear`"]),
        ("neighbours = 3", "regularisation = 0.0", ["it must be above 0", "regularisation = 0.0"]),
    ] {
        let lab = lab();
        lab.replace(from, to);
        lab.try_train(&[]).fails(3, &[&phrases[..], &[PLACE]].concat());
        assert!(lab.runs().is_empty(), "a run was made");
    }
}

/// The epochs that the journal calls the best so far.
fn journal_best(run: &Run) -> Vec<u64> {
    let rows = run.lines("journal.jsonl");
    let best = rows.iter().filter(|entry| entry["event"] == "checkpoint" && entry["best"] == true);
    best.map(|entry| entry["epoch"].as_u64().unwrap()).collect()
}

/// The epochs in which a metric was higher than in all before.
fn records(values: &[f64]) -> Vec<u64> {
    let is_record = |at: &usize| values[..*at].iter().all(|before| *before < values[*at]);
    (0..values.len()).filter(is_record).map(|at| at as u64 + 1).collect()
}

const BEST: [&str; 3] = ["epochs=6", "run.keep=12", "optimizer.learning-rate=0.01"];

#[test]
fn the_metric_that_is_named_marks_the_best_checkpoint() {
    let lab = lab();
    let mut bests = Vec::new();
    for metric in ["map-at-r", "class-mean-accuracy", "linear-accuracy.Bag", "macro-precision-at-1"] {
        let set = format!("evaluation.best={metric:?}");
        let run = lab.train(&[BEST.as_slice(), &[&set]].concat());
        let values = run.values("evaluation", &format!("validation/{metric}"));
        assert_eq!(values.len(), 6);
        let expected = records(&values);
        assert_eq!(journal_best(&run), expected, "{metric}: {values:?}");
        let best = *expected.last().unwrap();
        assert!(run.checkpoint("best") == run.checkpoint(&format!("epoch-{best:04}")), "{metric}");
        assert_eq!(run.rows("evaluation").last().unwrap()["epoch"], best, "the test part is measured with it");
        bests.push(best);
    }
    assert!(bests.iter().any(|best| *best != bests[0]), "another learning rate would show more: {bests:?}");
}

#[test]
fn a_metric_that_is_not_measured_is_shown_with_the_nearest() {
    let lab = lab();
    for (metric, help) in [
        ("linear-acuracy", "did you mean `linear-accuracy`?"),
        ("linear-acuracy.Bag", "did you mean `linear-accuracy`?"),
        ("validation/map-at-r", "did you mean `map-at-r`?"),
        ("slice.0.map-at-r", "is not measured"),
        ("something else entirely", "measured:"),
    ] {
        let said = format!("`{metric}` is not measured");
        lab.try_train(&[&format!("evaluation.best={metric:?}")])
            .fails(3, &[&said, help, "[experiment.toml with --set:"]);
        assert!(lab.runs().is_empty(), "a run was made");
    }
    // Which classes there are is in the data.
    let named = lab.try_train(&["epochs=1", "evaluation.best='linear-accuracy.Bog'"]);
    named.fails(3, &["`linear-accuracy.Bog`, which is not measured", "did you mean `linear-accuracy.Bag`?"]);
    let plain = Lab::new(MINED_TRIPLETS);
    plain.try_train(&["evaluation.best='linear-accuracy'"]).fails(3, &["`linear-accuracy` is not measured"]);
}

#[test]
fn a_best_checkpoint_stays_the_best_after_a_stop() {
    let lab = lab();
    let sets = [BEST.as_slice(), &["evaluation.best='class-mean-accuracy'", "epochs=12"]].concat();
    let whole = lab.train(&sets);
    for (name, signal) in [("interrupted", libc::SIGINT), ("killed", libc::SIGKILL)] {
        let set = format!("name={name}");
        let mut running = Running::start(lab.command(&lab.training(&[sets.as_slice(), &[set.as_str()]].concat())));
        (0..3).for_each(|_| running.wait_for("epoch"));
        running.signal(signal);
        assert_ne!(running.finish().code, Some(0), "it was not stopped");
        let run = lab.run(name);
        lab.lossmith(&["--json", "train", "--resume", run.name()]).ok();
        assert_eq!(run.rows("evaluation"), whole.rows("evaluation"), "{name}");
        assert!(run.checkpoint("best") == whole.checkpoint("best"), "{name}");
        assert_eq!(last(&run, "test"), last(&whole, "test"), "{name}");
        assert_eq!(last(&run, "validation"), last(&whole, "validation"), "{name}");
        let best = journal_best(&whole);
        assert_eq!(journal_best(&run).last(), best.last(), "{name}");
        // Whatever was repeated, each measurement that counts is there.
        let steps = |run: &Run| {
            let rows = run.lines("confusion.jsonl");
            let mut steps: Vec<_> = rows.iter().map(|row| (row["step"].as_u64(), row["part"] == "test")).collect();
            steps.sort_unstable();
            steps.dedup();
            steps
        };
        assert_eq!(steps(&run), steps(&whole), "{name}");
    }
}

/// A training that follows its file and has been through an epoch.
fn watched(lab: &Lab) -> Running {
    let mut arguments = lab.training(&["epochs=2000", "run.keep=1000", "session.quiet-ms=20"]);
    arguments.push("--watch");
    let mut running = Running::start(lab.command(&arguments));
    running.wait_for("epoch");
    running
}

#[test]
fn the_best_metric_of_a_running_training_stays() {
    let lab = lab();
    lab.replace(
        "[evaluation.classification]",
        "[evaluation]\nbest = \"linear-accuracy\"\n\n[evaluation.classification]",
    );
    let mut running = watched(&lab);
    lab.replace("best = \"linear-accuracy\"", "best = \"map-at-r\"");
    let verdict = running.event("verdict").to_string();
    assert!(verdict.contains("the best checkpoint so far is marked by it"), "{verdict}");
    running.signal(libc::SIGINT);
    assert_eq!(running.finish().code, Some(130));
}

#[test]
fn a_best_metric_that_is_unknown_does_not_end_a_running_training() {
    let lab = lab();
    lab.replace(
        "[evaluation.classification]",
        "[evaluation]\nbest = \"linear-accuracy\"\n\n[evaluation.classification]",
    );
    let mut running = watched(&lab);
    lab.replace("best = \"linear-accuracy\"", "best = \"lineal\"");
    running.wait_for("verdict");
    (0..4).for_each(|_| running.wait_for("epoch"));
    running.signal(libc::SIGINT);
    let outcome = running.finish();
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
}
