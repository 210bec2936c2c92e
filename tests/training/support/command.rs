//! The command as a child process.

use std::io::{BufRead, BufReader, Lines, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::guests::guests;

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    /// Without frames and line breaks, so that a sentence can be looked for.
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: unwrapped(&text(output.stderr)) }
    }

    /// The standard output of a command that went well.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }

    /// Checks how a command failed: its exit code, and phrases of its message.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, phrases: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for phrase in phrases {
            assert!(self.stderr.contains(phrase), "`{phrase}` is missing in: {}", self.stderr);
        }
    }
}

/// The text of a message in one line, without the frame that errors are printed in.
pub(crate) fn unwrapped(text: &str) -> String {
    let plain: String = text.chars().map(|c| if "×│╭╰─╯┬·╮".contains(c) { ' ' } else { c }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The command in a folder, with the components of the repository as its standard plugins.
pub(crate) fn lossmith(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lossmith"));
    command.current_dir(folder).args(arguments).env("LOSSMITH_PLUGINS", guests()).env_remove("LOSSMITH_DATA");
    // Words of tables are looked for, which a narrow table breaks.
    command.env("COLUMNS", "500");
    command
}

/// A command at work, whose lines are read while it runs.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads until the first event of a kind.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, event: &str) {
        self.event(event);
    }

    /// The next event of a kind; those before it are passed over.
    #[track_caller]
    pub(crate) fn event(&mut self, event: &str) -> Value {
        let mut events = self.lines.by_ref().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        let found = events.find(|line| line["event"] == event);
        assert!(found.is_some(), "there was no event `{event}`");
        found.unwrap_or_default()
    }

    #[expect(unsafe_code, reason = "there is no safe way to send a signal")]
    pub(crate) fn signal(&self, signal: i32) {
        let id = i32::try_from(self.child.id()).unwrap();
        // SAFETY: the call takes two numbers. The child has not been waited for, so the id is still its own.
        assert_eq!(unsafe { libc::kill(id, signal) }, 0);
    }

    pub(crate) fn finish(mut self) -> Outcome {
        let stdout = self.lines.map(Result::unwrap).collect::<Vec<_>>().join("\n");
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        Outcome { code: self.child.wait().unwrap().code(), stdout, stderr: unwrapped(&stderr) }
    }
}
