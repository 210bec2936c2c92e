//! What is not finite is named: the operation that made it, and where it stands in a run.

use crate::support::Lab;

fn lab(strategy: &str) -> Lab {
    Lab::new(&format!("[[objective]]\nloss = {{ plugin = \"test-mistakes\", strategy = \"{strategy}\" }}\n"))
}

#[test]
fn a_gradient_ends_the_training_with_the_operation_that_made_it() {
    let lab = lab("root-of-zero");
    lab.try_train(&[]).fails(
        4,
        &[
            "the gradient's norm is NaN at step 0",
            "backward pass of operation `sqrt`",
            "loss `root-of-zero`",
            "lib.rs:",
        ],
    );
}

#[test]
fn a_metric_is_named_by_a_repetition_and_by_a_comparison() {
    let lab = lab("odd-metric");
    let run = lab.train(&["epochs=1"]);
    let said = lab.lossmith(&["replay", run.name()]).ok();
    assert!(said.contains("are equal to the last bit") && said.contains("\nnot finite: "), "{said}");
    assert!(said.contains("odd of the step row after step "), "{said}");
    let again = lab.runs().into_iter().find(|other| other.path != run.path).unwrap();
    let said = lab.lossmith(&["runs", "diff", run.name(), again.name()]).ok();
    assert!(said.contains("odd of the step row after step "), "{said}");
}

#[test]
fn a_bench_does_not_time_a_gradient_that_is_none() {
    let component = crate::guests::guests().join("test-mistakes.wasm");
    let bench = ["plugin", "bench", component.to_str().unwrap(), "--strategy", "root-of-zero", "--batch", "16"];
    let outcome = lab("root-of-zero").lossmith(&bench);
    let told = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(told.contains("are not finite") && told.contains("operation `sqrt`"), "{told}");
}
