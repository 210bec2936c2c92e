//! Networks learn.

use crate::support::{Lab, MINED_TRIPLETS, folder};

#[test]
fn classes_with_patterns_are_told_apart() {
    let lab = Lab::new(MINED_TRIPLETS);
    let run =
        lab.train(&["epochs=10", "optimizer.learning-rate=0.01", "data.augmentation.enabled=false", "model.width=8"]);
    let losses = run.values("epoch", "loss");
    assert!(losses[9] < 0.5 * losses[0], "{losses:?}");
    let precision = run.values("evaluation", "validation/precision-at-1");
    assert!(precision[9] > 0.9, "{precision:?}");
    let test = run.values("evaluation", "test/precision-at-1");
    assert!(test[0] > 0.9, "{test:?}");
}

#[test]
fn a_folder_of_images_trains_on_classes_that_the_test_does_not_have() {
    let lab = Lab::new(MINED_TRIPLETS);
    folder(&lab.path("images"));
    lab.write("images/ant/notes.txt", "no image");
    let path = format!("data.path={:?}", lab.path("images"));
    let sets = [path.as_str(), "data.kind=folder", "data.size=16", "data.split=class-disjoint", "data.validation=0.0"];
    let sets = [sets.as_slice(), &["sampler.classes=2"]].concat();
    let stdout = lab.try_train(&sets).ok();
    let ready: serde_json::Value = serde_json::from_str(stdout.lines().next().unwrap()).unwrap();
    assert_eq!(ready["data"]["train"], serde_json::json!({ "images": 24, "classes": 2 }));
    assert_eq!(ready["data"]["test"], serde_json::json!({ "images": 24, "classes": 2 }));
    assert_eq!(ready["data"]["skipped-files"], 1);
    let run = lab.run_of(&stdout);
    let measured = lab.lossmith(&["--json", "eval", run.name()]).json();
    assert_eq!(measured["evaluation"]["retrieval"]["per-class"].as_object().unwrap().len(), 2);
}
