//! Experiment files that are wrong: the error points into the file, and no run is made.

use crate::support::{Lab, MINED_TRIPLETS};

/// Trains with one text of the experiment replaced.
#[track_caller]
fn refused(from: &str, to: &str, phrases: &[&str]) {
    let lab = Lab::new(MINED_TRIPLETS);
    lab.replace(from, to);
    lab.try_train(&[]).fails(3, phrases);
    assert!(lab.runs().is_empty(), "a run was made");
}

/// What the error shows of the file: the place with its line.
const PLACE: &str = "[experiment.toml:";

#[test]
fn an_unknown_key_is_shown_with_the_nearest_one() {
    refused("width = 4", "widht = 4", &["unknown key `model.widht`", "did you mean `width`?", PLACE, "18 widht = 4"]);
    refused("epochs = 2", "epochs = 2\nzzz = 1", &["unknown key `zzz`", "known here:", "sampler"]);
    refused("margin = 0.2 }", "margin = 0.2 }, weihgt = 2", &["unknown key `objective.0.loss.weihgt`"]);
}

#[test]
fn a_value_of_another_type_is_shown() {
    refused("epochs = 2", "epochs = \"two\"", &["invalid type: string \"two\"", PLACE, "3 epochs = \"two\""]);
    refused("kind = \"fashion-mnist\"", "kind = \"mnist\"", &["mnist", "`fashion-mnist`", PLACE]);
    refused("epochs = 2", "epochs = = 2", &[PLACE, "3 epochs = = 2"]);
    refused("epochs = 2\n", "", &["missing field `epochs`"]);
}

#[test]
fn a_value_out_of_range_is_shown() {
    for (from, to, phrase) in [
        ("epochs = 2", "epochs = 0", "at least one epoch"),
        ("threads = 1", "threads = 0", "1 to 1024 threads"),
        ("threads = 1", "threads = 1000000", "1 to 1024 threads"),
        ("name = \"tiny\"", "name = \"a/b\"", "it names a folder"),
        ("workers = 1", "workers = 0", "`data.workers` is 0, expected 1 to 256"),
        ("validation = 0.2", "validation = 1.5", "`data.validation` is 1.5"),
        ("learning-rate = 0.003", "learning-rate = 0.0", "`optimizer.learning-rate` is 0"),
        ("log-every = 1", "log-every = 0", "expected a whole number from 1 on"),
        ("embedding = 8", "embedding = 8\nslices = 3", "8 dimensions cannot be cut into 3 equal slices"),
        ("width = 4", "width = 0", "`model.width` is 0"),
        ("margin = 0.2", "margin = -0.2", "parameter `margin` of `triplet` must be at least 0"),
        ("margin = 0.2", "margin = true", "parameter `margin` of `triplet`"),
        ("[[objective]]", "[[objective]]\nweight = inf", "the weight must be a finite number"),
        ("[run]", "[training]\nmicro-batch = 0\n[run]", "expected a whole number from 1 on"),
        ("[run]", "[training]\nmicro-batch = -8\n[run]", "expected a whole number from 1 on"),
    ] {
        refused(from, to, &[phrase, PLACE]);
    }
}

#[test]
fn unknown_names_are_shown_with_the_nearest_ones() {
    refused("margin = 0.2", "margni = 0.2", &["margni", "did you mean `margin`?", PLACE]);
    refused("\"triplet\"", "\"tripelt\"", &["tripelt", "did you mean `triplet`?", PLACE]);
    refused("\"losses\"", "\"loses\"", &["there is no plugin `loses`", "did you mean `losses`?", PLACE]);
    refused("\"losses\"", "\"./mine.wasm\"", &["there is no plugin at", "mine.wasm", "plugin build", PLACE]);
    refused("plugin = \"miners\"", "plugin = \"losses\"", &["batch-hard", PLACE]);
}

#[test]
fn an_objective_has_a_loss_or_a_transfer() {
    let both = "margin = 0.2 } }\ntransfer = { plugin = \"test-roles\", strategy = \"class-cosine\" }";
    refused("margin = 0.2 } }", both, &["either a `loss` or a `transfer`", PLACE]);
    refused("loss = {", "# loss = {", &["either a `loss` or a `transfer`", PLACE]);
    let balance = "margin = 0.2 } }\nbalance = { plugin = \"test-roles\", strategy = \"sum\" }";
    refused("margin = 0.2 } }", balance, &["a balance weighs the pair losses of a `transfer`", PLACE]);
    refused("[[objective]]", "[[objectives]]", &["objective"]);
}

#[test]
fn an_unknown_device_is_refused() {
    refused("\"cpu\"", "\"gpu\"", &["`gpu` is not a device: expected auto, cpu, or cuda:0", PLACE]);
    refused("\"cpu\"", "\"cuda:99\"", &["there is no device cuda:99", "lossmith doctor"]);
}

#[test]
fn a_plugin_that_is_not_wasm_is_refused() {
    let lab = Lab::new(MINED_TRIPLETS);
    lab.write("mine.wasm", "not Wasm");
    lab.try_train(&["objective.0.loss.plugin=mine.wasm"]).fails(4, &["mine"]);
    assert!(lab.runs().is_empty(), "a run was made");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    Lab::new(MINED_TRIPLETS).lossmith(&["train", "other.toml"]).fails(3, &["cannot read other.toml", "No such file"]);
}
