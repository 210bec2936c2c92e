//! Sweep files with something wrong in them.

use serde_json::Value;

use crate::sweeps::{JSON, ONE, SWEEP, lab};

/// Runs a sweep with one text of its file replaced.
#[track_caller]
fn refused(from: &str, to: &str, phrases: &[&str]) {
    assert!(SWEEP.contains(from), "{from}");
    let lab = lab(&SWEEP.replacen(from, to, 1));
    lab.lossmith(&JSON).fails(3, phrases);
    assert!(lab.runs().is_empty(), "a run was made");
}

#[test]
fn a_wrong_sweep_file_is_shown_before_anything_is_trained() {
    const PLACE: &str = "[sweep.toml:";
    for (from, to, phrases) in [
        ("seeds = [1, 2]", "sedes = [1, 2]", ["unknown key `sedes`", "did you mean `seeds`?", "4 sedes"]),
        ("vary = { key", "vary = { kye", ["unknown key `method.1.vary.kye`", "did you mean `key`?", "vary = { kye"]),
        ("seeds = [1, 2]", "seeds = []", ["at least one seed", PLACE, "4 seeds = []"]),
        ("seeds = [1, 2]", "seeds = [1, 1]", ["this seed is there twice", PLACE, "4 seeds"]),
        ("selection-seeds = 1", "selection-seeds = 3", ["1 to 2 of the seeds can choose", PLACE, "5 selection"]),
        (
            "baseline = \"alone\"",
            "baseline = \"alnoe\"",
            ["there is no method `alnoe`", "did you mean `alone`?", PLACE],
        ),
        ("{teacher}", "{techer}", ["there is no prepared run `techer`", "did you mean `teacher`?", PLACE]),
        ("set = [\"epochs=1\"", "set = [\"epochs={teacher}\"", ["there is no prepared run `teacher`", PLACE, "13 set"]),
        (
            "name = \"alone\"",
            "name = \"alone\"\nonly = [\"plan\"]",
            ["no setting `plan`", "did you mean `plain`?", PLACE],
        ),
        ("name = \"alone\"", "name = \"a/b\"", ["a name must be letters", PLACE, "name = \"a/b\""]),
        ("name = \"alone\"", "name = \"pairs\"", ["this method is there twice", PLACE, "name = \"pairs\""]),
        ("values = [1, 16.0]", "values = []", ["at least one value", PLACE, "values = []"]),
        (
            "values = [1, 16.0]",
            "range = [1, 16]",
            ["a range is for a random search", "search = { trials", "range = [1, 16]"],
        ),
        ("values = [1, 16.0]", "values = [1], scale = \"logarithmic\"", ["a scale is of a `range`", PLACE, "scale"]),
        ("vary = { key", "search = { trials = 3 }\nvary = { key", ["only 2 combinations to draw", PLACE, "trials = 3"]),
        ("vary = { key", "search = { trials = 0 }\nvary = { key", ["1 to 1000 trials", PLACE, "trials = 0"]),
        ("name = \"alone\"", "name = \"alone\"\nsearch = { trials = 3 }", ["has no `vary`", PLACE, "search = {"]),
        (
            "vary = {",
            "vary = [{ kye = \"epochs\", values = [1] }]\n#",
            ["unknown key `method.1.vary.0.kye`", "did you mean `key`?", "vary = [{ kye"],
        ),
        (
            "vary = {",
            "vary = [{ key = \"epochs\", values = [1] }, { key = \"epochs\", values = [2] }]\n#",
            ["this key is there twice", PLACE, "vary = [{ key"],
        ),
        ("values = [1, 16.0]", "values = [1, 2, 1.0]", ["this value is there twice", PLACE, "values = [1, 2, 1.0]"]),
        ("vary = {", "vary = 3\n#", ["a table with a key and its values, or a list of such tables", PLACE, "vary = 3"]),
        ("selection-seeds = 1", "select = \"inter-distance\"", ["neither high nor low is better", PLACE, "5 select"]),
        ("selection-seeds = 1", "patience = 0", ["a whole number from 1 on", PLACE, "5 patience"]),
        ("values = [1, 16.0]", "values = [1, [2.0]]", ["a value must be a finite number", PLACE, "[2.0]"]),
        ("\"epochs=3\"", "\"epochs\"", ["expected key.path=value", PLACE, "\"epochs\""]),
        ("\"epochs=3\"", "\"epohcs=3\"", ["`epohcs=3`: unknown key `epohcs`", "`epochs`?", PLACE]),
        ("[[setting]]", "[setting]", ["invalid type: map, expected a list", PLACE, "setting"]),
        ("experiment = \"experiment.toml\"", "experiment = \"no.toml\"", ["cannot read no.toml", "No such file", ""]),
    ] {
        refused(from, to, &phrases);
    }
}

#[test]
fn what_a_sweep_sets_itself_is_no_change() {
    const PLACE: &str = "[sweep.toml:";
    let changed = "\"epochs=3\"";
    for (key, value, instead) in [
        ("seed", "9", "`seeds` of the sweep file"),
        ("name", "other", "`name` of the sweep"),
        ("run.directory", "elsewhere", "`directory` of the sweep file"),
        ("run", "{directory='elsewhere'}", "`directory` of the sweep file"),
        ("evaluation.test", "true", "`report` of the sweep file"),
        ("evaluation", "{test=true}", "`report` of the sweep file"),
    ] {
        let set = format!("\"{key}={value}\"");
        let phrases = ["of its runs itself", instead, PLACE, set.as_str()];
        refused(changed, &set, &phrases);
        refused("set = [\"data.path", &format!("set = [{set}, \"data.path"), &phrases);
        refused("name = \"alone\"", &format!("name = \"alone\"\nset = [{set}]"), &phrases);
        let vary = format!("vary = {{ key = \"{key}\", values = [3, 4] }}\n#");
        if !value.starts_with('{') {
            refused("vary = {", &vary, &["of its runs itself", instead, PLACE, "vary = {"]);
        }
    }
    for (key, table, instead) in [
        ("evaluation.patience=3", "patience = 2", "`patience` of the sweep file"),
        ("data.fold=1", "folds = 3", "`folds` of the sweep file"),
        ("data.folds=4", "folds = 3", "`folds` of the sweep file"),
        ("data.split=closed-set", "folds = 3", "`folds` of the sweep file"),
    ] {
        let lines = format!("{table}\nset = [\"{key}\"");
        refused("set = [\"epochs=3\"", &lines, &["of its runs itself", instead, PLACE, key]);
    }
    // A prepared run has its own seed.
    refused("\"epochs=1\"", "\"name=other\"", &["sets `name`", PLACE, "\"name=other\""]);
    let lab = lab(&ONE.replace("[[setting]]", &format!("{PREPARED}\n[[setting]]")));
    lab.lossmith(&JSON).ok();
    let manifest: Value = serde_json::from_str(&lab.run("one-first").text("manifest.json")).unwrap();
    assert_eq!(manifest["seed"], 5);
}

const PREPARED: &str =
    "[[prepare]]\nname = \"first\"\nexperiment = \"experiment.toml\"\nset = [\"epochs=1\", \"seed=5\"]\n";

#[test]
fn what_an_experiment_cannot_take_is_shown_in_the_sweep_file_before_anything_is_trained() {
    const PLACE: &str = "[sweep.toml:";
    let alpha = "key = \"objective.0.balance.params.alpha\"";
    for (from, to, phrases) in [
        // The last value of all, which would be trained last.
        ("values = [1, 16.0]", "values = [1, \"many\"]", ["alpha=\"many\"`", "`alpha`", PLACE]),
        (alpha, "key = \"model.embedding\"", ["`model.embedding=16.0`", "invalid type", PLACE]),
        (alpha, "key = \"objective.0.balance.params.alhpa\"", ["`alhpa`", "alpha", PLACE]),
        ("strategy=\"sum\"", "strategy=\"summ\"", ["strategy=\"summ\"", "sum", PLACE]),
        ("name = \"alone\"", "name = \"alone\"\nset = [\"epochs=0\"]", ["`epochs=0`", "at least one epoch", PLACE]),
        (
            "set = [\"epochs=1\"",
            "set = [\"objective.0.loss.strategy=tripelt\"",
            ["`objective.0.loss.strategy=tripelt`", "triplet", PLACE],
        ),
    ] {
        refused(from, to, &phrases);
        let lab = lab(&SWEEP.replacen(from, to, 1));
        let stderr = lab.lossmith(&JSON).stderr;
        assert!(!stderr.contains("runs that are done are kept"), "{stderr}");
    }
    // What is wrong with the experiment itself is shown there.
    let lab = lab(SWEEP);
    lab.replace("strategy = \"triplet\"", "strategy = \"tripelt\"");
    lab.lossmith(&JSON).fails(3, &["the experiment of the run `small-teacher` cannot be trained", "[experiment.toml"]);
    assert!(lab.runs().is_empty());
}

#[test]
fn a_damaged_record_of_the_test_part_says_what_to_do() {
    let lab = lab(ONE);
    std::fs::create_dir_all(lab.path("runs/one-results")).unwrap();
    lab.write("runs/one-results/test.json", "{");
    lab.lossmith(&JSON).fails(1, &["test.json is damaged", "remove it: the same command measures the test part"]);
    std::fs::remove_file(lab.path("runs/one-results/test.json")).unwrap();
    lab.lossmith(&JSON).ok();
}
