//! Builds that never end: nothing of them outlives the command, and a better source is not held up by them.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::json;

use crate::guests::guest;
use crate::session::driver::Live;
use crate::support::{Lab, MINED_TRIPLETS, Outcome, Running};

/// A failure limit, not a measurement.
const PATIENCE: Duration = Duration::from_secs(300);

/// The build script of a crate: it says that it began, and never ends.
const ENDLESS: &str = r#"//! Never ends.
use std::io::Write;

fn main() {
    let mut pipe = std::fs::OpenOptions::new().write(true).open("../pipe").unwrap();
    writeln!(pipe, "begun").unwrap();
    loop {
        std::hint::spin_loop();
    }
}
"#;

/// The FIFO `pipe` of a lab, which processes of a build have open.
struct Pipe(Receiver<String>);

impl Pipe {
    fn of(lab: &Lab) -> Self {
        let path = lab.path("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let (sender, said) = channel();
        std::thread::spawn(move || {
            let mut pipe = BufReader::new(fs::File::open(path).unwrap());
            let mut first = String::new();
            pipe.read_line(&mut first).unwrap();
            sender.send(first).unwrap();
            let mut rest = String::new();
            // Until nobody has it open any more.
            pipe.read_to_string(&mut rest).unwrap();
            sender.send(rest + "over").unwrap();
        });
        Self(said)
    }

    #[track_caller]
    fn says(&self, what: &str) {
        assert_eq!(self.0.recv_timeout(PATIENCE).as_deref().map(str::trim), Ok(what));
    }
}

/// The plugin `top`, and a program in the place of `componentize-py`. What it makes is the component of the losses, and
/// the comment of `plugin.py` in a section of its own. A process of it never ends if that comment is `endless`.
fn put_plugin(lab: &Lab, comment: &str) {
    fs::create_dir(lab.path("top")).unwrap();
    lab.write("top/plugin.toml", "language = \"python\"\nname = \"top\"\nroles = [\"loss\"]\n");
    save(lab, comment);
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && {{ echo componentize-py 0.25.1; exit; }}\n\
         comment=$(sed -n 's/^# //p' plugin.py)\n\
         [ \"$comment\" = endless ] && sh -c 'exec 3> {}; echo begun >&3; while :; do :; done'\n\
         for made; do :; done\ncp {} \"$made\"\nprintf \"\\\\000\\\\003\\\\001v$comment\" >> \"$made\"\n",
        lab.path("pipe").display(),
        guest("lossmith-losses").display()
    );
    lab.write("tool", &script);
    fs::set_permissions(lab.path("tool"), fs::Permissions::from_mode(0o755)).unwrap();
}

fn save(lab: &Lab, comment: &str) {
    lab.write("top/plugin.py", &format!("# {comment}\n"));
}

/// The crate `loops`, which needs nothing.
fn put_crate(lab: &Lab, build: &str) {
    fs::create_dir_all(lab.path("loops/src")).unwrap();
    let manifest = "[package]\nname = \"loops\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\n\
                    crate-type = [\"cdylib\"]\n";
    lab.write("loops/Cargo.toml", manifest);
    lab.write("loops/src/lib.rs", "//! Nothing.\n");
    lab.write("loops/build.rs", build);
}

/// A command with tools and caches of the lab's own.
fn command(lab: &Lab, arguments: &[&str]) -> Command {
    let mut command = lab.command(arguments);
    command.env("LOSSMITH_COMPONENTIZE_PY", lab.path("tool")).env("LOSSMITH_PYTHON", "");
    command.env("XDG_CACHE_HOME", lab.path("cache")).env_remove("CARGO_TARGET_DIR");
    command
}

/// A training that follows the plugin `top`.
fn watched(lab: &Lab) -> Live<'_> {
    lab.replace("plugin = \"losses\", strategy = \"triplet\"", "plugin = { crate = \"top\" }, strategy = \"triplet\"");
    let mut arguments = lab.training(&["epochs=1000000", "session.quiet-ms=20", "evaluation.every=1000000"]);
    arguments.push("--watch");
    Live::of(lab, command(lab, &arguments))
}

#[test]
fn the_tools_of_a_build_end_with_the_command_however_it_ends() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGKILL] {
        for folder in ["top", "loops"] {
            let lab = Lab::new(MINED_TRIPLETS);
            put_plugin(&lab, "endless");
            put_crate(&lab, ENDLESS);
            let pipe = Pipe::of(&lab);
            let running = Running::start(command(&lab, &["plugin", "build", folder]));
            pipe.says("begun");
            running.signal(signal);
            let outcome = running.finish();
            assert_eq!(outcome.code, None, "{outcome:?}");
            pipe.says("over");
        }
    }
}

#[test]
fn a_training_that_ends_leaves_no_build_behind() {
    let lab = Lab::new(MINED_TRIPLETS);
    put_plugin(&lab, "1");
    let live = watched(&lab);
    let pipe = Pipe::of(&lab);
    save(&lab, "endless");
    pipe.says("begun");
    live.command_done("stop");
    let (outcome, _) = live.finish();
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
    pipe.says("over");
}

#[test]
fn a_source_that_is_corrected_is_not_held_up_by_a_build_that_never_ends() {
    let lab = Lab::new(MINED_TRIPLETS);
    put_plugin(&lab, "1");
    let mut live = watched(&lab);
    let pipe = Pipe::of(&lab);
    save(&lab, "endless");
    pipe.says("begun");
    let first = live.event("candidate");
    let status = live.session("status", &[]).ok();
    assert!(status.contains("the plugin in ") && status.contains("top is being built, for "), "{status}");
    // It waits for what is built, and is answered after that.
    let mut set = lab.command(&["session", "set", live.run.name(), "optimizer.learning-rate=0.004"]);
    let set = set.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    save(&lab, "2");
    pipe.says("over");
    let verdict = live.event("verdict");
    assert_eq!((&verdict["number"], &verdict["verdict"]), (&first["number"], &json!("superseded")), "{verdict}");
    let verdict = live.verdict();
    assert_eq!((&verdict["verdict"], &verdict["changes"]), (&json!("accepted"), &json!([])), "{verdict}");
    let answer = set.wait_with_output().unwrap();
    assert!(answer.status.success(), "{answer:?}");
    let status = live.session("status", &[]).ok();
    assert!(!status.contains("is being built"), "{status}");
    live.event("swap");
    live.command_done("stop");
    let (outcome, _) = live.finish();
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
}

/// Nothing of a crate's own may act on the terminal.
#[test]
fn what_a_crate_says_while_it_is_built_moves_no_cursor() {
    let lab = Lab::new(MINED_TRIPLETS);
    put_crate(&lab, "//! Says something.\nfn main() { println!(\"cargo::warning=\\u{1b}]0;title\\u{7}said\"); }\n");
    let mut command = command(&lab, &["plugin", "build", "loops"]);
    let outcome = Outcome::of(command.env("CARGO_TERM_COLOR", "always"));
    assert!(outcome.stderr.contains("said") && !outcome.stderr.contains(['\u{1b}', '\u{7}']), "{outcome:?}");
    outcome.fails(1, &["exports no plugin"]);
}

#[test]
fn a_cache_folder_that_cannot_be_used_is_no_obstacle() {
    let lab = Lab::new(MINED_TRIPLETS);
    put_crate(&lab, "//! Nothing.\nfn main() {}\n");
    lab.write("file", "");
    let mut command = command(&lab, &["plugin", "build", "loops"]);
    // What it compiles is not a plugin; it is compiled.
    let outcome = Outcome::of(command.env("XDG_CACHE_HOME", lab.path("file/cache")));
    let own = Path::new("loops/target").display().to_string();
    outcome.fails(1, &["cannot be shared with other plugins", &own, "exports no plugin"]);
    assert!(lab.path("loops/target").is_dir());
}
