//! Following files, and the sources of crates, to say that they changed.
//!
//! Whether something changed is decided by comparing fingerprints, never by an event: events only wake the thread, and
//! every second it looks even without one. A folder is watched before what is in it is looked at, so that a change is
//! either seen or wakes. Every look adds all watches again: the inode behind a path may be another one, and `notify`
//! itself drops the watch of a folder that is moved, even when it comes back. Without events, changes are seen later.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{fs, io};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::toolchain::sources::walk;

/// The longest time between two looks.
const POLL: Duration = Duration::from_secs(1);
/// The shortest time between two looks that events ask for, however many there are.
const PAUSE: Duration = Duration::from_millis(20);
/// What never becomes quiet is reported after this many times the quiet time.
const PATIENCE: u32 = 10;

/// Why nothing can be followed.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the thread that follows files")]
pub struct WatchError(#[from] io::Error);

/// What is followed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Followed {
    /// A single file, which need not exist yet. Where it is a symbolic link, the link and the file behind it.
    File(PathBuf),
    /// The sources of plugins below a folder, as [`walk`] finds them.
    Sources(PathBuf),
}

/// Follows files on a thread of its own until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    tasks: Sender<Task>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// `changed` is called on the watcher's thread with what changed since it was last called (sorted, without
    /// duplicates), after the followed places have been quiet for `quiet`, but at the latest 10 x `quiet` after the
    /// first change. A change after `seen` is not missed.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        seen: Seen,
        quiet: Duration,
        changed: impl FnMut(Vec<Followed>) + Send + 'static,
    ) -> Result<Self, WatchError> {
        let (tasks, received) = mpsc::channel();
        let waker = tasks.clone();
        let mut follower = Follower { places: BTreeMap::new(), pending: None, quiet, changed };
        follower.follow(seen.0);
        let thread = std::thread::Builder::new().name("watch".into()).spawn(move || follower.run(&received, waker))?;
        Ok(Self { tasks, thread: Some(thread) })
    }

    /// Follows these from now on, in place of what it followed. A change after `follow` returned is not missed; a
    /// report that is under way may still name what was followed before.
    pub fn follow(&self, followed: Vec<Followed>) {
        // Nobody receives it only after `changed` panicked.
        let _ = self.tasks.send(Task::Follow(Seen::now(followed).0));
    }
}

impl Drop for Watcher {
    /// Waits for a call of `changed` that is under way. What is not yet reported never is.
    fn drop(&mut self) {
        let _ = self.tasks.send(Task::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How files were at one time.
#[derive(Clone, Debug)]
pub struct Seen(BTreeMap<Followed, Fingerprint>);

impl Seen {
    /// How they are.
    #[must_use]
    pub fn now(followed: Vec<Followed>) -> Self {
        let found: Vec<_> = followed.iter().map(|followed| fingerprint(followed, &mut |_| ())).collect();
        Self(followed.into_iter().zip(found).collect())
    }

    /// Takes in each `Cargo.lock` that was made since then: a first build writes one.
    pub(super) fn with_new_locks(mut self) -> Self {
        for (followed, before) in &mut self.0 {
            let found = fingerprint(followed, &mut |_| ()).into_iter();
            let locks = found.filter(|(path, _)| path.ends_with("Cargo.lock") && !before.contains_key(path));
            let locks: Vec<_> = locks.collect();
            before.extend(locks);
        }
        self
    }
}

/// What the thread waits for.
enum Task {
    Wake,
    Follow(BTreeMap<Followed, Fingerprint>),
    Stop,
}

/// The files of a followed place.
type Fingerprint = BTreeMap<PathBuf, Mark>;

/// What tells a state of a file from another: that of the file, then that of the symbolic link (if it is none, the same
/// again), each nothing if there is none. Device, inode and length; seconds and nanoseconds of the last changes of
/// content and of inode.
type Mark = [Option<([u64; 3], [i64; 4])>; 2];

fn mark(path: &Path) -> Mark {
    [fs::metadata(path), fs::symlink_metadata(path)].map(|found| {
        let found = found.ok()?;
        let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
        Some(([found.dev(), found.ino(), found.len()], times))
    })
}

/// Calls `watch` with each folder before it looks into it.
fn fingerprint(followed: &Followed, watch: &mut impl FnMut(&Path)) -> Fingerprint {
    let mut found = BTreeMap::new();
    match followed {
        Followed::File(path) => {
            watch(parent(path));
            if let (true, Ok(target)) = (path.is_symlink(), path.canonicalize()) {
                watch(parent(&target));
            }
            found.insert(path.clone(), mark(path));
        }
        Followed::Sources(folder) => walk(folder, watch, &mut |path| _ = found.insert(path.to_owned(), mark(path))),
    }
    found
}

/// The parent of a bare name is the empty path.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The folders whose events wake the thread.
struct Folders {
    /// Nothing if the system cannot give events.
    notify: Option<RecommendedWatcher>,
    /// Device and inode of what is watched.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    /// What was asked for in this look.
    wanted: BTreeSet<PathBuf>,
}

impl Folders {
    fn watch(&mut self, folder: &Path) {
        let (Some(notify), Ok(found)) = (&mut self.notify, fs::metadata(folder)) else { return };
        if !self.wanted.insert(folder.to_owned()) {
            return;
        }
        let inode = (found.dev(), found.ino());
        if self.watched.get(folder).is_some_and(|before| *before != inode) {
            let _ = notify.unwatch(folder);
        }
        if notify.watch(folder, RecursiveMode::NonRecursive).is_ok() {
            self.watched.insert(folder.to_owned(), inode);
        }
    }

    /// Ends the watches that were not asked for in this look.
    fn end_look(&mut self) {
        let (Some(notify), wanted) = (&mut self.notify, std::mem::take(&mut self.wanted)) else { return };
        for (folder, _) in self.watched.extract_if(.., |folder, _| !wanted.contains(folder)) {
            let _ = notify.unwatch(&folder);
        }
    }
}

/// A followed place, as it was when it was last reported and when it was last looked at.
struct WatchedPlace {
    reported: Fingerprint,
    seen: Fingerprint,
}

/// The state of the thread.
struct Follower<F> {
    places: BTreeMap<Followed, WatchedPlace>,
    /// When the first and the last of the changes that are not yet reported were seen.
    pending: Option<(Instant, Instant)>,
    quiet: Duration,
    changed: F,
}

impl<F: FnMut(Vec<Followed>)> Follower<F> {
    fn run(mut self, tasks: &Receiver<Task>, waker: Sender<Task>) {
        // Between two looks at most one task to wake is sent.
        let woken = Arc::new(AtomicBool::new(false));
        let wake = Arc::clone(&woken);
        let notify = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // A look is an access itself and would wake the thread for ever.
            let is_access = event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_)));
            if !is_access && !wake.swap(true, Ordering::SeqCst) {
                let _ = waker.send(Task::Wake);
            }
        });
        let mut folders = Folders { notify: notify.ok(), watched: BTreeMap::new(), wanted: BTreeSet::new() };
        let (mut looked, mut wait) = (Instant::now(), Duration::ZERO);
        loop {
            match tasks.recv_timeout(wait.saturating_sub(looked.elapsed())) {
                Ok(Task::Wake) => wait = wait.min(PAUSE),
                Ok(Task::Follow(found)) => {
                    self.follow(found);
                    wait = Duration::ZERO;
                }
                Ok(Task::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    woken.store(false, Ordering::SeqCst);
                    wait = self.look(&mut folders);
                    looked = Instant::now();
                }
            }
        }
    }

    /// What was followed before keeps its state.
    fn follow(&mut self, found: BTreeMap<Followed, Fingerprint>) {
        let mut before = std::mem::take(&mut self.places);
        for (followed, found) in found {
            let new = || WatchedPlace { reported: found.clone(), seen: found };
            let place = before.remove(&followed).unwrap_or_else(new);
            self.places.insert(followed, place);
        }
    }

    /// Reports what is due, and says how long to wait for the next look.
    fn look(&mut self, folders: &mut Folders) -> Duration {
        let begun = Instant::now();
        let mut differs = false;
        for (followed, place) in &mut self.places {
            let found = fingerprint(followed, &mut |folder| folders.watch(folder));
            differs |= found != place.seen;
            place.seen = found;
        }
        folders.end_look();
        let now = Instant::now();
        if differs {
            self.pending = Some((self.pending.map_or(now, |(first, _)| first), now));
        }
        let Some((first, last)) = self.pending else { return POLL };
        // It was quiet from the end of the last look that saw a change to the begin of this one.
        let rest = self.quiet.saturating_sub(begun.saturating_duration_since(last));
        let rest = rest.min(self.quiet.saturating_mul(PATIENCE).saturating_sub(now - first));
        if rest.is_zero() {
            self.report();
            return POLL;
        }
        rest.min(POLL)
    }

    fn report(&mut self) {
        self.pending = None;
        let mut report = Vec::new();
        for (followed, place) in self.places.iter_mut().filter(|(_, place)| place.seen != place.reported) {
            place.reported = place.seen.clone();
            report.push(followed.clone());
        }
        if !report.is_empty() {
            (self.changed)(report);
        }
    }
}

#[cfg(test)]
mod tests;
