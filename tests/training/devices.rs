//! Devices on the command line, and the script that tries a GPU, on the CPU.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Lab, Outcome};

const CASE: &str = r#"{ "embeddings": [[1.0, 0.0], [0.5, 1.0], [0.0, 1.0]], "labels": [0, 0, 1] }"#;

#[test]
fn a_device_that_is_not_there_is_an_error_of_each_command_that_takes_one() {
    let lab = Lab::new("");
    lab.write("case.json", CASE);
    lab.write("calls.jsonl", "");
    let losses = ["losses", "--strategy", "contrastive"];
    let eval = [["plugin", "eval"].as_slice(), &losses, &["--input", "case.json"]].concat();
    let bench = [["plugin", "bench"].as_slice(), &losses].concat();
    for arguments in [eval, bench, vec!["plugin", "eval-many", "calls.jsonl"]] {
        let with = |device| [arguments.as_slice(), &["--device", device]].concat();
        lab.lossmith(&with("cuda:99")).fails(3, &["there is no device cuda:99", "lossmith doctor"]);
        lab.lossmith(&with("gpu")).fails(2, &["`gpu` is not a device: expected auto, cpu, or cuda:0"]);
    }
}

#[test]
fn many_calls_come_to_what_each_of_them_comes_to() {
    let lab = Lab::new("");
    lab.write("case.json", CASE);
    let case: Value = serde_json::from_str(CASE).unwrap();
    let call = json!({ "plugin": "losses", "strategy": "contrastive", "input": case });
    let mut other = call.clone();
    other["dtype"] = json!("f64");
    other["params"] = json!({ "negative-margin": 2.0 });
    lab.write("calls.jsonl", &format!("{call}\n\n{other}\n"));
    let many = lab.lossmith(&["plugin", "eval-many", "calls.jsonl"]).ok();
    let found: Vec<Value> = many.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let one = ["--json", "plugin", "eval", "losses", "--strategy", "contrastive", "--input", "case.json"];
    let with = ["--dtype", "f64", "--params", r#"{ "negative-margin": 2.0 }"#, "--device", "cpu"];
    let expected = [lab.lossmith(&one).json(), lab.lossmith(&[one.as_slice(), &with].concat()).json()];
    assert_eq!(found, expected);
    lab.write("calls.jsonl", &format!("{call}\n{{ \"plugin\": \"losses\" }}\n"));
    lab.lossmith(&["plugin", "eval-many", "calls.jsonl"]).fails(2, &["line 2 of calls.jsonl", "input"]);
}

#[test]
fn the_script_that_tries_a_gpu_runs_on_the_cpu() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut script = Command::new(repository.join("scripts/gpu.sh"));
    script.args(["--device", "cpu", "--short", "--command", env!("CARGO_BIN_EXE_lossmith")]);
    let said = Outcome::of(script.env_remove("LOSSMITH_PLUGINS")).ok();
    assert!(said.contains("all is well on cpu"), "{said}");
}
