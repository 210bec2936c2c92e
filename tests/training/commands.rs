//! The commands beside `train`.

use std::process::Command;

use serde_json::Value;

use crate::support::{Lab, MINED_TRIPLETS, Outcome, tensors};

/// The share of rows whose nearest other row, by cosine, has their label.
fn precision_at_1(embeddings: &[f32], labels: &[i64]) -> f64 {
    let dimension = embeddings.len() / labels.len();
    let rows: Vec<Vec<f64>> = embeddings
        .chunks(dimension)
        .map(|row| {
            let norm = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            row.iter().map(|x| f64::from(*x) / norm).collect()
        })
        .collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let right = (0..rows.len()).filter(|&query| {
        let others = (0..rows.len()).filter(|other| *other != query);
        let nearest = others.max_by(|a, b| dot(&rows[query], &rows[*a]).total_cmp(&dot(&rows[query], &rows[*b])));
        labels[nearest.unwrap()] == labels[query]
    });
    right.count() as f64 / rows.len() as f64
}

#[test]
fn a_run_is_measured_and_embedded() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = lab.train(&[]);
    let overall = |evaluation: &Value| evaluation["evaluation"]["retrieval"]["overall"]["precision-at-1"].as_f64();
    for (part, images) in [("test", 100), ("validation", 60), ("train", 240)] {
        let which = ["--part", part, "--checkpoint", "last"];
        let measured = lab.lossmith(&[["--json", "eval", run.name()].as_slice(), &which].concat()).json();
        assert_eq!((&measured["epoch"], &measured["part"]), (&2.into(), &part.into()));
        assert_eq!(measured["evaluation"]["retrieval"]["per-class"].as_object().unwrap().len(), 10);
        assert_eq!(measured["evaluation"]["retrieval"]["per-class"]["3"]["queries"], images / 10);
        let output = format!("{part}.safetensors");
        let arguments = ["--json", "embed", run.name(), "--output", &output];
        let told = lab.lossmith(&[arguments.as_slice(), &which].concat()).json();
        assert_eq!(told["shape"], serde_json::json!([images, 8]));
        let file = tensors(&lab.path(&output));
        let (embeddings, labels) = (&file["embeddings"], file["labels"].integers());
        assert_eq!((embeddings.shape.as_slice(), labels.len()), ([images, 8].as_slice(), images));
        for class in 0..10 {
            assert_eq!(labels.iter().filter(|label| **label == class).count(), images / 10);
        }
        let own = precision_at_1(&embeddings.floats(), &labels);
        assert!((own - overall(&measured).unwrap()).abs() < 1e-9, "{part}: {own}, {measured}");
    }
    // What the training measured is measured again.
    let last = lab.lossmith(&["--json", "eval", run.name(), "--part", "validation", "--checkpoint", "last"]).json();
    assert_eq!(overall(&last), run.values("evaluation", "validation/precision-at-1").last().copied());
    let first = lab.lossmith(&["--json", "eval", run.name(), "--part", "validation", "--checkpoint", "1"]).json();
    assert_eq!(overall(&first), run.values("evaluation", "validation/precision-at-1").first().copied());
    let best = lab.lossmith(&["--json", "eval", run.name()]).json();
    assert_eq!(overall(&best), run.values("evaluation", "test/precision-at-1").first().copied());
    let text = lab.lossmith(&["eval", run.name()]).ok();
    assert!(text.contains("precision-at-1") && text.contains("Ankle boot"), "{text}");
}

#[test]
fn tables_fit_a_hundred_columns_where_there_is_no_terminal_and_as_many_as_are_asked_for() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = lab.train(&["epochs=1"]);
    lab.train(&["epochs=1", "optimizer.learning-rate=0.5", "model.width=6", "seed=77"]);
    for (columns, most) in [(None, 100), (Some("96"), 96)] {
        for arguments in [&["doctor"][..], &["runs", "list"], &["eval", run.name()]] {
            let mut command = lab.command(arguments);
            match columns {
                Some(columns) => command.env("COLUMNS", columns),
                None => command.env_remove("COLUMNS"),
            };
            let said = Outcome::of(&mut command).ok();
            let longest = said.lines().map(|line| line.chars().count()).max();
            assert!(longest.is_some_and(|longest| longest <= most), "{arguments:?}, {most}:\n{said}");
        }
    }
}

#[test]
fn what_a_run_does_not_have_cannot_be_measured() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = lab.train(&["epochs=1", "data.validation=0.0"]);
    lab.lossmith(&["eval", run.name(), "--checkpoint", "7"]).fails(1, &["has no checkpoint `7`; there are", "last, 1"]);
    lab.lossmith(&["eval", run.name(), "--part", "validation"]).fails(5, &["this part of the data has no images"]);
    lab.lossmith(&["eval", run.name(), "--part", "exam"]).fails(2, &["possible values: train, validation, test"]);
    lab.lossmith(&["embed", run.name(), "--output", "no/such/folder/x.safetensors"])
        .fails(1, &["cannot write no/such/folder/x.safetensors"]);
    let checkpoint = run.path.join("checkpoints/epoch-0001.safetensors");
    let bytes = std::fs::read(&checkpoint).unwrap();
    std::fs::write(&checkpoint, &bytes[..bytes.len() - 1]).unwrap();
    lab.lossmith(&["eval", run.name()]).fails(1, &["epoch-0001.safetensors is damaged"]);
}

#[test]
fn a_component_that_is_cut_is_damaged_as_one_with_another_bit_is() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = lab.train(&["epochs=1"]);
    let path = run.path.join("plugins").join(&run.files("plugins")[0]);
    let good = std::fs::read(&path).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for bytes in [&good[..good.len() / 2], &[], &flipped[..]] {
        std::fs::write(&path, bytes).unwrap();
        lab.lossmith(&["eval", run.name()]).fails(4, &["is damaged: its name is the SHA-256 of other bytes"]);
    }
    std::fs::write(&path, good).unwrap();
    lab.lossmith(&["eval", run.name()]).ok();
}

#[test]
fn runs_are_listed_and_shown() {
    let lab = Lab::new(MINED_TRIPLETS);
    assert!(lab.lossmith(&["runs", "list"]).ok().contains("no runs in runs"));
    let run = lab.train(&["epochs=1"]);
    lab.train(&["epochs=1", "name=other"]);
    let list = lab.lossmith(&["--json", "runs", "list"]).json();
    let names: Vec<_> = list.as_array().unwrap().iter().map(|run| run["name"].as_str().unwrap()).collect();
    assert!(names[0].starts_with("tiny-") && names[1].starts_with("other-") && names.len() == 2, "{names:?}");
    assert_eq!((&list[0]["status"], &list[0]["epoch"], &list[0]["step"]), (&"finished".into(), &1.into(), &6.into()));
    let table = lab.lossmith(&["runs", "list"]).ok();
    assert!(names.iter().all(|name| table.contains(name)) && table.contains("finished"), "{table}");

    // Runs of a project are in a folder of their own below, and a run has no runs in it.
    let nested = lab.train(&["epochs=1", "run.directory='runs/project/sweep'", "name=nested"]);
    let list = lab.lossmith(&["--json", "runs", "list"]).json();
    let names: Vec<_> = list.as_array().unwrap().iter().map(|run| run["name"].as_str().unwrap()).collect();
    assert_eq!((names.len(), names[2]), (3, format!("project/sweep/{}", nested.folder()).as_str()), "{names:?}");

    let shown = lab.lossmith(&["--json", "runs", "show", run.name()]).json();
    assert_eq!(shown["manifest"]["plugins"][1]["strategy"], "triplet");
    assert_eq!(shown["metrics"].as_array().unwrap().len(), run.lines("metrics.jsonl").len());
    let text = lab.lossmith(&["runs", "show", run.name()]).ok();
    assert!(text.contains("batch-hard") && text.contains("finished") && text.contains("seed      1"), "{text}");
    lab.lossmith(&["runs", "show", "missing"]).fails(1, &["missing is not a run"]);
}

#[test]
fn the_doctor_tells_what_there_is() {
    let lab = Lab::new(MINED_TRIPLETS);
    let told = lab.lossmith(&["--json", "doctor"]).json();
    let found = |what: &str| {
        let findings = told["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["what"] == what).unwrap()["found"].as_str().unwrap().to_owned()
    };
    assert!(found("devices").contains("cpu") && found("libtorch").contains("2."));
    assert!(found("plugins").contains("losses, miners, proxies"));
    assert!(told["strategies"].to_string().contains("multi-similarity"));
    let text = lab.lossmith(&["doctor"]).ok();
    assert!(text.contains("libtorch") && text.contains("miner batch-hard"), "{text}");
}

#[test]
fn the_schema_describes_every_key() {
    let lab = Lab::new(MINED_TRIPLETS);
    let schema = lab.lossmith(&["schema"]).json();
    let config = lab.lossmith(&["--json", "train", "experiment.toml", "--print-config"]).json();
    for (key, value) in config.as_object().unwrap() {
        assert!(schema["properties"][key]["description"].is_string(), "{key}");
        let definition = schema["properties"][key]["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/"));
        let Some(definition) = definition.filter(|_| value.is_object()) else { continue };
        for key in value.as_object().unwrap().keys() {
            assert!(schema["$defs"][definition]["properties"][key]["description"].is_string(), "{definition}.{key}");
        }
    }
}

#[test]
fn completions_are_a_script_of_the_shell() {
    let lab = Lab::new(MINED_TRIPLETS);
    let script = lab.lossmith(&["completions", "bash"]).ok();
    assert!(script.contains("--print-config") && script.contains("plugin"));
    lab.write("lossmith.bash", &script);
    Outcome::of(Command::new("bash").arg("-n").arg(lab.path("lossmith.bash"))).ok();
}
