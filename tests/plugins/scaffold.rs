//! `lossmith plugin new`, by the real binary, in folders outside of the repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value as Json;

use crate::support::guests;
use crate::{data, languages};

const BINARY: &str = env!("CARGO_BIN_EXE_lossmith");
/// Short, and on one thread: the networks are small, and tests run beside each other.
const QUICK: [&str; 4] = ["--set", "epochs=1", "--set", "threads=1"];
const ROLES: [&str; 6] = ["loss", "miner", "transfer", "balance", "schedule", "fusion"];

/// A folder with data for the experiments, and new plugins.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        data::fashion_mnist(&place.path("data/fashion-mnist"));
        place
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    /// A command in a folder of the place, with everything that the README of a plugin says.
    fn command(&self, program: &str, folder: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path(folder))
            .env("LOSSMITH", BINARY)
            .env("LOSSMITH_DATA", self.path("data"))
            .env("LOSSMITH_PLUGINS", guests())
            .env("LOSSMITH_COMPONENTIZE_PY", languages::tool("python").unwrap_or_default())
            .env("LOSSMITH_COMPONENTIZE_JS", languages::tool("javascript").unwrap_or_default())
            // One for all plugins, so that what they depend on is compiled once.
            .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("scaffold"));
        command
    }

    fn lossmith(&self, folder: &str, arguments: &[&str]) -> Output {
        self.command(BINARY, folder).args(arguments).output().unwrap()
    }

    fn new_plugin(&self, name: &str, role: &str, language: &str) -> Json {
        let arguments = ["--json", "plugin", "new", name, "--role", role, "--language", language];
        serde_json::from_slice(&good(&self.lossmith("", &arguments)).stdout).unwrap()
    }

    /// Every file below a folder, relative to it, sorted.
    fn files(&self, folder: &str) -> Vec<String> {
        let root = self.path(folder);
        let (mut found, mut folders) = (Vec::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }
}

fn good(output: &Output) -> &Output {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Builds a new plugin and checks it with its own batch, as its README says.
fn build_and_check(place: &Place, name: &str, role: &str) {
    good(&place.lossmith(name, &["plugin", "build", ".", "--out", "target/plugins"]));
    let component = format!("target/plugins/{name}.wasm");
    let checked = place.lossmith(name, &["plugin", "check", &component, "--batch", "tests/batch.json"]);
    let report = text(&good(&checked).stdout);
    assert!(report.contains("0 warnings, 0 failed"), "{report}");
    assert!(role == "balance" || report.contains("as expected"), "{report}");
}

/// Trains with the experiment of a new plugin, after its teacher if it has one. Returns what is printed.
fn train(place: &Place, name: &str, changes: &[&str]) -> String {
    let teacher;
    let mut arguments = [&["train", "experiment.toml"][..], &QUICK, changes].concat();
    if place.path(name).join("teacher.toml").is_file() {
        good(&place.lossmith(name, &[&["train", "teacher.toml"][..], &QUICK].concat()));
        let run = fs::read_dir(place.path(name).join("runs")).unwrap().next().unwrap().unwrap();
        teacher = format!("teacher.run=runs/{}", run.file_name().to_str().unwrap());
        arguments.extend(["--set", &teacher]);
    }
    text(&good(&place.lossmith(name, &arguments)).stdout)
}

#[test]
fn a_new_crate_of_each_role_is_built_checked_and_trained_with() {
    let place = Place::new();
    for role in ROLES {
        let name = format!("own-{role}");
        let made = place.new_plugin(&name, role, "rust");
        assert_eq!(made["directory"], name.as_str());
        let listed: Vec<String> = serde_json::from_value(made["files"].clone()).unwrap();
        assert_eq!(listed, place.files(&name));

        build_and_check(&place, &name, role);
        let said = train(&place, &name, &[]);
        assert!(said.contains(&format!("(plugin {name}, ")), "{said}");
    }
}

#[test]
fn the_test_of_a_new_crate_passes_and_notices_a_mistake() {
    // A name of its own: crates of one name would overwrite each other's module in the target folder.
    let place = Place::new();
    place.new_plugin("tested-loss", "loss", "rust");
    good(&place.command("cargo", "tested-loss").arg("test").output().unwrap());
    let source = place.path("tested-loss/src/lib.rs");
    let right = fs::read_to_string(&source).unwrap();
    let wrong = right.replace("self.positive_margin)", "self.positive_margin - 0.5)");
    assert_ne!(right, wrong);
    fs::write(&source, wrong).unwrap();
    let output = place.command("cargo", "tested-loss").arg("test").output().unwrap();
    let said = text(&output.stdout);
    assert!(!output.status.success() && said.contains("given batch") && said.contains("is expected"), "{said}");
}

#[test]
fn a_build_that_contradicts_itself_leaves_the_last_component() {
    let place = Place::new();
    place.new_plugin("contradicting-loss", "loss", "rust");
    let build = || place.lossmith("contradicting-loss", &["plugin", "build", ".", "--out", "out"]);
    good(&build());
    let component = place.path("contradicting-loss/out/contradicting-loss.wasm");
    let last = fs::read(&component).unwrap();
    let source = place.path("contradicting-loss/src/lib.rs");
    let right = fs::read_to_string(&source).unwrap();
    let wrong =
        right.replace("positive_margin: f64 = 0.0, range 0.0..=2.0", "positive_margin: f64 = 3.0, range 0.0..=2.0");
    assert_ne!(right, wrong);
    fs::write(&source, wrong).unwrap();
    let output = build();
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("contradicts itself"), "{said}");
    assert!(fs::read(&component).unwrap() == last);
}

/// A new plugin of each role in a language, built, checked and trained with. The loss is by the test in its folder,
/// which is the same for each role, run by what the language has for that.
fn language(language: &str, program: &str, arguments: &[&str]) {
    if !languages::has(language) {
        return;
    }
    let place = Place::new();
    for role in ROLES {
        let name = format!("own-{role}");
        place.new_plugin(&name, role, language);
        if role == "loss" {
            good(&place.command(program, &name).args(arguments).output().unwrap());
        } else {
            build_and_check(&place, &name, role);
        }
        // What was built and checked, not a build of its own.
        let slot = if role == "fusion" { role.to_owned() } else { format!("objective.0.{role}") };
        let own = format!("{slot}.plugin=\"target/plugins/{name}.wasm\"");
        let said = train(&place, &name, &["--set", &own]);
        assert!(said.contains(&format!("(plugin {name}, ")), "{said}");
    }
}

#[test]
fn a_new_plugin_of_each_role_in_python_is_built_checked_and_trained_with() {
    language("python", "python3", &["-m", "unittest"]);
}

#[test]
fn a_new_plugin_of_each_role_in_javascript_is_built_checked_and_trained_with() {
    language("javascript", "node", &["--test"]);
}

#[test]
fn every_role_is_there_in_every_language() {
    let place = Place::new();
    for language in ["python", "javascript"] {
        for role in ROLES {
            let name = format!("own-{role}-{language}");
            place.new_plugin(&name, role, language);
            let manifest = fs::read_to_string(place.path(&name).join("plugin.toml")).unwrap();
            assert_eq!(manifest, format!("language = \"{language}\"\nname = \"{name}\"\nroles = [\"{role}\"]\n"));
            // The numbers do not depend on the language.
            place.new_plugin(&format!("{name}-in-rust"), role, "rust");
            for file in ["tests/batch.json", "wit/tensor.wit"] {
                let of = |name: &str| fs::read(place.path(name).join(file)).unwrap();
                assert_eq!(of(&name), of(&format!("{name}-in-rust")), "{file}");
            }
        }
    }
}

#[test]
fn what_comes_next_is_said() {
    let place = Place::new();
    let arguments = ["plugin", "new", "own-loss", "--role", "loss", "--directory", "deep/a folder"];
    let said = text(&good(&place.lossmith("", &arguments)).stdout);
    for line in
        ["cd 'deep/a folder'", "lossmith plugin build", "lossmith plugin check", "lossmith train experiment.toml"]
    {
        assert!(said.contains(line), "{said}");
    }
    assert!(place.path("deep/a folder/src/lib.rs").is_file());
    assert_eq!(fs::read_dir(place.path("deep")).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_bad_name_is_a_wrong_use_with_a_suggestion() {
    let place = Place::new();
    for (name, suggestion) in [("OwnLoss", "own-loss"), ("own_loss", "own-loss"), ("loss", "my-loss"), ("3d", "my-3d")]
    {
        let output = place.lossmith("", &["plugin", "new", name, "--role", "loss"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("`{name}`")) && said.contains(&format!("try `{suggestion}`")), "{said}");
    }
    assert_eq!(place.files(""), {
        let of = |part: &str, what: &str| format!("data/fashion-mnist/{part}-{what}-ubyte.gz");
        [of("t10k", "images-idx3"), of("t10k", "labels-idx1"), of("train", "images-idx3"), of("train", "labels-idx1")]
    });
}

#[test]
fn a_folder_with_something_in_it_stays_as_it_is() {
    let place = Place::new();
    fs::create_dir(place.path("own-loss")).unwrap();
    fs::write(place.path("own-loss/notes.txt"), "mine").unwrap();
    let output = place.lossmith("", &["plugin", "new", "own-loss", "--role", "loss"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("--directory"), "{}", text(&output.stderr));
    assert_eq!(place.files("own-loss"), ["notes.txt"]);
    // An empty one is taken.
    fs::create_dir(place.path("empty")).unwrap();
    good(&place.lossmith("", &["plugin", "new", "own-loss", "--role", "loss", "--directory", "empty"]));
    assert!(place.path("empty/README.md").is_file());
}
