//! Sweeps: the table, the choice, and going on after a stop.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;

use crate::guests::guests;
use crate::support::{Lab, MINED_TRIPLETS, Outcome, Run, Running};

/// A prepared run, a method as it is, and one with a value to choose. The setting's data is found from the prepared
/// run's folder.
pub(crate) const SWEEP: &str = r#"name = "small"
experiment = "experiment.toml"
directory = "runs"
seeds = [1, 2]
selection-seeds = 1
train-metrics = ["objective.0.miner/anything", "gradient-norm"]
baseline = "alone"
set = ["epochs=3", "run.keep=1"]

[[prepare]]
name = "teacher"
experiment = "experiment.toml"
set = ["epochs=1", "evaluation.nmi=false"]

[[setting]]
name = "plain"
set = ["data.path={teacher}/../../data"]

[[method]]
name = "alone"

[[method]]
name = "pairs"
set = [
    'objective=[{transfer={plugin="test-roles",strategy="class-cosine"},balance={plugin="test-roles",strategy="sum"}}]',
]
vary = { key = "objective.0.balance.params.alpha", values = [1, 16.0] }
"#;

/// A single quick run.
pub(crate) const ONE: &str = r#"name = "one"
experiment = "experiment.toml"
directory = "runs"
seeds = [7]
set = ["epochs=1"]

[[setting]]
name = "plain"

[[method]]
name = "alone"
"#;

pub(crate) fn lab(sweep: &str) -> Lab {
    let lab = Lab::new(MINED_TRIPLETS);
    symlink(Path::new(env!("CARGO_TARGET_TMPDIR")).join("training-data"), lab.path("data")).unwrap();
    lab.write("sweep.toml", sweep);
    lab
}

pub(crate) const JSON: [&str; 3] = ["--json", "sweep", "sweep.toml"];

/// The events of a sweep of one kind.
#[track_caller]
pub(crate) fn events(stdout: &str, kind: &str) -> Vec<Value> {
    let events = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == kind).collect()
}

fn results(lab: &Lab, sweep: &str) -> String {
    fs::read_to_string(lab.path(&format!("runs/{sweep}-results/results.json"))).unwrap()
}

#[test]
fn a_sweep_makes_its_runs_once_and_touches_the_test_part_of_the_chosen_only() {
    let lab = lab(SWEEP);
    let first = lab.lossmith(&JSON).ok();
    let made = events(&first, "run");
    let names: Vec<&str> = made.iter().map(|run| run["name"].as_str().unwrap()).collect();
    let chosen = if made[2]["validation"].as_f64() > made[3]["validation"].as_f64() { "1" } else { "16" };
    let last = format!("small-plain-pairs-{chosen}-s2");
    let expected = ["small-teacher", "small-plain-alone-s1", "small-plain-pairs-1-s1", "small-plain-pairs-16-s1"];
    assert_eq!(names, [expected.as_slice(), &["small-plain-alone-s2", &last]].concat());
    assert!(made.iter().all(|run| run["kept"] == false && run["of"] == 6));

    // The record: what was chosen has a test value, and no run has measured one itself.
    let record: Value = serde_json::from_str(&results(&lab, "small")).unwrap();
    let runs = record["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 5);
    for outcome in runs {
        let run = lab.run(outcome["name"].as_str().unwrap());
        assert!(run.values("evaluation", "test/map-at-r").is_empty());
        assert_eq!(run.rows("epoch").len(), 3);
        assert!(run.text("experiment.toml").contains(lab.run("small-teacher").folder()));
        let best = run.values("evaluation", "validation/map-at-r").into_iter().fold(0.0, f64::max);
        assert_eq!(outcome["validation"]["map-at-r"], best);
        assert_eq!(outcome["train-metrics"]["gradient-norm"], *run.values("epoch", "gradient-norm").last().unwrap());
        assert_eq!(outcome["chosen"], outcome["value"].is_null() || outcome["value"] == chosen.parse::<f64>().unwrap());
        if outcome["chosen"] == true {
            let measured = lab.lossmith(&["--json", "eval", run.name()]).json();
            let overall = &measured["evaluation"]["retrieval"]["overall"]["map-at-r"];
            assert_eq!(outcome["test"]["map-at-r"], *overall);
        } else {
            assert!(outcome["test"].is_null());
        }
    }
    assert_eq!(events(&first, "tested").len(), 4);
    let test: Value =
        serde_json::from_str(&fs::read_to_string(lab.path("runs/small-results/test.json")).unwrap()).unwrap();
    assert_eq!(test.as_object().unwrap().len(), 4);
    assert_eq!(lab.run("small-teacher").values("evaluation", "test/map-at-r").len(), 1);

    // The table's mean is that of the record; the difference is seed by seed.
    let of = |method: &str| -> Vec<f64> {
        let chosen = runs.iter().filter(|run| run["method"] == method && run["chosen"] == true);
        chosen.map(|run| run["test"]["precision-at-1"].as_f64().unwrap()).collect()
    };
    let (alone, pairs) = (of("alone"), of("pairs"));
    let table = fs::read_to_string(lab.path("runs/small-results/table.md")).unwrap();
    let difference = (pairs[0] - alone[0] + pairs[1] - alone[1]) / 2.0;
    let row = format!("{:.4} ±", (pairs[0] + pairs[1]) / 2.0);
    assert!(table.contains(&row) && table.contains(&format!("| {difference:+.4} ±")), "{row} {difference}: {table}");
    let svg = fs::read_to_string(lab.path("runs/small-results/curve-plain.svg")).unwrap();
    assert!(svg.contains("alpha (logarithmic)") && svg.contains("pairs"));

    // The second time nothing is trained and nothing is measured.
    let (before, record) = (lab.runs().len(), results(&lab, "small"));
    let second = lab.lossmith(&JSON).ok();
    for (kind, count) in [("run", 6), ("tested", 4)] {
        let again = events(&second, kind);
        assert!(again.len() == count && again.iter().all(|event| event["kept"] == true), "{second}");
    }
    assert_eq!((lab.runs().len(), results(&lab, "small")), (before, record));
    let text = lab.lossmith(&["sweep", "sweep.toml", "--output", "elsewhere"]).ok();
    assert!(text.contains("6/6  ") && text.contains("kept") && text.contains("difference to alone"), "{text}");
    assert!(lab.path("elsewhere/table.md").is_file());
}

#[test]
fn a_killed_sweep_goes_on_to_the_same_results() {
    let whole = lab(SWEEP);
    whole.lossmith(&JSON).ok();
    let lab = lab(SWEEP);
    let mut running = Running::start(lab.command(&JSON));
    running.wait_for("run");
    running.wait_for("run");
    running.signal(libc::SIGKILL);
    running.finish();
    assert!(lab.runs().len() < 6);
    let made = events(&lab.lossmith(&JSON).ok(), "run");
    assert_eq!([&made[0]["kept"], &made[1]["kept"], &made[5]["kept"]], [true, true, false]);
    assert_eq!(results(&lab, "small"), results(&whole, "small"));
}

#[test]
fn an_interrupted_sweep_says_how_to_go_on_and_goes_on_in_the_run() {
    let lab = lab(&ONE.replace("seeds = [7]", "seeds = [7, 8]").replace("epochs=1", "epochs=60"));
    let mut running = Running::start(lab.command(&JSON));
    running.wait_for("run");
    running.signal(libc::SIGINT);
    running.finish().fails(130, &["the sweep was stopped", "go on with the same command"]);
    let made = events(&lab.lossmith(&JSON).ok(), "run");
    assert_eq!([&made[0]["kept"], &made[1]["kept"]], [true, false]);
    // No run was begun twice.
    assert_eq!(lab.runs().iter().filter(|run| run.folder().starts_with("one-plain")).count(), 2);
}

#[test]
fn what_was_damaged_or_ran_another_component_is_trained_again() {
    let lab = lab(ONE);
    let plugins = lab.path("plugins");
    fs::create_dir(&plugins).unwrap();
    for name in ["losses.wasm", "miners.wasm"] {
        fs::copy(guests().join(name), plugins.join(name)).unwrap();
    }
    let told = || Outcome::of(lab.command(&JSON).env("LOSSMITH_PLUGINS", &plugins)).ok();
    let kept = || events(&told(), "run")[0]["kept"] == true;
    assert!(!kept() && kept());
    // A component with an empty section of no meaning at its end.
    let mut component = fs::read(plugins.join("losses.wasm")).unwrap();
    component.extend([0, 2, 1, b'x']);
    fs::write(plugins.join("losses.wasm"), component).unwrap();
    let again = told();
    let changed = events(&again, "changed");
    assert_eq!((changed.len(), &changed[0]["what"]), (1, &"the plugin `losses` changed since".into()));
    assert_eq!(changed[0]["name"], events(&again, "run")[0]["name"]);
    assert!(events(&again, "run")[0]["kept"] == false && kept());
    assert!(events(&told(), "changed").is_empty());
    let newest = newest(&lab);
    let checkpoint = newest.path.join("checkpoints/best.safetensors");
    let bytes = fs::read(&checkpoint).unwrap();
    fs::write(&checkpoint, &bytes[..bytes.len() - 1]).unwrap();
    assert!(!kept() && kept());
    // Another experiment is another run.
    lab.replace("width = 4", "width = 5");
    assert!(!kept() && kept());
}

const SPREAD: &str = r#"//! A plugin.
use lossmith_sdk::prelude::*;

export! { losses: [Spread] }

strategy! {
    /// Mean cosine of all pairs.
    pub struct Spread as "spread" {}
}

impl Loss for Spread {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let embeddings = batch.embeddings();
        Ok(embeddings.cosine_matrix(&embeddings).mean(ALL) * 1.0)
    }
}
"#;

#[test]
fn runs_of_a_crate_are_kept_until_it_is_edited() {
    let lab = lab(ONE);
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/sdk").canonicalize().unwrap();
    fs::create_dir_all(lab.path("spread/src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"spread\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\nlossmith-sdk = {{ path = {sdk:?} }}\n"
    );
    lab.write("spread/Cargo.toml", &manifest);
    lab.write("spread/src/lib.rs", SPREAD);
    lab.replace(
        "plugin = \"losses\", strategy = \"triplet\", params = { margin = 0.2 }",
        "plugin = { crate = \"spread\" }, strategy = \"spread\"",
    );
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let kept = || {
        let made = Outcome::of(lab.command(&JSON).env("XDG_CACHE_HOME", &cache).env_remove("CARGO_TARGET_DIR")).ok();
        events(&made, "run")[0]["kept"] == true
    };
    assert!(!kept() && kept());
    lab.write("spread/src/lib.rs", &SPREAD.replace("* 1.0", "* 3.0"));
    let mut command = lab.command(&["sweep", "sweep.toml"]);
    let text = Outcome::of(command.env("XDG_CACHE_HOME", &cache).env_remove("CARGO_TARGET_DIR")).ok();
    assert!(text.contains("is not kept: the plugin `") && text.contains("spread` changed since"), "{text}");
    assert!(kept());
    // The first one is there still.
    lab.write("spread/src/lib.rs", SPREAD);
    assert!(kept());
}

fn newest(lab: &Lab) -> Run {
    let listed = lab.lossmith(&["--json", "runs", "list"]).json();
    let name = listed.as_array().unwrap().last().unwrap()["name"].as_str().unwrap().to_owned();
    Run::at(lab.path("runs").join(name))
}

#[test]
fn a_run_that_fails_is_named_and_can_be_passed_over() {
    let failing =
        "[[method]]\nname = \"bad\"\nset = ['objective=[{loss={plugin=\"test-roles\",strategy=\"failing\"}}]']\n";
    let lab = lab(&ONE.replacen("[[method]]", &format!("{failing}\n[[method]]"), 1));
    lab.lossmith(&JSON)
        .fails(4, &["the run `one-plain-bad-s7` failed", "returned NaN, which is not finite", "--keep-going"]);
    let outcome = lab.lossmith(&["--json", "sweep", "sweep.toml", "--keep-going"]);
    assert_eq!(events(&outcome.stdout, "failed")[0]["name"], "one-plain-bad-s7");
    outcome.fails(1, &["1 of the runs failed: one-plain-bad-s7"]);
    let table = fs::read_to_string(lab.path("runs/one-results/table.md")).unwrap();
    assert!(table.contains("| alone |") && !table.contains("| bad |"), "{table}");
}

/// No setting, two keys, a metric that is better low, and patience.
const GRID: &str = r#"name = "grid"
experiment = "experiment.toml"
directory = "runs"
seeds = [3]
select = "distance-ratio"
report = ["distance-ratio"]
patience = 1
set = ["epochs=6"]

[[method]]
name = "triplets"
vary = [
  { key = "optimizer.learning-rate", values = [0.01, 0.03] },
  { key = "model.embedding", values = [4, 8] },
]
"#;

#[test]
fn a_grid_tries_every_combination_and_the_lowest_ratio_is_chosen() {
    let lab = lab(GRID);
    let told = lab.lossmith(&JSON).ok();
    let made = events(&told, "run");
    let names: Vec<&str> = made.iter().map(|run| run["name"].as_str().unwrap()).collect();
    let expected = ["0.01-4", "0.01-8", "0.03-4", "0.03-8"].map(|values| format!("grid-triplets-{values}-s3"));
    assert_eq!(names, expected);
    let ratios: Vec<f64> = made.iter().map(|run| run["validation"].as_f64().unwrap()).collect();
    let lowest = ratios.iter().copied().fold(f64::INFINITY, f64::min);

    let record: Value = serde_json::from_str(&results(&lab, "grid")).unwrap();
    for (outcome, ratio) in record["runs"].as_array().unwrap().iter().zip(&ratios) {
        assert_eq!(outcome["chosen"], *ratio == lowest);
        assert!(outcome["value"].is_null() && outcome["varied"]["model.embedding"].is_i64());
        // Each run ends as soon as one evaluation was not better.
        let run = lab.run(outcome["name"].as_str().unwrap());
        let maps = run.values("evaluation", "validation/map-at-r");
        let first = maps.windows(2).position(|pair| pair[1] <= pair[0]).map_or(6, |at| at + 2);
        assert_eq!(maps.len(), first);
    }
    let table = fs::read_to_string(lab.path("runs/grid-results/table.md")).unwrap();
    let chosen = table.lines().filter(|line| line.contains("| chosen |")).collect::<Vec<_>>();
    assert!(chosen.len() == 1 && chosen[0].contains(&format!("{lowest:.4}")), "{table}");
    assert!(table.contains("| learning-rate | embedding | validation distance-ratio |"), "{table}");
    assert!(table.contains("## grid\n") && table.contains("learning-rate=0.0"), "{table}");
    let text = lab.lossmith(&["sweep", "sweep.toml"]).ok();
    assert!(text.contains("triplets: values tried") && text.contains("4/4  "), "{text}");
    assert!(!lab.path("runs/grid-results/curve.svg").exists());

    // The list says in what they differ, and in nothing else.
    let listed = lab.lossmith(&["--json", "runs", "list"]).json();
    let varies = &listed[3]["varies"];
    assert_eq!(*varies, serde_json::json!({ "embedding": "8", "learning-rate": "0.03" }));
    let said = lab.lossmith(&["runs", "list"]).ok();
    assert!(said.contains("varies") && said.contains("embedding=8,") && said.contains("learning-rate=0.03"), "{said}");
    assert!(said.contains(listed[3]["name"].as_str().unwrap()), "{said}");
}

#[test]
fn a_random_search_draws_the_same_values_again() {
    let vary = "vary = { key = \"optimizer.learning-rate\", range = [1e-4, 0.1], scale = \"logarithmic\" }";
    let search = format!("name = \"alone\"\n{vary}\nsearch = {{ trials = 3, seed = 5 }}");
    let lab = lab(&ONE.replace("name = \"alone\"", &search).replace("[[setting]]\nname = \"plain\"\n", ""));
    let first = events(&lab.lossmith(&JSON).ok(), "run");
    let names: BTreeSet<&str> = first.iter().map(|run| run["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 3);
    let record: Value = serde_json::from_str(&results(&lab, "one")).unwrap();
    for outcome in record["runs"].as_array().unwrap() {
        let rate = outcome["value"].as_f64().unwrap();
        assert!((1e-4..=0.1).contains(&rate), "{rate}");
        let text = lab.run(outcome["name"].as_str().unwrap()).text("experiment.toml");
        assert_eq!(text.parse::<toml::Table>().unwrap()["optimizer"]["learning-rate"].as_float(), Some(rate));
    }
    // More trials begin with these.
    let text = fs::read_to_string(lab.path("sweep.toml")).unwrap();
    lab.write("sweep.toml", &text.replace("trials = 3", "trials = 4"));
    let again = events(&lab.lossmith(&JSON).ok(), "run");
    let kept: Vec<bool> = again.iter().map(|run| run["kept"] == true).collect();
    assert_eq!(kept, [true, true, true, false]);
    assert!(fs::read_to_string(lab.path("runs/one-results/curve.svg")).unwrap().contains("learning-rate"));
}

#[test]
fn the_threads_of_one_run_are_not_those_of_the_next() {
    let prepare =
        "[[prepare]]\nname = \"first\"\nexperiment = \"experiment.toml\"\nset = [\"epochs=1\", \"threads=1\"]\n";
    let lab = lab(&ONE.replacen("[[setting]]", &format!("{prepare}\n[[setting]]"), 1));
    lab.replace("threads = 1\n", "");
    let threads = |run: &Run| serde_json::from_str::<Value>(&run.text("manifest.json")).unwrap()["threads"].clone();
    lab.lossmith(&JSON).ok();
    assert_eq!(threads(&lab.run("one-first")), 1);
    assert_eq!(threads(&lab.run("one-plain-alone-s7")), threads(&lab.train(&["epochs=1"])));
}

#[test]
fn metrics_that_are_not_measured_are_shown_after_the_first_run() {
    let lab = lab(&ONE.replace("seeds = [7]", "seeds = [7]\nselect = \"map-at-s\""));
    lab.lossmith(&JSON).fails(3, &["`map-at-s` is not measured", "did you mean `map-at-r`?", "5 select"]);
    lab.write("sweep.toml", &ONE.replace("seeds = [7]", "seeds = [7]\nreport = [\"accuracy\"]"));
    lab.lossmith(&JSON).fails(3, &["`accuracy` is not measured", "measured:", "5 report"]);
    lab.write("sweep.toml", &ONE.replace("epochs=1\"", "epochs=1\", \"data.validation=0.0\""));
    lab.lossmith(&JSON).fails(5, &["the run `one-plain-alone-s7` measured nothing on a validation part"]);
}

#[test]
fn the_schema_of_sweep_files_describes_every_key() {
    let schema = Lab::new(MINED_TRIPLETS).lossmith(&["schema", "--sweep"]).json();
    let tables = schema["$defs"].as_object().unwrap().iter().filter(|(_, table)| table["properties"].is_object());
    let tables: Vec<_> = tables.map(|(_, table)| table).chain([&schema]).collect();
    assert_eq!(tables.len(), 6);
    for (key, entry) in tables.iter().flat_map(|table| table["properties"].as_object().unwrap()) {
        assert!(entry["description"].is_string(), "{key}");
    }
}
