//! The same loss in Rust, Python and JavaScript, and what the tools of the other languages say.
//!
//! Python and JavaScript are tested where their tools are: `make test` installs them. Elsewhere a line says what was
//! left out.

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
    """Operations of contract 0.1.4."""

    def loss(self, batch, progress):
        x = batch.embeddings()
        y = x.sinh().asinh() + (x.cosh() + 1.0).acosh() + (x * 0.1).atanh()
        return Tensor.einsum("ij,ij->i", [y, x.t().t()]).mean()
"#;
    const JAVASCRIPT: &str = r#"
import { Tensor, loss } from "./lossmith.js";

loss("soft-contrastive", {
    summary: "Operations of contract 0.1.4.",
    parameters: {},
    loss(parameters, batch, progress) {
        const x = batch.embeddings();
        const y = x.sinh().asinh().add(x.cosh().add(1).acosh()).add(x.mul(0.1).atanh());
        return Tensor.einsum("ij,ij->i", [y, x.t().t()]).mean();
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
                assert_eq!(cells.len(), 9, "{table}");
                // Of both, and one by the other.
                assert!([2, 5, 8].iter().all(|time| cells[*time].parse::<f64>().unwrap() > 0.0), "{table}");
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

/// A program in the place of a tool, which notes each call in the file beside it.
fn put_tool(folder: &Path, then: &str) -> PathBuf {
    let (tool, calls) = (folder.join("tool"), folder.join("calls"));
    let version = "[ \"$1\" = --version ] && { echo componentize-py 0.25.1; exit; }";
    let script = format!("#!/bin/sh\n{version}\necho called >> '{}'\n{then}\n", calls.display());
    std::fs::write(&tool, script).unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    tool
}

#[test]
fn mistakes_in_python_are_all_told_before_anything_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let tool = put_tool(folder.path(), "exit 1");
    let plugin = folder.path().join("mine");
    std::fs::create_dir_all(plugin.join("parts")).unwrap();
    let source =
        "from lossmith import loss, nubmer\nfrom parts import mean, spread\n\n@loss(\"mine\")\nclass Mine:\n    pass\n";
    for (file, text) in [
        ("plugin.toml", "language = \"python\"\nname = \"mine\"\nroles = [\"loss\"]\n"),
        ("plugin.py", source),
        ("parts/mean.py", "def mean(:\n    pass\n"),
        ("parts/spread.py", "x = 1\nif x\n    y = 2\n"),
    ] {
        std::fs::write(plugin.join(file), text).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_lossmith"));
    command.args(["plugin", "build"]).arg(&plugin).env("LOSSMITH_COMPONENTIZE_PY", &tool);
    let output = command.output().unwrap();
    let text = message(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for words in [
        "parts/mean.py:1:10: SyntaxError",
        "parts/spread.py:2:5: SyntaxError",
        "plugin.py:1:1: ImportError: lossmith has no `nubmer`; did you mean `number`?",
        "plugin.py:5:1: the class Mine has no method `loss`",
    ] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    assert!(!folder.path().join("calls").exists());
    // Another look than that of this machine's Python, or none.
    let output = command.env("LOSSMITH_PYTHON", "").output().unwrap();
    assert!(message(&output).contains("cannot be made a component") && folder.path().join("calls").exists());
}

#[test]
fn what_a_tool_says_moves_no_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let tool = put_tool(folder.path(), "printf 'first\\033]0;title\\007\\n' >&2; exit 1");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lossmith"));
    command.args(["plugin", "build"]).arg(repository().join("examples/languages/python"));
    command.env("LOSSMITH_COMPONENTIZE_PY", &tool).env("LOSSMITH_PYTHON", "");
    let output = command.env("XDG_CACHE_HOME", folder.path().join("cache")).output().unwrap();
    let text = message(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("first\u{fffd}]0;title\u{fffd}") && !text.contains(['\u{1b}', '\u{7}']), "{text}");
}

#[test]
fn a_missing_folder_for_temporary_files_is_told_with_its_variable() {
    let folder = tempfile::tempdir().unwrap();
    let tool = put_tool(folder.path(), "exit 1");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lossmith"));
    command.args(["plugin", "build"]).arg(repository().join("examples/languages/python"));
    command.env("LOSSMITH_COMPONENTIZE_PY", &tool).env("TMPDIR", folder.path().join("none"));
    let output = command.env("XDG_CACHE_HOME", folder.path().join("cache")).output().unwrap();
    let text = message(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("TMPDIR names it") && text.contains("/none"), "{text}");
    assert!(!folder.path().join("calls").exists());
}

#[test]
fn without_home_the_tools_are_where_the_database_of_users_has_it() {
    let home = Command::new("sh").args(["-c", "getent passwd \"$(id -u)\" | cut -d: -f6"]).output().unwrap();
    let home = String::from_utf8(home.stdout).unwrap();
    assert!(home.starts_with('/'), "this user has no home");
    let doctor = |home: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lossmith"));
        command.args(["--json", "doctor"]);
        for variable in ["HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "LOSSMITH_TOOLS"] {
            command.env_remove(variable);
        }
        command.envs(home.map(|home| ("HOME", home)));
        let said: Json = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        let findings = said["findings"].as_array().unwrap().iter();
        let of_tools = findings.filter(|finding| finding["what"].as_str().unwrap().starts_with("plugins in "));
        of_tools.cloned().collect::<Vec<_>>()
    };
    let found = doctor(None);
    assert_eq!((found.len(), &found), (2, &doctor(Some(home.trim()))));
}

#[test]
fn another_version_of_a_tool_is_refused_before_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let tool = put_tool(folder.path(), "exit 1");
    let other = std::fs::read_to_string(&tool).unwrap().replace("0.25.1", "0.17.0");
    std::fs::write(&tool, other).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lossmith"));
    command.args(["plugin", "build"]).arg(repository().join("examples/languages/python"));
    let output = command.env("LOSSMITH_COMPONENTIZE_PY", &tool).output().unwrap();
    let text = message(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for words in ["componentize-py 0.17.0, not 0.25.1", "pip install componentize-py==0.25.1"] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    assert!(!folder.path().join("calls").exists());
}

#[test]
fn one_source_is_built_once_and_is_one_component() {
    let Some(real) = tool("python").filter(|_| has("python")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let tool = put_tool(folder.path(), &format!("exec '{}' \"$@\"", real.display()));
    let source = folder.path().join("mine");
    std::fs::create_dir(&source).unwrap();
    for file in ["plugin.toml", "plugin.py"] {
        std::fs::copy(repository().join("examples/languages/python").join(file), source.join(file)).unwrap();
    }
    let build = |out: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lossmith"));
        command.args(["plugin", "build"]).arg(&source).arg("--out").arg(folder.path().join(out));
        command.env("LOSSMITH_COMPONENTIZE_PY", &tool).env("XDG_CACHE_HOME", folder.path().join("cache"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", message(&output));
        message(&output)
    };
    let bytes = |out: &str| std::fs::read(folder.path().join(out).join("soft-contrastive-python.wasm")).unwrap();
    let calls = || std::fs::read_to_string(folder.path().join("calls")).unwrap().lines().count();
    // Two at once, as two trainings that start do; the tool makes other bytes each time.
    let said = std::thread::scope(|scope| {
        let builds = ["one", "two"].map(|out| scope.spawn(move || build(out)));
        builds.map(|build| build.join().unwrap())
    });
    assert_eq!((calls(), bytes("one") == bytes("two")), (1, true));
    let has = |words: &str| said.iter().filter(|said| said.contains(words)).count();
    assert_eq!([has("it was not built here before"), has("unchanged since it was built")], [1, 1], "{said:?}");
    assert!(build("three").contains("unchanged since it was built"));
    assert_eq!((calls(), bytes("one") == bytes("three")), (1, true));
    // A mistake of the tool is no component, and the reason of a build is told.
    std::fs::write(source.join("plugin.py"), "import no_such_module\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lossmith"));
    command.args(["plugin", "build"]).arg(&source).env("LOSSMITH_COMPONENTIZE_PY", &tool);
    let output = command.env("XDG_CACHE_HOME", folder.path().join("cache")).output().unwrap();
    let text = message(&output);
    assert!(text.contains("plugin.py changed") && text.contains("imports `no_such_module`"), "{text}");
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
