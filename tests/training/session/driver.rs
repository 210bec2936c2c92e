//! A training that runs while the test edits what it is made of.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Lab, Outcome, Run, unwrapped};

/// Settings of every session: it never ends by itself, and looks at files soon.
const SETS: [&str; 4] = ["epochs=1000000", "session.quiet-ms=20", "evaluation.every=1000000", "run.keep=3"];
/// A failure limit, not a measurement: nothing here takes long.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) struct Live<'a> {
    pub(super) lab: &'a Lab,
    pub(crate) run: Run,
    /// The first event.
    pub(super) ready: Value,
    child: Reaped,
    lines: Receiver<Value>,
    /// Numbers of candidates that are not this test's.
    foreign: Vec<Value>,
}

impl<'a> Live<'a> {
    /// Starts `train --watch` and waits for the first step.
    pub(super) fn start(lab: &'a Lab, sets: &[&str]) -> Self {
        let sets = [SETS.as_slice(), sets].concat();
        let mut arguments = lab.training(&sets);
        arguments.push("--watch");
        Self::command(lab, &arguments)
    }

    /// Starts `train`, which follows no files.
    pub(super) fn unwatched(lab: &'a Lab, sets: &[&str]) -> Self {
        let sets = [SETS.as_slice(), sets].concat();
        Self::command(lab, &lab.training(&sets))
    }

    /// Goes on with a run under `--watch`.
    pub(super) fn resume(lab: &'a Lab, run: &Run) -> Self {
        Self::command(lab, &["--json", "train", "--resume", run.name(), "--watch"])
    }

    /// Goes on with a run, with other arguments than `--watch`.
    pub(super) fn resume_with(lab: &'a Lab, run: &Run, arguments: &[&str]) -> Self {
        Self::command(lab, &[&["--json", "train", "--resume", run.name()], arguments].concat())
    }

    fn command(lab: &'a Lab, arguments: &[&str]) -> Self {
        Self::of(lab, lab.command(arguments))
    }

    /// Starts a command that trains.
    pub(crate) fn of(lab: &'a Lab, mut command: Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                // The test has ended.
                let Ok(()) = sender.send(serde_json::from_str(&line.unwrap()).unwrap()) else { return };
            }
        });
        let run = Run::at(PathBuf::new());
        let mut live = Self { lab, run, ready: Value::Null, child: Reaped(child), lines, foreign: Vec::new() };
        live.ready = live.event("ready");
        live.run = Run::at(lab.path(live.ready["run"].as_str().unwrap()));
        live.event("step");
        live
    }

    /// The next event of a kind; those before it are passed over.
    #[track_caller]
    pub(crate) fn event(&mut self, kind: &str) -> Value {
        self.find(kind, |event| event["event"] == kind)
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "a test")]
    fn find(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(event) if event["event"] == "candidate" && foreign(&event) => {
                    self.foreign.push(event["number"].clone());
                }
                Ok(event) if wanted(&event) && !self.foreign.contains(&event["number"]) => return event,
                Ok(_) => {}
                Err(_) => {
                    let mut said = String::new();
                    self.child.0.kill().unwrap();
                    self.child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                    panic!(
                        "there was no {what}; journal:\n{}\n{said}",
                        fs::read_to_string(self.run.path.join("journal.jsonl")).unwrap_or_default()
                    );
                }
            }
        }
    }

    /// The next verdict that is not of what took another's place.
    #[track_caller]
    pub(crate) fn verdict(&mut self) -> Value {
        self.find("verdict", |event| event["event"] == "verdict" && event["verdict"] != "superseded")
    }

    /// Waits until more steps than these are complete.
    #[track_caller]
    pub(super) fn beyond(&mut self, step: u64) {
        let steps = self.ready["steps"].as_u64().unwrap();
        let complete = |event: &Value| Some(event["epoch"].as_u64()? * steps + event["step"].as_u64()?);
        self.find("later step", |event| event["event"] == "step" && complete(event) > Some(step));
    }

    /// Pauses the training; returns the step at which a candidate is taken that is accepted meanwhile. After the last
    /// step of an epoch that is this very step.
    pub(super) fn hold(&self) -> u64 {
        let (step, next) = self.pause();
        if step % self.ready["steps"].as_u64().unwrap() == 0 { step } else { next }
    }

    /// Pauses the training inside an epoch; returns the steps that are complete.
    pub(super) fn pause_inside(&mut self) -> u64 {
        self.pause_where(|step, steps| step % steps != 0)
    }

    /// Pauses the training after the last step of an epoch.
    pub(super) fn pause_at_the_end(&mut self) -> u64 {
        self.pause_where(|step, steps| step % steps == 0)
    }

    fn pause_where(&mut self, wanted: impl Fn(u64, u64) -> bool) -> u64 {
        loop {
            let (step, _) = self.pause();
            if wanted(step, self.ready["steps"].as_u64().unwrap()) {
                return step;
            }
            self.go_on();
            self.beyond(step);
        }
    }

    /// `lossmith session COMMAND RUN REST`.
    pub(crate) fn session(&self, command: &str, rest: &[&str]) -> Outcome {
        self.lab.lossmith(&[&["session", command, self.run.name()], rest].concat())
    }

    /// Sends a command as `lossmith session` does.
    #[track_caller]
    pub(super) fn ask(&self, request: &Value) -> Value {
        let mut stream = UnixStream::connect(self.run.path.join("control/socket")).unwrap();
        writeln!(stream, "{request}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    #[track_caller]
    pub(crate) fn command_done(&self, command: &str) {
        let answer = self.ask(&json!({ "command": command }));
        assert_eq!(answer["answer"], "done", "{answer}");
    }

    pub(super) fn status(&self) -> Value {
        self.ask(&json!({ "command": "status" }))["snapshot"].clone()
    }

    /// Pauses the training; returns the steps that are complete, and the step of the next epoch's start.
    pub(super) fn pause(&self) -> (u64, u64) {
        self.command_done("pause");
        let status = self.status();
        let (step, steps) = (status["step"].as_u64().unwrap(), status["steps-per-epoch"].as_u64().unwrap());
        // A pause at the end of an epoch is before the next one takes what is accepted.
        (step, step.div_ceil(steps) * steps)
    }

    pub(super) fn go_on(&self) {
        self.command_done("resume");
    }

    #[track_caller]
    pub(super) fn set(&self, key_value: &str) -> Value {
        self.ask(&json!({ "command": "set", "sets": [key_value] }))
    }

    /// Edits the experiment file and waits for the verdict.
    #[track_caller]
    pub(super) fn edit(&mut self, from: &str, to: &str) -> Value {
        self.lab.replace(from, to);
        self.verdict()
    }

    /// Edits the experiment file, which must be accepted, and waits for the swap.
    #[track_caller]
    pub(super) fn swap(&mut self, from: &str, to: &str) -> Value {
        let verdict = self.edit(from, to);
        assert_eq!(verdict["verdict"], "accepted", "{verdict}");
        self.event("swap")
    }

    pub(super) fn kill(mut self) -> Run {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
        self.run
    }

    pub(super) fn id(&self) -> u32 {
        self.child.0.id()
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> (Outcome, Run) {
        let lines: Vec<String> = self.lines.iter().map(|line| line.to_string()).collect();
        let mut stderr = String::new();
        self.child.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let code = self.child.0.wait().unwrap().code();
        (Outcome { code, stdout: lines.join("\n"), stderr: unwrapped(&stderr) }, self.run)
    }

    /// Ends the training after the epoch that is at work, and repeats it: every number and tensor must be the same.
    #[track_caller]
    pub(super) fn stop_and_replay(mut self) -> Run {
        self.event("epoch");
        self.command_done("stop");
        let lab = self.lab;
        let (outcome, run) = self.finish();
        assert_eq!(outcome.code, Some(130), "{outcome:?}");
        replay(lab, &run);
        run
    }
}

/// Repeats a run; it must come out the same.
#[track_caller]
pub(super) fn replay(lab: &Lab, run: &Run) -> Value {
    let said = lab.lossmith(&["--json", "replay", run.name()]).ok();
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last["comparison"]["different"], 0, "{last}");
    assert!(last["comparison"]["equal"].as_u64().unwrap() > 0, "{last}");
    assert!(last["comparison"]["equal-tensors"].as_u64().unwrap() > 0, "{last}");
    last
}

/// A component in the lab's folder, with bytes of its own that change nothing of what it does.
pub(super) fn component(lab: &Lab, file: &str, of: &str, variant: u8) {
    let mut bytes = fs::read(crate::guests::guests().join(of).with_extension("wasm")).unwrap();
    // A custom section: id 0, size, a name of one byte, one byte of content.
    bytes.extend([0, 3, 1, b'v', variant]);
    let aside = lab.path("aside");
    fs::write(&aside, bytes).unwrap();
    fs::rename(aside, lab.path(file)).unwrap();
}

/// A child that does not outlive a test that fails.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a candidate is of shared components only: another test binary has built them again, to the same bytes.
fn foreign(candidate: &Value) -> bool {
    let origin = candidate["origin"].as_str().unwrap();
    let shared = |file: &str| file.ends_with(".wasm") && crate::guests::guests().join(file).is_file();
    origin.split(", ").all(shared)
}

/// The journal's events of a kind.
pub(super) fn journal(run: &Run, kind: &str) -> Vec<Value> {
    run.lines("journal.jsonl").into_iter().filter(|entry| entry["event"] == kind).collect()
}
