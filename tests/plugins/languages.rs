//! The same loss in Rust, Python and JavaScript, and what the tools of the other languages say.
//!
//! Python and JavaScript are tested where their tools are: `make test` installs them. Elsewhere a line says what was
//! left out.

mod tools;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{LazyLock, Mutex};

use serde_json::{Value as Json, json};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn plugin(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lossmith")).arg("plugin").args(arguments).output().unwrap()
}

/// What makes components of a language, where the set-up puts it, if it is there.
pub(crate) fn tool(language: &str) -> Option<PathBuf> {
    let tool = match language {
        "python" => "python/bin/componentize-py",
        _ => "javascript/node_modules/.bin/componentize-js",
    };
    let folders = [lossmith::toolchain::tools(), Some(repository().join(".tools"))];
    folders.into_iter().flatten().map(|folder| folder.join(tool)).find(|tool| tool.is_file())
}

/// Whether a language's tool is set up.
pub(crate) fn has(language: &str) -> bool {
    let found = language == "rust" || tool(language).is_some();
    if !found {
        println!("left out: the tool of {language} is missing; `make languages` installs it");
    }
    found
}

/// The component of the example in a language, built once.
fn example(language: &str) -> PathBuf {
    static BUILT: LazyLock<Mutex<BTreeSet<String>>> = LazyLock::new(Mutex::default);
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("languages");
    let mut built = BUILT.lock().unwrap();
    if built.insert(language.to_owned()) {
        let output = build(&repository().join("examples/languages").join(language), &out);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    out.join(format!("soft-contrastive-{language}.wasm"))
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
    message(&output)
}

/// What an error says, as one line: the report breaks lines where the terminal ends.
fn message(output: &Output) -> String {
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
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input.json");
    let row = |i: i32| -> Vec<f64> { (0..5).map(|d| f64::from((7 * i + 3 * d) % 11) / 4.0 - 1.2).collect() };
    let case = json!({ "embeddings": (0..9).map(row).collect::<Vec<_>>(), "labels": [0, 1, 2, 0, 1, 2, 0, 1, 0] });
    std::fs::write(&input, case.to_string()).unwrap();
    let mut results = Vec::new();
    for language in ["rust", "python", "javascript"].into_iter().filter(|language| has(language)) {
        let component = example(language);
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
fn operations_that_came_later_are_there_in_other_languages() {
    const PYTHON: &str = r#"
from lossmith import Tensor, loss

@loss("soft-contrastive")
class Later:
    """What contract 0.1.4 and 0.1.5 added."""

    def loss(self, batch, progress):
        x = batch.embeddings()
        y = x.sinh().asinh() + (x.cosh() + 1.0).acosh() + (x * 0.1).atanh()
        known = batch.largest_class() == 1 and progress.is_last_step_of_epoch()
        return Tensor.einsum("ij,ij->i", [y, x.t().t()]).mean() + (0.0 if known else 1.0)
"#;
    const JAVASCRIPT: &str = r#"
import { Tensor, loss } from "./lossmith.js";

loss("soft-contrastive", {
    summary: "What contract 0.1.4 and 0.1.5 added.",
    parameters: {},
    loss(parameters, batch, progress) {
        const x = batch.embeddings();
        const y = x.sinh().asinh().add(x.cosh().add(1).acosh()).add(x.mul(0.1).atanh());
        const known = batch.largestClass() === 1 && progress.isLastStepOfEpoch();
        return Tensor.einsum("ij,ij->i", [y, x.t().t()]).mean().add(known ? 0 : 1);
    },
});
"#;
    let rows = [[0.5_f64, -1.5, 2.0], [0.25, 1.0, -0.75]];
    // asinh(sinh(x)) = x; the rest by logarithms.
    let y = |x: f64| {
        let (c, t) = (x.cosh() + 1.0, 0.1 * x);
        x + (c + (c * c - 1.0).sqrt()).ln() + 0.5 * ((1.0 + t) / (1.0 - t)).ln()
    };
    let expected = rows.iter().flatten().map(|x| x * y(*x)).sum::<f64>() / 2.0;
    for (language, file, text) in [("python", "plugin.py", PYTHON), ("javascript", "plugin.js", JAVASCRIPT)] {
        if !has(language) {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let (source, input) = (folder.path().join("later"), folder.path().join("input.json"));
        std::fs::create_dir(&source).unwrap();
        std::fs::write(source.join(file), text).unwrap();
        std::fs::write(
            source.join("plugin.toml"),
            format!("language = \"{language}\"\nname = \"later\"\nroles = [\"loss\"]\n"),
        )
        .unwrap();
        std::fs::write(&input, json!({ "embeddings": rows, "labels": [0, 1] }).to_string()).unwrap();
        let output = build(&source, folder.path());
        assert!(output.status.success(), "{language}: {}", message(&output));
        let value = numbers(&eval(&folder.path().join("later.wasm"), &input)["value"]);
        assert!((value[0] - expected).abs() < 1e-9, "{language}: {value:?} and {expected}");
    }
}

#[test]
fn a_step_in_another_language_is_measured_beside_one_in_rust() {
    for language in ["python", "javascript"].into_iter().filter(|language| has(language)) {
        let (component, rust) = (example(language), example("rust"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_lossmith"));
        // As examples/languages/README.md has it: the names are what the table shows.
        command.current_dir(component.parent().unwrap()).args(["plugin", "bench"]).arg(component.file_name().unwrap());
        // With fewer sizes, as the interpreters are slow.
        command.args(["--batch", "32,64", "--dimension", "16"]);
        let output = command.arg("--against").arg(rust.file_name().unwrap()).output().unwrap();
        assert!(output.status.success(), "{language}: {}", String::from_utf8_lossy(&output.stderr));
        let table = String::from_utf8(output.stdout).unwrap();
        // Long names make a header of several lines.
        assert!(table.contains("quartiles") && table.contains("ratio"), "{table}");
        let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let lines = lines.filter(|cells| cells.first().is_some_and(|cell| cell.parse::<u32>().is_ok()));
        let sizes: Vec<_> = lines
            .map(|cells| {
                assert_eq!(cells.len(), 10, "{table}");
                // Of one, also step by step, of the other, and one by the other.
                assert!([2, 4, 6, 9].iter().all(|time| cells[*time].parse::<f64>().unwrap() > 0.0), "{table}");
                format!("{} x {}", cells[0], cells[1])
            })
            .collect();
        assert_eq!(sizes, ["32 x 16", "64 x 16"], "{table}");
    }
}

#[test]
fn python_with_interfaces_of_the_system_is_refused_with_the_option_that_is_missing() {
    if !has("python") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (tool, kept) = (folder.path().join("componentize-py"), folder.path().join("kept.wasm"));
    // The tool, as the build calls it, without `--stub-wasi`. What it makes is the last argument.
    let script = format!(
        "#!/bin/sh\nfor argument; do\n    shift\n    [ \"$argument\" = --stub-wasi ] || set -- \"$@\" \"$argument\"\n\
         done\n\
         '{}' \"$@\" && {{ [ \"$argument\" = --version ] || cp \"$argument\" '{}'; }}\n",
        self::tool("python").unwrap().display(),
        kept.display()
    );
    std::fs::write(&tool, script).unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lossmith"));
    command.args(["plugin", "build"]).arg(repository().join("examples/languages/python"));
    command.arg("--out").arg(folder.path()).env("LOSSMITH_COMPONENTIZE_PY", &tool);
    let built = command.env("XDG_CACHE_HOME", folder.path().join("cache")).output().unwrap();
    for output in [built, plugin(&["inspect", kept.to_str().unwrap()]), plugin(&["check", kept.to_str().unwrap()])] {
        // A line may end at a hyphen, too.
        let text = message(&output).replace("- ", "-");
        assert_eq!(output.status.code(), Some(4), "{text}");
        for words in ["imports `wasi:", "no files, clocks or network", "in Python use `componentize-py --stub-wasi`"] {
            assert!(text.contains(words), "{words} is not in {text}");
        }
    }
}

#[test]
fn what_python_wants_of_a_system_is_named() {
    const SOURCE: &str = r#"
import sys
import time
from lossmith import loss, report, text

@loss("wanting")
class Wanting:
    """Does what a parameter says before it computes."""

    how = text("nothing", "What it does.", choices=("nothing", "print", "time", "input", "import", "exit", "surrogate"))

    def loss(self, batch, progress):
        if self.how == "print":
            print("said", flush=True)
        elif self.how == "time":
            time.time()
        elif self.how == "input":
            input()
        elif self.how == "import":
            import uuid
        elif self.how == "exit":
            sys.exit(7)
        elif self.how == "surrogate":
            report.info("half of a character: \ud83d")
        return batch.embeddings().mean()
"#;
    if !has("python") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (source, input) = (folder.path().join("wanting"), folder.path().join("input.json"));
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("plugin.py"), SOURCE).unwrap();
    std::fs::write(source.join("plugin.toml"), "language = \"python\"\nname = \"wanting\"\nroles = [\"loss\"]\n")
        .unwrap();
    std::fs::write(&input, json!({ "embeddings": [[0.5, 1.5], [2.0, 4.0]], "labels": [0, 1] }).to_string()).unwrap();
    let output = build(&source, folder.path());
    assert!(output.status.success(), "{}", message(&output));
    let component = folder.path().join("wanting.wasm");
    let (component, input) = (component.to_str().unwrap(), input.to_str().unwrap());
    let does = |how: &str| {
        let params = json!({ "how": how }).to_string();
        let arguments = ["eval", component, "--role", "loss", "--strategy", "wanting", "--params", params.as_str()];
        plugin(&[&arguments[..], &["--input", input]].concat())
    };
    for how in ["nothing", "surrogate"] {
        let output = does(how);
        assert!(output.status.success(), "{how}: {}", message(&output));
        let outcome: Json = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(numbers(&outcome["value"]), [2.0], "{how}");
    }
    let line = SOURCE.lines().position(|line| line.contains("sys.exit")).unwrap() + 1;
    let exit = format!("plugin.py:{line}");
    let cases = [
        ("print", ["standard output", "`report.info"]),
        ("time", ["a plugin has no clock", "`progress`"]),
        ("input", ["input of a process", "its batch"]),
        ("import", ["wanted files", "import it at the top"]),
    ];
    for (how, words) in cases.into_iter().chain([("exit", ["SystemExit: 7", exit.as_str()])]) {
        let output = does(how);
        let text = message(&output);
        assert_eq!(output.status.code(), Some(4), "{how}: {text}");
        for word in words {
            assert!(text.contains(word), "{how}: {word} is not in {text}");
        }
    }
}

#[test]
fn python_that_imports_numpy_is_told_what_to_use() {
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
    for word in ["componentize-py", "pip install componentize-py==", "make languages", "LOSSMITH_COMPONENTIZE_PY"] {
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
