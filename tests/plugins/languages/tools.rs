//! The tools of the other languages: how they are found and called, and what they say.

use super::*;

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
