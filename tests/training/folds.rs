//! Sweeps over folds of subjects.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::support::{Lab, MINED_TRIPLETS, Running, picture};

/// Two methods on three folds; the margin of one is chosen with the first seed.
const SWEEP: &str = r#"name = "faces"
experiment = "experiment.toml"
directory = "runs"
seeds = [1, 2]
selection-seeds = 1
folds = 3
select = "nearest-neighbours-accuracy"
report = ["map-at-r", "class-mean-accuracy"]
per-class = "nearest-neighbours-accuracy"
baseline = "alone"
set = [
    "data.kind='ck-plus'", "data.path='faces'", "data.size=16", "data.validation=0.25", "data.seed=1", "epochs=2",
    "run.keep=1", "sampler.classes=3", "evaluation.classification={neighbours=3}",
    "evaluation.best='nearest-neighbours-accuracy'",
]

[[setting]]
name = "plain"

[[method]]
name = "alone"

[[method]]
name = "margins"
vary = { key = "objective.0.loss.params.margin", values = [0.1, 0.9] }
"#;

const JSON: [&str; 3] = ["--json", "sweep", "sweep.toml"];
const CLASSES: [&str; 3] = ["anger", "fear", "joy"];

/// Six subjects with four images of each of three classes.
fn lab(sweep: &str) -> Lab {
    let lab = Lab::new(MINED_TRIPLETS);
    for (class, name) in CLASSES.into_iter().enumerate() {
        for image in 0..24 {
            let file = format!("faces/{name}/S{:02}_{}.png", image / 4, image % 4);
            picture(&lab.path(&file), class, image);
        }
    }
    lab.write("sweep.toml", sweep);
    lab
}

fn events(stdout: &str, kind: &str) -> Vec<Value> {
    let events = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == kind).collect()
}

fn text(lab: &Lab, file: &str) -> String {
    fs::read_to_string(lab.path(&format!("runs/faces-results/{file}"))).unwrap()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// A table's row of a method, cell by cell.
fn row(table: &str, method: &str) -> Vec<String> {
    let begin = format!("| {method} |");
    let line = table.lines().find(|line| line.starts_with(&begin)).unwrap();
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// Means over the folds, by seed.
fn by_seed(runs: &[&Value], value: impl Fn(&Value) -> f64) -> Vec<f64> {
    let mut seeds = BTreeMap::<u64, Vec<f64>>::new();
    for run in runs {
        seeds.entry(run["seed"].as_u64().unwrap()).or_default().push(value(run));
    }
    assert!(seeds.values().all(|folds| folds.len() == 3));
    seeds.values().map(|folds| mean(folds)).collect()
}

#[test]
fn each_seed_is_the_mean_of_its_folds() {
    let lab = lab(SWEEP);
    let first = lab.lossmith(&JSON).ok();
    let made = events(&first, "run");
    let names: Vec<&str> = made.iter().map(|run| run["name"].as_str().unwrap()).collect();
    let folds = |begin: &str| (0..3).map(|fold| format!("faces-plain-{begin}-f{fold}")).collect::<Vec<_>>();
    let selection = ["alone-s1", "margins-0.1-s1", "margins-0.9-s1"].map(folds).concat();
    assert_eq!((names.len(), &names[..9]), (15, selection.iter().map(String::as_str).collect::<Vec<_>>().as_slice()));

    let record: Value = serde_json::from_str(&text(&lab, "results.json")).unwrap();
    let runs = record["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 15);
    let mut tested = 0;
    for outcome in runs {
        let fold = outcome["fold"].as_u64().unwrap();
        let name = outcome["name"].as_str().unwrap();
        assert!(name.ends_with(&format!("-s{}-f{fold}", outcome["seed"])), "{outcome}");
        let run = lab.run(name);
        let config: Value = {
            let text = run.text("experiment.toml");
            serde_json::to_value(toml_value(&text)).unwrap()
        };
        assert_eq!(config["split"], "\"subject-folds\"");
        assert_eq!((&config["folds"], &config["fold"]), (&"3".into(), &fold.to_string().into()));
        let best = run.values("evaluation", "validation/nearest-neighbours-accuracy").into_iter().fold(0.0, f64::max);
        assert_eq!(outcome["validation"]["nearest-neighbours-accuracy"], best);
        if outcome["chosen"] == true {
            let measured = lab.lossmith(&["--json", "eval", run.name()]).json();
            assert_eq!(outcome["test"]["map-at-r"], measured["evaluation"]["retrieval"]["overall"]["map-at-r"]);
        }
        if outcome["method"] == "alone" && outcome["seed"] == 1 {
            let measured = lab.lossmith(&["--json", "eval", run.name()]).json();
            let classes = measured["evaluation"]["retrieval"]["per-class"].as_object().unwrap();
            tested += classes.values().map(|class| class["queries"].as_u64().unwrap()).sum::<u64>();
        }
    }
    assert_eq!(tested, 72, "each image is tested in one fold");

    // The table, from the record.
    let chosen = |method: &str| {
        let chosen = |run: &&Value| run["method"] == method && run["chosen"] == true;
        runs.iter().filter(chosen).collect::<Vec<_>>()
    };
    let of = |method: &str, metric: &str| by_seed(&chosen(method), |run| run["test"][metric].as_f64().unwrap());
    let table = text(&lab, "table.md");
    assert!(table.contains("What a seed reached is the mean over its 3 folds."), "{table}");
    for method in ["alone", "margins"] {
        let cells = row(&table, method);
        let selected =
            by_seed(&chosen(method), |run| run["validation"]["nearest-neighbours-accuracy"].as_f64().unwrap());
        let [map, accuracy] = ["map-at-r", "class-mean-accuracy"].map(|metric| mean(&of(method, metric)));
        for (place, expected) in [(2, mean(&selected)), (3, map), (5, accuracy)] {
            assert!(cells[place].starts_with(&format!("{expected:.4} ±")), "{expected}: {cells:?}");
        }
        assert_eq!(cells[4] == "-", method == "alone", "{cells:?}");
    }
    let difference = mean(&of("margins", "map-at-r")) - mean(&of("alone", "map-at-r"));
    assert!(row(&table, "margins")[4].starts_with(&format!("{difference:+.4} ±")), "{difference}: {table}");
    // The value with the best mean over the folds of the first seed was chosen.
    let reached = |value: f64| {
        let ours = runs.iter().filter(|run| run["value"] == value && run["seed"] == 1).collect::<Vec<_>>();
        by_seed(&ours, |run| run["validation"]["nearest-neighbours-accuracy"].as_f64().unwrap())[0]
    };
    let best = if reached(0.9) > reached(0.1) { 0.9 } else { 0.1 };
    assert!(chosen("margins").len() == 6 && chosen("margins").iter().all(|run| run["value"] == best));

    // A curve of the methods, and one of the classes.
    let svg = text(&lab, "classes-plain.svg");
    assert!(CLASSES.iter().all(|class| svg.contains(class)) && svg.contains("margin"), "{svg}");
    assert!(svg.contains("nearest-neighbours-accuracy") && svg.contains("margins"), "{svg}");
    assert!(text(&lab, "curve-plain.svg").contains("alone"));

    // The second time nothing is trained.
    let again = lab.lossmith(&JSON).ok();
    assert!(events(&again, "run").iter().all(|run| run["kept"] == true) && events(&again, "run").len() == 15);
    assert_eq!(text(&lab, "table.md"), table);
}

/// The lines of a TOML file that say `key = value`, the value as text.
fn toml_value(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once(" = "));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn folds_that_were_stopped_go_on_to_the_same_results() {
    let sweep = SWEEP.replace("seeds = [1, 2]", "seeds = [1]");
    let whole = lab(&sweep);
    whole.lossmith(&JSON).ok();
    for signal in [libc::SIGKILL, libc::SIGINT] {
        let lab = lab(&sweep);
        let mut running = Running::start(lab.command(&JSON));
        (0..2).for_each(|_| running.wait_for("run"));
        running.signal(signal);
        assert_ne!(running.finish().code, Some(0), "it was not stopped");
        assert!(lab.runs().len() < 9);
        let made = events(&lab.lossmith(&JSON).ok(), "run");
        assert_eq!([&made[0]["kept"], &made[1]["kept"], &made[8]["kept"]], [true, true, false]);
        for file in ["results.json", "table.md", "classes-plain.svg"] {
            assert_eq!(text(&lab, file), text(&whole, file), "{file}");
        }
    }
}

#[test]
fn no_picture_of_classes_is_made_without_a_metric_of_theirs() {
    let lab = lab(&SWEEP.replace("per-class =", "# per-class =").replace("seeds = [1, 2]", "seeds = [1]"));
    lab.lossmith(&JSON).ok();
    assert!(!lab.path("runs/faces-results/classes-plain.svg").exists());
    assert!(lab.path("runs/faces-results/curve-plain.svg").exists());
}

#[test]
fn a_metric_that_no_class_has_is_shown_after_the_first_run() {
    let accuracy = "per-class = \"nearest-neighbours-accuracy\"";
    let lab = lab(&SWEEP.replace(accuracy, "per-class = \"linear-acuracy\""));
    lab.lossmith(&JSON).fails(
        3,
        &[
            "`linear-acuracy` is not measured for each class",
            "linear-accuracy, nearest-neighbours-accuracy",
            "[sweep.toml:",
        ],
    );
    assert!(!lab.path("runs/faces-results/table.md").exists());
}

#[test]
fn folds_that_cannot_be_are_refused() {
    let refused = |from: &str, to: &str, code: i32, phrases: &[&str]| {
        assert!(SWEEP.contains(from), "{from}");
        let lab = lab(&SWEEP.replacen(from, to, 1));
        lab.lossmith(&JSON).fails(code, phrases);
        assert!(lab.runs().iter().all(|run| run.folder() == "faces-results"), "a run was made");
    };
    refused("folds = 3", "folds = 1", 3, &["at least 2 folds", "[sweep.toml:", "6 folds = 1"]);
    refused("folds = 3", "folds = 0", 3, &["at least 2 folds", "[sweep.toml:"]);
    refused("folds = 3", "flods = 3", 3, &["unknown key `flods`", "did you mean `folds`?"]);
    refused(
        "folds = 3",
        "folds = 7",
        5,
        &["7 folds need at least 7 subjects, but the data has 6", "lower `data.folds`"],
    );
    let none = ["the run `faces-plain-alone-s1-f0` failed", "data of kind `folder` names no subjects", "`manifest`"];
    refused("data.kind='ck-plus'", "data.kind='folder'", 5, &none);
}
