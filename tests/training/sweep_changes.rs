//! Sweeps that are started again after something changed that their runs were trained with.

use std::fs;

use crate::support::{Lab, picture};
use crate::sweeps::{JSON, ONE, events, lab};

/// Whether the one run was kept, and what the sweep says that changed.
fn again(lab: &Lab) -> (bool, Vec<String>) {
    let told = lab.lossmith(&JSON).ok();
    let changed = events(&told, "changed");
    let what = changed.iter().map(|event| event["what"].as_str().unwrap().to_owned()).collect();
    (events(&told, "run")[0]["kept"] == true, what)
}

#[test]
fn runs_of_other_data_are_trained_again_and_the_sweep_says_why() {
    let sets = "\"epochs=1\", \"data.kind=folder\", \"data.path=images\", \"data.size=16\", \"sampler.classes=4\", \
                \"sampler.samples=2\"";
    let lab = lab(&ONE.replace("\"epochs=1\"", sets));
    crate::support::folder(&lab.path("images"));
    assert_eq!(again(&lab), (false, vec![]));
    assert_eq!(again(&lab), (true, vec![]));
    for number in 20..32 {
        picture(&lab.path(&format!("images/bee/{number}.png")), 1, number);
    }
    assert_eq!(again(&lab), (false, vec!["the data changed since".to_owned()]));
    assert_eq!(again(&lab), (true, vec![]));
    // What was trained before is there still.
    for number in 20..32 {
        fs::remove_file(lab.path(&format!("images/bee/{number}.png"))).unwrap();
    }
    assert_eq!(again(&lab), (true, vec![]));
    fs::write(lab.path("images/bee/extra.png"), fs::read(lab.path("images/bee/00.png")).unwrap()).unwrap();
    let text = lab.lossmith(&["sweep", "sweep.toml"]).ok();
    assert!(text.contains("is not kept: the data changed since"), "{text}");
}

#[test]
fn runs_of_other_weights_are_trained_again() {
    let lab = lab(&ONE.replace("\"epochs=1\"", "\"epochs=1\", \"model.weights=w.safetensors\""));
    let first = lab.train(&["epochs=2", "name=first", "run.keep=2"]);
    let epoch = |number: usize| first.path.join(format!("checkpoints/epoch-000{number}.safetensors"));
    fs::copy(epoch(1), lab.path("w.safetensors")).unwrap();
    assert_eq!(again(&lab), (false, vec![]));
    assert_eq!(again(&lab), (true, vec![]));
    fs::copy(epoch(2), lab.path("w.safetensors")).unwrap();
    assert_eq!(again(&lab), (false, vec!["the file of `model.weights` changed since".to_owned()]));
    assert_eq!(again(&lab), (true, vec![]));
}
