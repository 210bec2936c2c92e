//! The build under way: others can see it and abandon it, and no process of it outlives this one.
//!
//! The tools of a build run code of the plugin's author, which may never end: build scripts, macros, the top level of a
//! module. They are in a process group of their own, with a watchdog that reads from a pipe of which only this process
//! has the other end. Whether that is let go of or the system closes it, since this process ended in whatever way, the
//! watchdog kills the group and itself.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::sources::Sources;

/// What the watchdog does: 0 is its own group.
const WATCH: &str = "read -r _; kill -KILL 0";
/// How often a build that waits for another one looks whether it is abandoned.
const GLANCE: Duration = Duration::from_millis(50);

/// The build under way, if there is one. One at a time.
#[derive(Clone, Debug, Default)]
pub struct UnderWay(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    build: Option<Build>,
    /// Keeps the group at work alive.
    leash: Option<ChildStdin>,
    abandoned: bool,
    round: u64,
}

#[derive(Debug)]
struct Build {
    dir: PathBuf,
    /// As they were when it began.
    sources: Sources,
    begun: Instant,
}

impl UnderWay {
    /// The folder of the plugin that is being built, and for how long.
    #[must_use]
    pub fn building(&self) -> Option<(PathBuf, Duration)> {
        self.state().build.as_ref().map(|build| (build.dir.clone(), build.begun.elapsed()))
    }

    /// Counts how often [`UnderWay::take_abandoned`] was asked.
    #[must_use]
    pub fn round(&self) -> u64 {
        self.state().round
    }

    /// Ends the build of this round, which fails. Nothing where none of it is under way.
    pub fn abandon(&self, round: u64) {
        let mut state = self.state();
        if state.build.is_some() && state.round == round {
            state.abandoned = true;
            state.leash = None;
        }
    }

    /// [`UnderWay::abandon`] if the plugin's sources are others than when the build began. What cargo writes itself,
    /// `Cargo.lock`, is not looked at.
    pub fn abandon_if_changed(&self, round: u64) {
        let Some((dir, _)) = self.building() else { return };
        let now = Sources::of(&dir);
        if self.state().build.as_ref().is_some_and(|build| build.dir == dir && build.sources.differ_from(&now)) {
            self.abandon(round);
        }
    }

    /// Whether a build was abandoned in this round. The next round begins.
    #[must_use]
    pub fn take_abandoned(&self) -> bool {
        let mut state = self.state();
        state.round += 1;
        std::mem::take(&mut state.abandoned)
    }

    /// From now on, until what is returned is dropped, the plugin in `dir` is being built.
    pub(super) fn begin(&self, dir: &Path) -> Begun {
        let (dir, sources) = (dir.to_owned(), Sources::of(dir));
        self.state().build = Some(Build { dir, sources, begun: Instant::now() });
        Begun(self.clone())
    }

    /// A group for tools of the build.
    pub(super) fn group(&self) -> io::Result<ProcessGroup> {
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", WATCH]).current_dir("/").process_group(0);
        let mut watchdog = watchdog.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let leash = watchdog.stdin.take();
        let group = ProcessGroup { under_way: self.clone(), watchdog };
        let mut state = self.state();
        if state.abandoned {
            // The group is dropped next, and waits for its watchdog.
            drop((state, leash));
            return Err(abandoned());
        }
        state.leash = leash;
        drop(state);
        Ok(group)
    }

    /// Runs a tool that is asked for something.
    pub(super) fn output(&self, command: &mut Command) -> io::Result<Output> {
        let group = self.group()?;
        group.spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))?.wait_with_output()
    }

    /// Waits for the lock of a file until the build is abandoned.
    pub(super) fn wait_for(&self, lock: &File) -> io::Result<()> {
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if self.state().abandoned => return Err(abandoned()),
                Err(TryLockError::WouldBlock) => std::thread::sleep(GLANCE),
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn abandoned() -> io::Error {
    io::Error::other("the build was abandoned")
}

/// A build, until this is dropped.
pub(super) struct Begun(UnderWay);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.state().build = None;
    }
}

/// A process group, whose processes are killed when this is dropped, when the build is abandoned, and when this process
/// ends. What leaves the group is not.
pub(super) struct ProcessGroup {
    under_way: UnderWay,
    watchdog: Child,
}

impl ProcessGroup {
    /// Starts a tool in the group. If this process ends meanwhile, the group is gone, and the tool does not start.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let group = i32::try_from(self.watchdog.id()).map_err(io::Error::other)?;
        command.process_group(group).spawn()
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        drop(self.under_way.state().leash.take());
        // It kills itself with the others.
        let _ = self.watchdog.wait();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::io::{BufRead, BufReader, Read};
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    /// A tool with a process of its own: neither ends by itself.
    fn endless(group: &ProcessGroup) -> (Child, BufReader<std::process::ChildStdout>) {
        let mut command = Command::new("sh");
        command.args(["-c", "sh -c 'echo begun; while :; do sleep 1000; done' & wait"]);
        let mut child = group.spawn(command.stdout(Stdio::piped())).unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "begun\n");
        (child, stdout)
    }

    /// All who could write are gone.
    fn is_over((mut child, mut stdout): (Child, BufReader<std::process::ChildStdout>)) {
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert_eq!((rest.as_str(), child.wait().unwrap().signal()), ("", Some(9)));
    }

    #[test]
    fn a_group_ends_when_it_is_dropped() {
        let under_way = UnderWay::default();
        let group = under_way.group().unwrap();
        let tool = endless(&group);
        drop(group);
        is_over(tool);
    }

    #[test]
    fn a_build_is_abandoned_when_its_sources_change() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).unwrap();
        write("Cargo.toml", "[package]\nname = \"mine\"\n");
        write("lib.rs", "one");
        let under_way = UnderWay::default();
        let begun = under_way.begin(dir.path());
        assert_eq!(under_way.building().unwrap().0, dir.path());
        let group = under_way.group().unwrap();
        let tool = endless(&group);
        write("lib.rs", "one");
        write("Cargo.lock", "version = 4\n");
        under_way.abandon_if_changed(0);
        write("lib.rs", "two");
        under_way.abandon_if_changed(1);
        assert!(!under_way.state().abandoned);
        under_way.abandon_if_changed(0);
        is_over(tool);
        assert!(under_way.group().is_err());
        drop((group, begun));
        assert!(under_way.take_abandoned() && !under_way.take_abandoned() && under_way.building().is_none());
        // Nothing is built, so there is nothing to abandon.
        under_way.abandon(under_way.round());
        assert!(under_way.group().is_ok());
    }

    #[test]
    fn a_build_that_waits_for_another_can_be_abandoned() {
        let dir = tempfile::tempdir().unwrap();
        let open = || File::create(dir.path().join("lock")).unwrap();
        let (other, mine, under_way) = (open(), open(), UnderWay::default());
        other.lock().unwrap();
        let _begun = under_way.begin(dir.path());
        under_way.abandon(0);
        assert!(under_way.wait_for(&mine).is_err());
        drop(other);
        under_way.wait_for(&mine).unwrap();
    }
}
