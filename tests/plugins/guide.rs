//! The guides in `docs/` and `docs/using/`: their snippets are built and run in the order of the text, and what it says
//! of the contract and of tests is compared with both.
//!
//! The word behind the fence of a block says what it is; the path behind that is the file, in the chapter's folder,
//! that a reader would put it into:
//! - `rust plugin NAME/src/lib.rs`: all of a plugin. It is built and evaluated. `python plugin NAME/plugin.py`: it is
//!   built.
//! - `toml plugin NAME/plugin.toml`, `json NAME.json`: written down.
//! - `toml experiment NAME.toml`: written down and read by `lossmith train --print-config`. `toml sweep NAME.toml`,
//!   `toml`: written down.
//! - `python torch`: compared with the rest of its chapter where Python has PyTorch, else only compiled.
//! - `python lossmith`: for the package of Python, and only compiled here; `tests/python` runs it.
//! - `sh`: commands that end well. `sh fails`: a command that does not. `sh no-run`: commands that are not run; the
//!   text says why.
//! - `text`: output.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde_json::{Value as Json, json};

use crate::{data, languages};

/// A test for each chapter.
macro_rules! chapters {
    ($($test:ident: $file:literal,)*) => {
        const CHAPTERS: &[&str] = &[$($file),*];
        $(
            #[test]
            fn $test() {
                run($file);
            }
        )*
    };
}

chapters! {
    a_first_loss: "first-loss.md",
    the_contract: "contract.md",
    parameters_and_state: "parameters-and-state.md",
    custom_gradients: "custom-gradients.md",
    debugging: "debugging.md",
    performance: "performance.md",
    determinism: "determinism.md",
    security: "security.md",
    porting: "porting.md",
    languages: "languages.md",
    a_gpu: "using/gpu.md",
    a_first_run: "using/first-run.md",
    own_data: "using/data.md",
    evaluation: "using/evaluation.md",
    runs: "using/runs.md",
    sweeps: "using/sweeps.md",
    sessions: "using/sessions.md",
    deployment: "using/deployment.md",
    large_batches: "using/large-batches.md",
    the_board: "using/board.md",
    ranks: "using/ranks.md",
    pytorch: "using/pytorch.md",
}

/// A fenced block.
struct Block {
    /// The line of its fence.
    line: usize,
    /// What stands behind the fence, but for the path.
    kind: String,
    path: Option<String>,
    body: String,
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn chapter(file: &str) -> String {
    read(&repository().join("docs").join(file))
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((line, fence)) = lines.next() {
        let Some(info) = fence.strip_prefix("```") else { continue };
        let body: Vec<_> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        let (path, words): (Vec<_>, Vec<_>) = info.split(' ').partition(|word| word.contains('.'));
        let path = path.first().map(|&path| path.to_owned());
        blocks.push(Block { line, kind: words.join(" "), path, body: body.join("\n") + "\n" });
    }
    blocks
}

#[test]
fn the_contents_name_each_chapter() {
    let files = |folder: &str| std::fs::read_dir(repository().join("docs").join(folder)).unwrap();
    let names = |folder: &'static str| {
        files(folder).map(move |entry| format!("{folder}{}", entry.unwrap().file_name().into_string().unwrap()))
    };
    let found: BTreeSet<_> = names("").chain(names("using/")).filter(|name| name.ends_with(".md")).collect();
    let known: BTreeSet<_> = CHAPTERS.iter().chain(&["README.md"]).map(|name| (*name).to_owned()).collect();
    assert_eq!(found, known);
    let contents = chapter("README.md");
    for file in CHAPTERS {
        assert!(contents.contains(&format!("({file})")), "{file}");
    }
}

#[test]
fn each_block_says_what_it_is() {
    const WITH_PATH: [&str; 6] =
        ["rust plugin", "python plugin", "toml plugin", "toml experiment", "toml sweep", "json"];
    const WITHOUT: [&str; 7] = ["python torch", "python lossmith", "sh", "sh fails", "sh no-run", "toml", "text"];
    // What is built of one crate must not be taken for what is built of another.
    let mut plugins = BTreeSet::new();
    for file in CHAPTERS {
        let mut own = BTreeSet::new();
        for Block { line, kind, path, .. } in blocks(&chapter(file)) {
            let known = if path.is_some() { &WITH_PATH[..] } else { &WITHOUT[..] };
            assert!(known.contains(&kind.as_str()), "docs/{file}:{line}: a block of the kind `{kind}`");
            own.extend(
                path.filter(|_| kind.ends_with(" plugin")).and_then(|path| Some(path.split_once('/')?.0.to_owned())),
            );
        }
        for name in own {
            assert!(plugins.insert(name.clone()), "docs/{file}: another chapter has a plugin `{name}`");
        }
    }
}

#[test]
fn links_lead_somewhere() {
    for file in CHAPTERS.iter().chain(&["README.md"]) {
        let text = chapter(file);
        for (_, link) in
            text.match_indices("](").filter_map(|(at, _)| text[at + 2..].split_once(')').map(|(link, _)| (at, link)))
        {
            let target = link.split('#').next().unwrap();
            let folder = repository().join("docs").join(file).parent().unwrap().to_owned();
            assert!(target.is_empty() || folder.join(target).exists(), "docs/{file}: {link}");
        }
    }
}

#[test]
fn tests_that_are_named_exist() {
    let text = chapter("security.md");
    let names = text.split('`').skip(1).step_by(2).filter_map(|code| code.rsplit_once("::"));
    let mut count = 0;
    for (module, test) in names {
        let module = module.replace("::", "/");
        let places = ["plugins", "plugins/evil", "training", "training/session"];
        let files = places.map(|place| repository().join(format!("tests/{place}/{module}.rs")));
        let file = files.iter().find(|file| file.is_file()).unwrap_or_else(|| panic!("there is no {module}.rs"));
        assert!(read(file).contains(&format!("#[test]\nfn {test}()")), "{} has no test `{test}`", file.display());
        count += 1;
    }
    assert!(count > 20, "only {count}");
}

// ---- Running a chapter ----

/// The folder with the small data.
static DATA: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guide-data");
    data::fashion_mnist(&folder.join("fashion-mnist"));
    folder
});

/// A command in a folder, which finds `lossmith` and small data; the standard plugins are in the command.
fn command(program: &str, folder: &Path) -> Command {
    // The repository's, where most of what a plugin depends on is built already.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut path = Path::new(env!("CARGO_BIN_EXE_lossmith")).parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env("PATH", path)
        .env("CARGO_TARGET_DIR", target)
        .env_remove("LOSSMITH_PLUGINS")
        .env("LOSSMITH_DATA", &*DATA);
    if let Some(tool) = languages::tool("python") {
        command.env("LOSSMITH_COMPONENTIZE_PY", tool);
    }
    command
}

fn good(output: Output, what: &str) -> String {
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}\n{said}\n{failed}");
    said.into_owned()
}

fn lossmith(folder: &Path, arguments: &[&str], what: &str) -> String {
    good(command("lossmith", folder).args(arguments).output().unwrap(), what)
}

/// Takes the blocks of a chapter one after the other, as its reader does, in a folder of its own.
fn run(file: &str) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for Block { line, kind, path, body } in blocks(&chapter(file)) {
        let what = format!("docs/{file}:{line}");
        if let Some(path) = &path {
            std::fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
            std::fs::write(folder.join(path), &body).unwrap();
        }
        let name = path.as_deref().and_then(|path| Some(path.split_once('/')?.0)).unwrap_or_default();
        match kind.as_str() {
            "rust plugin" => {
                manifest(folder, name);
                plugin(folder, name, &what);
            }
            // Building it loads it, too. More would take long: an interpreter is compiled each time.
            "python plugin" if languages::tool("python").is_some() => {
                lossmith(folder, &["plugin", "build", name, "--out", "."], &what);
            }
            "python plugin" => {
                println!("{what}: only compiled, as componentize-py is not set up");
                good(command("python3", folder).args(["-m", "py_compile"]).args(&path).output().unwrap(), &what);
            }
            "python torch" => torch(folder, &body, &what),
            "python lossmith" => compiles(folder, &body, &what),
            "toml experiment" => {
                lossmith(folder, &["train", path.as_deref().unwrap_or_default(), "--print-config"], &what);
            }
            "sh" => println!("{what}\n{}", good(shell(folder, &body), &what)),
            "sh fails" => {
                let output = shell(folder, &body);
                println!("{what}\n{}", String::from_utf8_lossy(&output.stderr));
                assert!(!output.status.success(), "{what}: this should fail");
            }
            _ => {}
        }
    }
}

/// Runs commands, not for ever.
fn shell(folder: &Path, commands: &str) -> Output {
    command("timeout", folder).args(["120", "bash", "-euo", "pipefail", "-c", commands]).output().unwrap()
}

/// What cargo wants to know of a crate that has only its source so far.
fn manifest(folder: &Path, name: &str) {
    let file = folder.join(name).join("Cargo.toml");
    if file.exists() {
        return;
    }
    let sdk = repository().join("plugins/sdk").canonicalize().unwrap();
    let text = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\nlossmith-sdk = {{ path = {sdk:?} }}\n\n[workspace]\n"
    );
    std::fs::write(file, text).unwrap();
    // The versions that the repository has.
    std::fs::copy(repository().join("Cargo.lock"), folder.join(name).join("Cargo.lock")).unwrap();
}

/// Builds a plugin into the chapter's folder, and calls what it offers.
fn plugin(folder: &Path, name: &str, what: &str) {
    lossmith(folder, &["plugin", "build", name, "--out", "."], what);
    let file = format!("{name}.wasm");
    let offered: Json = serde_json::from_str(&lossmith(folder, &["--json", "plugin", "inspect", &file], what)).unwrap();
    let row = |i: i32| (1..5).map(|j| f64::from(i * 5 + j * 3).sin()).collect::<Vec<_>>();
    let rows: Vec<_> = (0..6).map(row).collect();
    let case = json!({ "embeddings": rows, "labels": [0, 1, 0, 2, 1, 0], "teacher": rows, "thresholds": [0.2, 0.4] });
    let input = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(input.path(), case.to_string()).unwrap();
    for strategy in offered["strategies"].as_array().unwrap() {
        let [role, strategy] = ["role", "name"].map(|key| strategy[key].as_str().unwrap());
        if role != "balance" {
            let input = input.path().to_str().unwrap();
            let arguments = ["plugin", "eval", &file, "--role", role, "--strategy", strategy, "--input", input];
            lossmith(folder, &arguments, what);
        }
    }
}

/// Runs code for PyTorch where that is, else only compiles it.
fn torch(folder: &Path, code: &str, what: &str) {
    let python = |arguments: &[&str]| command("python3", folder).args(arguments).output().unwrap();
    if python(&["-c", "import torch"]).status.success() {
        println!("{what}\n{}", good(python(&["-c", code]), what));
    } else {
        compiles(folder, code, what);
    }
}

fn compiles(folder: &Path, code: &str, what: &str) {
    let script = "import sys; compile(sys.argv[1], 'block', 'exec')";
    good(command("python3", folder).args(["-c", script, code]).output().unwrap(), what);
}

// ---- The contract ----

/// What stands before the generated part.
const MARK: &str = "<!-- What follows is made of wit/ by tests/plugins/guide.rs. -->\n";

/// The contract as it is in `wit/`; with `LOSSMITH_BLESS=1` it is written.
#[test]
fn the_contract_is_that_of_wit() {
    let file = repository().join("docs/contract.md");
    let found = read(&file);
    let (head, _) = found.split_once(MARK).unwrap();
    let expected = format!("{head}{MARK}{}", contract());
    if std::env::var_os("LOSSMITH_BLESS").is_some() {
        std::fs::write(&file, expected).unwrap();
    } else {
        assert!(found == expected, "docs/contract.md is not that of wit/: run the test with LOSSMITH_BLESS=1");
    }
}

/// The documentation of wit/ as Markdown. The files have one item a line, each behind its comment and its version.
fn contract() -> String {
    let mut out = String::new();
    for file in ["tensor.wit", "context.wit", "roles.wit"] {
        let (mut about, mut since) = (Vec::new(), String::new());
        for line in read(&repository().join("wit").join(file)).lines().map(str::trim) {
            if let Some(text) = line.strip_prefix("///") {
                about.push(text.trim().to_owned());
                continue;
            }
            if let Some(version) = line.strip_prefix("@since(version = ") {
                version.trim_end_matches(')').clone_into(&mut since);
                continue;
            }
            let text = std::mem::take(&mut about);
            let since = match std::mem::take(&mut since).as_str() {
                "" | "0.1.0" => String::new(),
                version => format!(" (since {version})"),
            };
            if line.is_empty() || line == "}" || line.starts_with("package ") || line.starts_with("use ") {
                continue;
            }
            if let Some(title) = line.strip_prefix("// ---- ") {
                out += &format!("\n#### {}\n\n", title.trim_end_matches(" ----"));
            } else if let Some(opened) = line.strip_suffix(" {") {
                let (kind, name) = opened.split_once(' ').unwrap();
                let level = if ["interface", "world"].contains(&kind) { "##" } else { "###" };
                out += &format!("\n{level} `{name}`, {kind}{since}\n\n{}\n\n", text.join("\n"));
            } else {
                let item = line.trim_end_matches([';', ',']);
                let text = if text.is_empty() { String::new() } else { format!(": {}", text.join(" ")) };
                out += &format!("- `{item}`{since}{text}\n");
            }
        }
    }
    // One empty line between parts.
    while out.contains("\n\n\n") {
        out = out.replace("\n\n\n", "\n\n");
    }
    out
}
