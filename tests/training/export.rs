//! `lossmith export`: the files of a network, without the run's data, and nothing replaced.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::support::{Lab, MINED_TRIPLETS, Stored, picture, tensors};

#[test]
fn an_export_has_the_tensors_of_the_checkpoint_and_needs_no_data() {
    let lab = Lab::new(MINED_TRIPLETS);
    for (class, name) in ["ant", "bee", "cat", "dog"].into_iter().enumerate() {
        (0..12).for_each(|image| picture(&lab.path(&format!("data/{name}/{image:02}.png")), class, image));
    }
    let data = format!("data={{kind=\"folder\",path={:?},size=13,validation=0.2}}", lab.path("data"));
    let run = lab.train(&[&data, "sampler.classes=4", "model.slices=2"]);
    fs::remove_dir_all(lab.path("data")).unwrap();
    let told = lab.lossmith(&["--json", "export", run.name(), "--checkpoint", "1", "--output", "files"]).json();
    assert_eq!((&told["epoch"], &told["fusion"]), (&json!(1), &Value::Null));
    let files = ["model.ts.pt", "model.pt", "model.safetensors", "model.json"];
    assert_eq!(told["files"], json!(files.map(|name| format!("files/{name}"))));
    let kept: BTreeMap<String, Stored> = run
        .part("epoch-0001", "model/")
        .into_iter()
        .map(|(name, tensor)| (name.strip_prefix("model/").unwrap().to_owned(), tensor))
        .collect();
    assert!(tensors(&lab.path("files/model.safetensors")) == kept);
    let about: Value = serde_json::from_str(&fs::read_to_string(lab.path("files/model.json")).unwrap()).unwrap();
    let manifest: Value = serde_json::from_str(&run.text("manifest.json")).unwrap();
    assert_eq!(about["preprocessing"], manifest["preprocessing"]);
    assert_eq!((&about["format"], &about["version"]), (&json!("lossmith-export"), &json!(1)));
    assert_eq!((&about["model"]["backbone"], &about["model"]["slices"]), (&json!("convnet"), &json!(2)));
}

#[test]
fn an_export_replaces_nothing() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run = lab.train(&["epochs=1"]);
    let told = lab.lossmith(&["export", run.name()]).ok();
    let folder = format!("{}-export", run.folder());
    assert!(told.contains(&folder) && lab.path(&folder).join("model.json").is_file(), "{told}");
    lab.lossmith(&["export", run.name()]).fails(2, &["model.ts.pt is there already", "choose another folder"]);
    let inside = run.path.join("checkpoints");
    lab.lossmith(&["export", run.name(), "--output", inside.to_str().unwrap()]).fails(2, &["which would be damaged"]);
    lab.lossmith(&["export", run.name(), "--checkpoint", "7"])
        .fails(1, &["no checkpoint `7`", "there are best, last, 1"]);
    lab.lossmith(&["export", "nowhere"]).fails(1, &["is not a run"]);
}
