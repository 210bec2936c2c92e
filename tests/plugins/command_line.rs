//! `lossmith plugin eval` and `plugin inspect`, by the real binary.

mod evaluation;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value as Json, json};

use crate::support::guest;

/// Runs `lossmith plugin` with some arguments.
fn plugin(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lossmith")).arg("plugin").args(arguments).output().unwrap()
}

/// Evaluates a strategy of a guest on a case; the result comes by standard output.
fn eval(package: &str, role: &str, strategy: &str, params: &Json, case: &Json) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("case.json");
    std::fs::write(&input, case.to_string()).unwrap();
    let (guest, params) = (guest(package), params.to_string());
    let (guest, input) = (guest.to_str().unwrap(), input.to_str().unwrap());
    let arguments = [
        "eval",
        guest,
        "--role",
        role,
        "--strategy",
        strategy,
        "--params",
        &params,
        "--input",
        input,
        "--dtype",
        "f64",
    ];
    plugin(&arguments)
}

/// The result of an evaluation that ends well.
fn good(output: Output) -> Json {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Exit code and text of a failure; nothing is on standard output.
fn bad(output: Output) -> (i32, String) {
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn inspect_tells_each_strategy_with_its_parameters() {
    let guest = guest("lossmith-test-operations");
    let found = good(plugin(&["inspect", guest.to_str().unwrap(), "--json"]));
    assert_eq!(found["contract"], "0.1.5");
    assert_eq!(found["name"], "test-operations");
    assert_eq!(found["hash"].as_str().unwrap().len(), 64);
    let told = found["strategies"].as_array().unwrap().iter().find(|it| it["name"] == "told").unwrap();
    let expected = json!({
        "role": "loss",
        "name": "told",
        "summary": "Reports all that it is told.",
        "params": [
            {
                "name": "number", "summary": "A number.",
                "type": "number", "default": 0.5, "minimum": 0.0, "maximum": 2.0,
            },
            {
                "name": "integer", "summary": "An integer.",
                "type": "integer", "default": 3, "minimum": 1, "maximum": 9,
            },
            { "name": "switch", "summary": "A switch.", "type": "boolean", "default": false },
            { "name": "text", "summary": "A text.", "type": "text", "default": "text" },
            { "name": "numbers", "summary": "A list.", "type": "numbers", "default": [0.25, 0.75] },
            { "name": "distance", "summary": "A choice.", "type": "text", "default": "cosine",
              "choices": ["euclidean", "squared-euclidean", "lp", "cosine", "dot", "snr"] },
        ],
    });
    assert_eq!(*told, expected);
}

#[test]
fn inspect_prints_a_table_for_people() {
    let guest = guest("lossmith-losses");
    let output = plugin(&["inspect", guest.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    for word in ["contrastive", "triplet", "margin", "lossmith:plugin@0.1.5", "0.07", "above 0"] {
        assert!(text.contains(word), "{word} is not in:\n{text}");
    }
}

#[test]
fn faults_go_to_standard_error_with_their_exit_code() {
    let case = json!({ "embeddings": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], "labels": [0, 1, 0] });
    let losses = "lossmith-losses";

    let (code, text) = bad(eval(losses, "loss", "triplett", &json!({}), &case));
    assert!(code == 4 && text.contains("`triplett`") && text.contains("did you mean `triplet`?"), "{code}: {text}");

    let (code, text) = bad(eval(losses, "loss", "triplet", &json!({ "margn": 0.1 }), &case));
    assert!(code == 2 && text.contains("`margn`") && text.contains("did you mean `margin`?"), "{code}: {text}");

    let (code, text) = bad(eval(losses, "loss", "nt-xent", &json!({ "temperature": 0 }), &case));
    assert!(code == 2 && text.contains("`temperature`") && text.contains("above 0"), "{code}: {text}");

    let (code, text) =
        bad(eval(losses, "loss", "triplet", &json!({}), &json!({ "embeddings": [[1.0]], "labels": [0, 1] })));
    assert!(code == 2 && text.contains("`embeddings`") && text.contains("2 labels"), "{code}: {text}");

    let missing = Path::new("no-such-plugin.wasm");
    let (code, text) = bad(plugin(&["inspect", missing.to_str().unwrap()]));
    assert!(code == 4 && text.contains("no-such-plugin.wasm"), "{code}: {text}");
}

#[test]
fn a_component_that_is_not_there_is_told_with_what_is() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("mine/target/plugins")).unwrap();
    std::fs::write(folder.path().join("mine/plugin.toml"), "").unwrap();
    std::fs::copy(guest("lossmith-test-roles"), folder.path().join("roles.wasm")).unwrap();
    let said = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lossmith"));
        command.current_dir(folder.path()).env("LOSSMITH_PLUGINS", folder.path().join("standard")).arg("plugin");
        let (code, text) = bad(command.args(arguments).output().unwrap());
        assert_eq!(code, 4, "{text}");
        text.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for (component, words) in [
        ("mine/target/plugins/mine.wasm", "build it first: `lossmith plugin build mine`"),
        ("mine", "`lossmith plugin build mine` makes a component of it"),
        ("mine.wasm", "build it first: `lossmith plugin build mine`"),
        ("rolse.wasm", "did you mean ./roles.wasm?"),
        ("something-else.wasm", "there are roles in ."),
        (".", "there are roles in ."),
    ] {
        for command in ["check", "inspect", "bench"] {
            let text = said(&[command, component]);
            assert!(text.contains(words), "{command} {component}: {text}");
        }
    }
    std::fs::copy(guest("lossmith-test-roles"), folder.path().join("mine/target/plugins/mine.wasm")).unwrap();
    assert!(said(&["check", "mine"]).contains("its component is mine/target/plugins/mine.wasm"));
    std::fs::write(folder.path().join("case.json"), "{}").unwrap();
    let eval = said(&["eval", "rolse.wasm", "--role", "loss", "--strategy", "x", "--input", "case.json"]);
    assert!(eval.contains("did you mean ./roles.wasm?"), "{eval}");
}

#[test]
fn a_failed_operation_is_told_in_one_message() {
    let case = json!({ "embeddings": [[1.0, 2.0], [3.0, 4.0]], "labels": [0, 1] });
    // Its error passes through a destructor of the library that calls libtorch.
    let (code, text) =
        bad(eval("lossmith-test-operations", "loss", "misuse", &json!({ "case": "masked-fill" }), &case));
    assert_eq!(code, 4);
    for word in ["masked-fill", "[2, 2]", "not boolean", "misuse.rs"] {
        assert!(text.contains(word), "{word} is not in:\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn a_compiled_component_is_kept_and_does_without_a_place_to_be_kept_in() {
    let home = tempfile::tempdir().unwrap();
    let run = |cache: &Path, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lossmith"));
        // The configuration of whoever runs the tests may name another folder.
        command.env("XDG_CONFIG_HOME", home.path()).env("XDG_CACHE_HOME", cache);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let guest = guest("lossmith-regularizers");
    let inspect = ["plugin", "inspect", guest.to_str().unwrap()];
    let cache = home.path().join("cache");
    let first = run(&cache, &inspect);
    assert!(std::fs::read_dir(cache.join("wasmtime/modules")).unwrap().next().is_some());
    assert_eq!(run(&cache, &inspect), first);
    assert!(run(&cache, &["doctor", "--json"]).contains("kept in "));
    // A file is where the folder should be.
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(run(&file, &inspect), first);
    assert!(run(&file, &["doctor", "--json"]).contains("each start compiles anew"));
}
