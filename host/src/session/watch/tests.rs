#![expect(clippy::unwrap_used, reason = "a test")]

use std::io::Write;
use std::os::unix::fs::symlink;
use std::sync::mpsc::TryRecvError;

use super::*;

const QUIET: Duration = Duration::from_millis(200);

/// Files in a folder, and a watcher of some. Each act changes what is there at one instant: were it two, a slow
/// machine could be quiet between them.
struct Test {
    folder: tempfile::TempDir,
    watcher: Watcher,
    reports: Receiver<Vec<Followed>>,
}

impl Test {
    /// Follows files, and sources where the name ends with a slash.
    fn start(names: &[&str], quiet: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for below in ["one", "two", "crates/src", "crates/target"] {
            fs::create_dir_all(folder.path().join(below)).unwrap();
        }
        for name in ["a", "b", "c", "one/file", "two/file", "crates/src/lib.rs"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        symlink("one/file", folder.path().join("link")).unwrap();
        symlink("one", folder.path().join("way")).unwrap();
        let (sender, reports) = mpsc::channel();
        let seen = Seen::now(followed(folder.path(), names));
        let watcher = Watcher::start(seen, quiet, move |report| sender.send(report).unwrap()).unwrap();
        Self { folder, watcher, reports }
    }

    /// Begins anew until the machine did it all within the quiet time.
    fn in_time(names: &[&str], quiet: Duration, act: impl Fn(&Self)) -> Self {
        let attempt = |_| {
            let (test, begun) = (Self::start(names, quiet), Instant::now());
            act(&test);
            (begun.elapsed() < quiet).then_some(test)
        };
        (0..100).find_map(attempt).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str) {
        fs::OpenOptions::new().append(true).open(self.path(name)).unwrap().write_all(b"more").unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Puts a file, or a symbolic link if there is a target, in the place of what was there.
    fn put(&self, name: &str, target: Option<&str>) {
        match target {
            Some(target) => symlink(target, self.path(".aside")).unwrap(),
            None => fs::write(self.path(".aside"), "something new").unwrap(),
        }
        self.rename(".aside", name);
    }

    /// The next report is this one.
    fn reports(&self, names: &[&str]) {
        let report = self.reports.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(report, followed(self.folder.path(), names));
    }

    /// Nothing is reported but a change of `b`, which must be followed. The thread ends.
    fn ends(self) {
        self.append("b");
        self.reports(&["b"]);
        drop(self.watcher);
        assert_eq!(self.reports.try_recv(), Err(TryRecvError::Disconnected));
    }
}

fn followed(folder: &Path, names: &[&str]) -> Vec<Followed> {
    let one = |name: &&str| match name.strip_suffix('/') {
        Some(name) => Followed::Sources(folder.join(name)),
        None => Followed::File(folder.join(name)),
    };
    names.iter().map(one).collect()
}

#[test]
fn a_write_a_rename_a_removal_and_a_return_are_each_reported_once() {
    let test = Test::start(&["b", "a", "a"], QUIET);
    test.append("a");
    test.reports(&["a"]);
    test.put("a", None);
    test.reports(&["a"]);
    fs::remove_file(test.path("a")).unwrap();
    test.reports(&["a"]);
    test.put("a", None);
    test.reports(&["a"]);
    test.ends();
}

#[test]
fn a_burst_and_two_files_at_once_come_in_one_report() {
    let test = Test::in_time(&["c", "b", "a"], QUIET, |test| {
        (0..10).for_each(|_| test.append("a"));
        test.append("c");
    });
    test.reports(&["a", "c"]);
    test.ends();
}

#[test]
fn what_never_rests_is_reported_when_patience_ends() {
    let test = Test::start(&["a"], QUIET);
    let (begun, mut longest) = (Instant::now(), Duration::ZERO);
    let attempt = |_| {
        let begun = Instant::now();
        test.append("a");
        let report = test.reports.recv_timeout(Duration::from_millis(5)).ok();
        longest = longest.max(begun.elapsed());
        report
    };
    let report = (0..4000).find_map(attempt).unwrap();
    assert_eq!(report, followed(test.folder.path(), &["a"]));
    // A slow machine may have rested.
    assert!(begun.elapsed() >= PATIENCE * QUIET || longest >= QUIET / 2);
}

#[test]
fn accesses_files_of_editors_and_what_came_back_are_not_reported() {
    let test = Test::in_time(&["a", "b", "way/file"], QUIET, |test| {
        for name in [".a.swp", "a~", "4913"] {
            fs::write(test.path(name), fs::read(test.path("a")).unwrap()).unwrap();
        }
        fs::remove_file(test.path("4913")).unwrap();
        test.put("way", Some("two"));
        test.put("way", Some("one"));
    });
    test.ends();
}

#[test]
fn a_link_is_swapped_and_its_target_changes() {
    let test = Test::start(&["b", "link"], QUIET);
    test.put("link", Some("two/file"));
    test.reports(&["link"]);
    test.append("two/file");
    test.reports(&["link"]);
    test.append("one/file");
    test.ends();
}

#[test]
fn a_folder_goes_and_returns_with_another_content() {
    let test = Test::start(&["b", "one/file"], QUIET);
    test.rename("one", "away");
    test.reports(&["one/file"]);
    test.append("away/file");
    test.rename("away", "one");
    test.reports(&["one/file"]);
    test.append("one/file");
    test.reports(&["one/file"]);
    test.ends();
}

#[test]
fn sources_are_followed_without_target_and_notes() {
    let test = Test::start(&["b", "crates/"], QUIET);
    fs::create_dir(test.path("crates/src/deep")).unwrap();
    for name in ["crates/src/lib.rs", "crates/src/deep/new.rs", "crates/Cargo.lock", "crates/Cargo.toml"] {
        test.put(name, None);
        test.reports(&["crates/"]);
    }
    for name in ["crates/target/x.rs", "crates/notes.txt", "crates/src/.#lib.rs"] {
        test.put(name, None);
    }
    test.ends();
}

#[test]
fn following_others_keeps_what_is_known_of_those_that_stay() {
    let test = Test::start(&["a", "b"], QUIET);
    test.append("b");
    test.watcher.follow(followed(test.folder.path(), &["b", "c"]));
    test.reports(&["b"]);
    test.append("a");
    test.append("c");
    test.reports(&["c"]);
    test.ends();
}

#[test]
fn events_wake_the_thread() {
    let test = Test::in_time(&["a", "crates/", "link"], QUIET / 4, |test| {
        // Here `notify` drops its watch.
        test.rename("crates/src", "crates/away");
        test.rename("crates/away", "crates/src");
    });
    test.append("a");
    test.reports(&["a"]);
    let begun = Instant::now();
    for (name, report) in [("a", "a"), ("one/file", "link"), ("crates/src/lib.rs", "crates/")].repeat(15) {
        test.append(name);
        test.reports(&[report]);
    }
    // Each change comes right after a look; without events it would be seen a second later.
    let has_events = notify::recommended_watcher(|_| ()).is_ok();
    assert!(begun.elapsed() < 15 * POLL || !has_events);
}

#[test]
fn a_drop_ends_the_wait_for_quiet() {
    let test = Test::start(&["a"], Duration::MAX);
    test.append("a");
    drop(test.watcher);
    assert_eq!(test.reports.try_recv(), Err(TryRecvError::Disconnected));
}
