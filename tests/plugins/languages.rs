//! The same loss in Rust, Python and JavaScript, and what the tools of the other languages say.
//!
//! Python and JavaScript are tested where their tools are: `make test` installs them. Elsewhere a line says what was left out.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value as Json, json};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn plugin(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lossmith")).arg("plugin").args(arguments).output().unwrap()
}

/// Whether a language's tool is set up.
pub(crate) fn has(language: &str) -> bool {
    let tool = match language {
        "python" => ".tools/python/bin/componentize-py",
        "javascript" => ".tools/javascript/node_modules/.bin/componentize-js",
        _ => return true,
    };
    let found = repository().join(tool).is_file();
    if !found {
        println!("left out: {tool} is missing; `make languages` installs it");
    }
    found
}

/// Builds a folder into `out`.
fn build(folder: &Path, out: &Path) -> Output {
    plugin(&["build", folder.to_str().unwrap(), "--out", out.to_str().unwrap()])
}

/// The text of a build that fails.
fn failure(files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let output = build(folder.path(), &folder.path().join("out"));
    assert_eq!(output.status.code(), Some(1));
    assert!(!folder.path().join("out").exists(), "nothing is written");
    // As one line: the report breaks lines where the terminal ends.
    let text = String::from_utf8_lossy(&output.stderr).replace('│', " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn eval(component: &Path, input: &Path) -> Json {
    let (component, input) = (component.to_str().unwrap(), input.to_str().unwrap());
    let arguments =
        ["eval", component, "--role", "loss", "--strategy", "soft-contrastive", "--dtype", "f64", "--input"];
    let output = plugin(&[&arguments[..], &[input]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn numbers(json: &Json) -> Vec<f64> {
    match json {
        Json::Array(items) => items.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

#[test]
fn one_loss_is_equal_in_three_languages() {
    let out = tempfile::tempdir().unwrap();
    let input = out.path().join("input.json");
    let row = |i: i32| -> Vec<f64> { (0..5).map(|d| f64::from((7 * i + 3 * d) % 11) / 4.0 - 1.2).collect() };
    let case = json!({ "embeddings": (0..9).map(row).collect::<Vec<_>>(), "labels": [0, 1, 2, 0, 1, 2, 0, 1, 0] });
    std::fs::write(&input, case.to_string()).unwrap();
    let mut results = Vec::new();
    for language in ["rust", "python", "javascript"].into_iter().filter(|language| has(language)) {
        let output = build(&repository().join("examples/languages").join(language), out.path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let component: PathBuf = out.path().join(format!("soft-contrastive-{language}.wasm"));
        let outcome = eval(&component, &input);
        results.push((language, numbers(&outcome["value"]), numbers(&outcome["gradient"])));
        let check = plugin(&["check", component.to_str().unwrap()]);
        assert!(check.status.success(), "{language}: {}", String::from_utf8_lossy(&check.stdout));
    }
    let (_, value, gradient) = &results[0];
    assert!(value[0] > 0.0 && gradient.iter().any(|g| *g != 0.0));
    for (language, other, other_gradient) in &results[1..] {
        for (a, b) in value.iter().chain(gradient).zip(other.iter().chain(other_gradient)) {
            assert!((a - b).abs() <= 1e-6, "{language}: {a} and {b}");
        }
    }
}

#[test]
fn python_that_imports_numpy_is_told_what_to_use() {
    if !has("python") {
        return;
    }
    let source = "import numpy\nfrom lossmith import loss\n";
    let toml = "language = \"python\"\nname = \"mine\"\nroles = [\"loss\"]\n";
    let text = failure(&[("plugin.toml", toml), ("plugin.py", source)]);
    for word in ["imports `numpy`", "tensor operations of the host"] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
}

#[test]
fn a_mistake_in_another_language_is_shown_as_its_tool_says_it() {
    for (language, file, source) in
        [("python", "plugin.py", "def broken(:\n"), ("javascript", "plugin.js", "export const = ;\n")]
    {
        if has(language) {
            let toml = format!("language = \"{language}\"\nname = \"mine\"\nroles = [\"loss\"]\n");
            let text = failure(&[("plugin.toml", &toml), (file, source)]);
            for word in ["SyntaxError", "cannot be made a component"] {
                assert!(text.contains(word), "{language}: {word} is not in {text}");
            }
        }
    }
}

#[test]
fn a_missing_tool_is_told_with_the_command_that_installs_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plugin.toml"), "language = \"python\"\nname = \"mine\"\nroles = [\"loss\"]\n")
        .unwrap();
    std::fs::write(folder.path().join("plugin.py"), "").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lossmith"));
    command.args(["plugin", "build"]).arg(folder.path()).env("LOSSMITH_COMPONENTIZE_PY", "no/such/program");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    for word in ["componentize-py", "pip install componentize-py==", "LOSSMITH_COMPONENTIZE_PY"] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
}

#[test]
fn a_plugin_toml_with_a_mistake_is_told() {
    for (toml, word) in [
        ("language = \"ruby\"\nname = \"mine\"\nroles = [\"loss\"]", "`python` or `javascript`"),
        ("language = \"python\"\nname = \"mine\"\nroles = [\"lose\"]", "`lose` is no role"),
        ("language = \"python\"\nname = \"mine\"\nroles = [\"loss\"]", "no plugin.py"),
    ] {
        let text = failure(&[("plugin.toml", toml)]);
        assert!(text.contains(word), "{word} is not in {text}");
    }
}
