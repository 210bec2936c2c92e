//! What is needed to use a trained network elsewhere: the preprocessing in the run's files, and the example in Python.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use lossmith::data::{BatchLoader, DataConfig, DataKind, Dataset};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Lab, MINED_TRIPLETS, Outcome, picture};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The numbers are those of `examples/deployment/preprocess.py`, written by `tests/data/preprocessing/make.py`.
#[test]
fn images_are_prepared_as_the_example_in_python_does() {
    let kept = repository().join("tests/data/preprocessing");
    let folder = TempDir::new().unwrap();
    for (class, number) in [("a", 0), ("a", 1), ("b", 0), ("b", 1)] {
        fs::create_dir_all(folder.path().join(class)).unwrap();
        fs::copy(kept.join("image.png"), folder.path().join(class).join(format!("{number}.png"))).unwrap();
    }
    let cases: Vec<Value> = serde_json::from_str(&fs::read_to_string(kept.join("expected.json")).unwrap()).unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let preprocessing = &case["preprocessing"];
        let numbers = |name: &str| serde_json::from_value(preprocessing[name].clone()).unwrap();
        let config = DataConfig {
            path: Some(folder.path().to_owned()),
            size: preprocessing["size"].as_u64().map(|size| size as usize),
            mean: numbers("mean"),
            std: numbers("std"),
            ..DataConfig::new(DataKind::Folder)
        };
        let dataset = Arc::new(Dataset::open(&config, 0).unwrap());
        let batch = BatchLoader::evaluation(&dataset, &[0], 1).unwrap().next().unwrap().unwrap();
        let found = Vec::<f32>::try_from(&batch.images.f_reshape([-1]).unwrap()).unwrap();
        let expected: Vec<f64> = serde_json::from_value(case["pixels"].clone()).unwrap();
        assert_eq!(found.len(), expected.len());
        for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!((f64::from(*found) - expected).abs() < 3e-5, "at {place}: {found}, expected {expected}");
        }
    }
}

/// The Python of `LOSSMITH_PYTHON`, else that of the PATH, if it has what the example needs.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("LOSSMITH_PYTHON").map_or_else(|| "python3".into(), PathBuf::from);
    let needs = "import torch, numpy, PIL, safetensors, tomllib";
    let has = Command::new(&python).args(["-c", needs]).output().is_ok_and(|output| output.status.success());
    has.then_some(python)
}

#[test]
fn a_run_says_how_its_images_are_prepared_and_the_example_computes_its_embeddings() {
    let lab = Lab::new(MINED_TRIPLETS);
    for (class, name) in ["ant", "bee", "cat", "dog"].into_iter().enumerate() {
        (0..12).for_each(|image| picture(&lab.path(&format!("data/{name}/{image:02}.png")), class, image));
    }
    let data = format!("data={{kind=\"folder\",path={:?},size=13,validation=0.2}}", lab.path("data"));
    let run = lab.train(&[&data, "epochs=1", "sampler.classes=4"]);
    let manifest: Value = serde_json::from_str(&run.text("manifest.json")).unwrap();
    let preprocessing = &manifest["preprocessing"];
    assert_eq!((&preprocessing["size"], &preprocessing["channels"]), (&13.into(), &3.into()));
    assert_eq!(preprocessing["mean"], serde_json::json!([0.485, 0.456, 0.406]));
    assert_eq!(preprocessing["std"], serde_json::json!([0.229, 0.224, 0.225]));
    assert_eq!(preprocessing["crop"], "largest-centre-square");

    lab.lossmith(&["embed", run.name(), "--output", "own.csv"]).ok();
    let mut own = csv::Reader::from_path(lab.path("own.csv")).unwrap();
    assert_eq!(own.headers().unwrap().iter().take(4).collect::<Vec<_>>(), ["image", "class", "label", "e0"]);
    let rows: Vec<csv::StringRecord> = own.records().map(Result::unwrap).collect();
    assert!(rows.iter().all(|row| Path::new(&row[0]).is_file() && row[0].contains(&format!("/{}/", &row[1]))));
    let Some(python) = python() else {
        println!("the embeddings are not compared: Python has not torch, numpy, PIL and safetensors");
        return;
    };
    let mut command = Command::new(python);
    command.arg(repository().join("examples/deployment/embed.py")).arg(&run.path).arg(lab.path("theirs.npy"));
    Outcome::of(command.args(rows.iter().map(|row| row[0].to_owned()))).ok();
    let theirs = fs::read(lab.path("theirs.npy")).unwrap();
    let numbers: Vec<f32> = theirs.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let theirs = numbers.rchunks(rows.len() * 8).next().unwrap();
    let own = rows.iter().flat_map(|row| row.iter().skip(3).map(|number| number.parse::<f32>().unwrap()));
    for (place, (own, theirs)) in own.zip(theirs).enumerate() {
        assert!((own - theirs).abs() < 1e-4, "at {place}: {own}, theirs {theirs}");
    }
}
