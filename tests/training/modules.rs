//! TorchScript modules as networks and teachers: what they draw, keep and return.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::support::{Lab, MINED_TRIPLETS, Run, Stored};

const CONTRASTIVE: &str = r#"
[[objective]]
loss = { plugin = "losses", strategy = "contrastive" }
"#;

const STUDENT: &str = r#"
[[objective]]
transfer = { plugin = "test-roles", strategy = "cosine-difference" }
balance = { plugin = "test-roles", strategy = "sum", params = { alpha = 4.0 } }

[teacher]
size = 8
cache = false
"#;

/// A module of `tests/data/modules`, which `modules.py` there made.
fn module(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/data/modules/{name}.pt"))
}

/// A lab whose experiment has a module as its backbone.
fn lab(name: &str, objectives: &str) -> Lab {
    let lab = Lab::new(objectives);
    fs::copy(module(name), lab.path("module.pt")).unwrap();
    lab.replace("width = 4\n", "backbone = \"torchscript\"\npath = \"module.pt\"\n");
    lab.replace("validation = 0.2\n", "validation = 0.2\nsize = 8\n");
    lab
}

fn weights(run: &Run) -> BTreeMap<String, Stored> {
    run.part("epoch-0002", "model/")
}

#[test]
fn what_a_module_draws_depends_on_the_seed_and_the_step_alone() {
    for name in ["Dropout", "Noise"] {
        let lab = lab(name, MINED_TRIPLETS);
        let whole = lab.train(&[]);
        let again = lab.train(&[]);
        assert!(weights(&whole) == weights(&again), "{name}");
        assert_eq!(whole.rows("evaluation"), again.rows("evaluation"), "{name}");
        lab.lossmith(&["replay", whole.name()]).ok();
        let other = lab.train(&["seed=2"]);
        assert!(weights(&whole) != weights(&other), "{name}");
        // One that goes on after its first epoch.
        let first = lab.train(&["epochs=1", "name=stopped"]);
        let more = ["train", "--resume", first.name(), "--set", "epochs=2", "--accept-changes"];
        lab.lossmith(&more).ok();
        assert!(weights(&whole) == weights(&first), "{name}");
    }
}

#[test]
fn a_module_with_a_memory_that_no_checkpoint_has_is_refused() {
    let told = ["gives other embeddings for the same images", "neither a parameter nor a buffer", "register_buffer"];
    lab("Counts", CONTRASTIVE).try_train(&[]).fails(3, &told);
    let student = Lab::new(STUDENT);
    let teacher = |name: &str| format!("teacher.module={}", module(name).display());
    student.try_train(&[&teacher("Counts")]).fails(5, &told);
    student.try_train(&[&teacher("CountsInBuffer")]).fails(5, &["changes its buffer `calls`"]);
}

#[test]
fn a_teacher_that_gives_other_rows_or_columns_is_named() {
    let student = Lab::new(STUDENT);
    for (name, found) in [("OneRow", "[1, 6] for 40 images"), ("FewerColumns", "[40, 4] for 40 images")] {
        let teacher = format!("teacher.module={}", module(name).display());
        student.try_train(&[&teacher]).fails(5, &[name, found, "[40, 6]"]);
    }
}

#[test]
fn a_module_of_another_kind_is_told_in_brief() {
    let cases: [(&str, &[&str]); 6] = [
        ("Double", &["returns float64 [2, 6] for 2 images", "float32"]),
        ("InPlace", &["changes the images that it is given", "x.clone()"]),
        ("NanWeight", &["`linear.weight` in", "has numbers that are not finite"]),
        ("OneRow", &["returns float32 [1, 6] for 40 images, not float32 [40, 6]"]),
        ("FewerColumns", &["returns float32 [40, 4] for 40 images, not float32 [40, 6]"]),
        ("Raises", &["failed: builtins.RuntimeError: too many for me"]),
    ];
    for (name, phrases) in cases {
        let outcome = lab(name, CONTRASTIVE).try_train(&[]);
        assert!(!outcome.stderr.contains("frame #") && !outcome.stderr.contains("plugin `"), "{}", outcome.stderr);
        outcome.fails(3, phrases);
    }
}

#[test]
fn a_network_that_gives_nan_is_at_fault_and_no_strategy() {
    let outcome = lab("CountsInBuffer", CONTRASTIVE).try_train(&[]);
    assert!(!outcome.stderr.contains("plugin `"), "{}", outcome.stderr);
    outcome.fails(5, &["the network gives embeddings that are not finite at step 3"]);
}

#[test]
fn a_file_that_is_no_module_or_is_gone_is_told() {
    let lab = lab("Dropout", CONTRASTIVE);
    let run = lab.train(&["epochs=1"]);
    fs::rename(lab.path("module.pt"), lab.path("kept.pt")).unwrap();
    lab.try_train(&[]).fails(3, &["there is no TorchScript module", "module.pt", "a relative path starts"]);
    lab.lossmith(&["eval", run.name()]).fails(3, &["was trained with is gone", "module.pt", "put the file back"]);
    lab.write("module.pt", "hello there");
    lab.try_train(&[]).fails(3, &["is no TorchScript module", "torch.jit.script("]);
}
