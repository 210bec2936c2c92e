//! `lossmith data`, and trainings on the kinds of data that have an index file.

use std::fs;

use serde_json::Value;

use crate::support::{Lab, MINED_TRIPLETS, Outcome, folder, picture};

/// The entry of a kind in `lossmith data list`, with `data` as LOSSMITH_DATA.
fn listed(lab: &Lab, kind: &str) -> Value {
    let mut command = lab.command(&["--json", "data", "list"]);
    let list = Outcome::of(command.env("LOSSMITH_DATA", lab.path("data"))).json();
    list.as_array().unwrap().iter().find(|entry| entry["kind"] == kind).unwrap().clone()
}

/// The pictures of `folder` with a manifest in `data/emoji`.
fn emoji(lab: &Lab) {
    let root = lab.path("data/emoji");
    folder(&root.join("images"));
    let mut manifest = "path,class,vendor\n".to_owned();
    for class in fs::read_dir(root.join("images")).unwrap().map(|entry| entry.unwrap().path()) {
        for image in fs::read_dir(&class).unwrap().map(|entry| entry.unwrap().path()) {
            let name = image.strip_prefix(&root).unwrap().display();
            manifest += &format!("{name},{},someone\n", class.file_name().unwrap().display());
        }
    }
    fs::write(root.join("manifest.csv"), manifest).unwrap();
}

#[test]
fn data_is_listed_with_what_it_is_for_and_how_to_get_it() {
    let lab = Lab::new(MINED_TRIPLETS);
    let missing = listed(&lab, "emoji");
    assert_eq!((&missing["path"], &missing["images"]), (&Value::Null, &Value::Null));
    assert!(missing["remedy"].as_str().unwrap().contains("lossmith data fetch emoji"), "{missing}");
    emoji(&lab);
    let there = listed(&lab, "emoji");
    assert!(there["images"].as_u64() > there["classes"].as_u64() && there["classes"].as_u64() > Some(1), "{there}");
    assert!(there["path"].as_str().unwrap().ends_with("data/emoji"), "{there}");
    fs::write(lab.path("data/emoji/manifest.csv"), "path,class\nno.png,x\n").unwrap();
    let damaged = listed(&lab, "emoji");
    assert!(damaged["error"].as_str().unwrap().contains("line 2: there is no file `no.png`"), "{damaged}");
    let table = lab.lossmith(&["data", "list"]).ok();
    for phrase in ["fashion-mnist", "cub-200-2011", "cars196", "stanford-online-products", "manifest", "not there"] {
        assert!(table.contains(phrase), "{phrase}: {table}");
    }
}

#[test]
fn emoji_that_are_not_there_name_the_command_that_fetches_them() {
    let lab = Lab::new(MINED_TRIPLETS);
    lab.replace("path = ", "# path = ");
    lab.try_train(&["data.kind=emoji"])
        .fails(5, &["emoji is not installed; looked in", ".data/emoji", "`lossmith data fetch emoji` fetches it"]);
    assert!(lab.runs().is_empty(), "a run was made");
}

#[test]
fn a_fetch_without_the_client_names_the_remedy() {
    let lab = Lab::new(MINED_TRIPLETS);
    let fetch = |arguments: &[&str]| {
        let arguments = [&["data", "fetch"], arguments].concat();
        Outcome::of(lab.command(&arguments).env("PATH", lab.path("nothing")).env_remove("LOSSMITH_DATA"))
    };
    fetch(&["emoji"]).fails(1, &["`npm` cannot be started", "install npm"]);
    fetch(&["emoji", "--with", "apple,samsung"]).fails(2, &["`samsung` is not a vendor of emoji", "messenger"]);
    fetch(&["fashion-mnist", "--directory", "fm"]).fails(1, &["`apt-get` cannot be started", "install apt and dpkg"]);
    fetch(&["smiley"]).fails(2, &["smiley"]);
}

#[test]
fn two_views_of_an_image_list_train() {
    let lab = Lab::new(MINED_TRIPLETS);
    emoji(&lab);
    let path = format!("data.path={:?}", lab.path("data/emoji/manifest.csv"));
    let sets =
        [path.as_str(), "data.kind=manifest", "data.size=16", "sampler.classes=4", "sampler.views=2", "data.seed=3"];
    let run = lab.train(&sets);
    assert_eq!(run.events().last().unwrap(), "finished");
    lab.try_train(&[&sets[..], &["data.augmentation.enabled=false"]].concat())
        .fails(5, &["both views of an image would be equal", "enable the augmentation"]);
    lab.try_train(&[&sets[..], &["data.split=official"]].concat())
        .fails(3, &["data of kind `manifest` has no official split", "class-disjoint", "split = \"official\""]);
}

#[test]
fn the_publishers_split_is_the_default() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut tables = [String::new(), String::new(), String::new()];
    for class in 1..=8 {
        tables[0] += &format!("{class} {class:03}.Bird\n");
        for image in 0..6 {
            let (id, name) = (class * 6 + image, format!("{class:03}.Bird/{image}.jpg"));
            tables[1] += &format!("{id} {name}\n");
            tables[2] += &format!("{id} {class}\n");
            picture(&lab.path("cub/images").join(name), class, image);
        }
    }
    for (file, text) in ["classes.txt", "images.txt", "image_class_labels.txt"].iter().zip(&tables) {
        fs::write(lab.path("cub").join(file), text).unwrap();
    }
    let sets = ["data.path='cub'", "data.kind='cub-200-2011'", "data.size=16", "sampler.classes=2", "epochs=1"];
    let run = lab.train(&sets);
    let classes = |part| {
        let told = lab.lossmith(&["--json", "eval", run.name(), "--part", part, "--checkpoint", "last"]).json();
        let names: Vec<String> =
            told["evaluation"]["retrieval"]["per-class"].as_object().unwrap().keys().cloned().collect();
        names
    };
    assert_eq!(classes("test"), ["4", "5", "6", "7"]);
    assert_eq!(classes("validation").len(), 2);
    let images = tables[1].replace("8 001.Bird/2.jpg", "8");
    fs::write(lab.path("cub/images.txt"), images).unwrap();
    lab.try_train(&sets).fails(5, &["images.txt, line 3: there are 1 columns, expected 2: image id, path"]);
}
