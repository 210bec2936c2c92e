//! Which runs there are below the folders of a board, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::thread;

use lossmith_run::{Run, find};

use crate::BoardError;
use crate::overview::{Overview, chain};

/// The runs of a board.
#[derive(Debug)]
pub(crate) struct Library {
    roots: Vec<PathBuf>,
    runs: BTreeMap<String, Overview>,
    /// Runs that came, went, or have something new of which nobody was told yet, whoever looked.
    news: BTreeSet<String>,
    /// Folders that could not be read.
    pub(crate) problems: Vec<String>,
}

impl Library {
    /// Of the runs in these folders and below them; a folder may be a run itself.
    ///
    /// # Errors
    /// One of them is not there.
    pub(crate) fn new(roots: &[PathBuf]) -> Result<Self, BoardError> {
        if let Some(path) = roots.iter().find(|path| !path.is_dir()) {
            return Err(BoardError::NoFolder { path: path.clone() });
        }
        Ok(Self { roots: roots.to_vec(), runs: BTreeMap::new(), news: BTreeSet::new(), problems: Vec::new() })
    }

    /// Looks for runs that came or went, and at what is new in each.
    pub(crate) fn look(&mut self) {
        let found = self.find();
        self.news.extend(self.runs.keys().filter(|name| !found.contains_key(*name)).cloned());
        self.runs.retain(|name, _| found.contains_key(name));
        for (name, run) in found {
            self.runs.entry(name).or_insert_with(|| Overview::new(run));
        }
        self.news.extend(look_at(self.runs.iter_mut().collect()));
    }

    /// Looks at what is new in the runs that go on, as far as they are known.
    pub(crate) fn look_at_living(&mut self) {
        self.news.extend(look_at(self.runs.iter_mut().filter(|(_, run)| run.goes_on()).collect()));
    }

    /// Looks at what is new in one run, and gives it; none if there is no such run.
    pub(crate) fn look_at(&mut self, name: &str) -> Option<&Overview> {
        let overview = self.runs.get_mut(name)?;
        if overview.look() {
            self.news.insert(name.to_owned());
        }
        Some(overview)
    }

    /// The names of the runs with something new since the last call.
    pub(crate) fn take_news(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.news)
    }

    /// All runs by name.
    pub(crate) fn runs(&self) -> &BTreeMap<String, Overview> {
        &self.runs
    }

    /// The run of a name. Only what was found has one, so a name leads nowhere else.
    pub(crate) fn run(&self, name: &str) -> Option<&Run> {
        self.runs.get(name).map(|overview| &overview.run)
    }

    /// The runs by name: their folders below the one that was given, which stands before it where there are several.
    fn find(&mut self) -> BTreeMap<String, Run> {
        let (mut runs, mut seen) = (BTreeMap::new(), BTreeSet::new());
        self.problems.clear();
        for root in &self.roots {
            let found = match Run::open(root) {
                Ok(run) => vec![run],
                Err(_) => match find(root) {
                    Err(error) => {
                        self.problems.push(chain(&error));
                        continue;
                    }
                    Ok((found, problems)) => {
                        self.problems.extend(problems.iter().map(|error| chain(error)));
                        found
                    }
                },
            };
            for run in found {
                // Two folders may have the same runs.
                let place = run.path().canonicalize().unwrap_or_else(|_| run.path().to_owned());
                if seen.insert(place) {
                    runs.insert(name(root, run.path(), self.roots.len() > 1), run);
                }
            }
        }
        runs
    }
}

fn name(root: &Path, path: &Path, several: bool) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let name = if several {
        path
    } else if below.as_os_str().is_empty() {
        Path::new(root.file_name().unwrap_or(root.as_os_str()))
    } else {
        below
    };
    name.to_string_lossy().into_owned()
}

/// Looks at some runs, on all cores; the names of those with something new.
fn look_at(mut runs: Vec<(&String, &mut Overview)>) -> BTreeSet<String> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let share = runs.len().div_ceil(cores).max(1);
    let look = |runs: &mut [(&String, &mut Overview)]| {
        let changed = runs.iter_mut().filter_map(|(name, run)| run.look().then(|| (*name).clone()));
        changed.collect::<Vec<_>>()
    };
    if runs.len() < 16 {
        return look(&mut runs).into_iter().collect();
    }
    thread::scope(|scope| {
        let threads: Vec<_> = runs.chunks_mut(share).map(|part| scope.spawn(move || look(part))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use lossmith_run::{Event, Row, RowKind};

    fn run(folder: &Path) -> Run {
        let run = Run::create_in(folder).unwrap();
        run.record(Event::Started { process: None }).unwrap();
        run
    }

    fn news(library: &mut Library) -> Vec<String> {
        library.take_news().into_iter().collect()
    }

    #[test]
    fn runs_come_grow_and_go() {
        let root = tempfile::tempdir().unwrap();
        let first = run(&root.path().join("a"));
        let mut library = Library::new(&[root.path().to_owned()]).unwrap();
        library.look();
        assert_eq!(news(&mut library), ["a"]);
        library.look();
        assert_eq!(news(&mut library), Vec::<String>::new());
        let values = [("loss".to_owned(), 0.5)].into();
        first.open_metrics().unwrap().write(&Row { kind: RowKind::Step, epoch: 0, step: 3, values }).unwrap();
        // Without a process its end is not known, so it may go on.
        library.look_at_living();
        // Whoever looks in between takes no news from those that wait for them.
        assert!(library.look_at("a").is_some() && library.look_at("b").is_none());
        assert_eq!(news(&mut library), ["a"]);
        assert_eq!((library.runs["a"].reached, library.runs["a"].last("loss")), ((0, 3), Some(0.5)));
        run(&root.path().join("deep/b"));
        library.look();
        assert_eq!(news(&mut library), ["deep/b"]);
        std::fs::remove_dir_all(first.path()).unwrap();
        library.look();
        assert_eq!(news(&mut library), ["a"]);
        assert!(
            library.run("a").is_none() && library.run("deep/b").is_some() && library.run("deep/../deep/b").is_none()
        );
    }

    #[test]
    fn folders_that_overlap_show_a_run_once_and_a_run_is_a_folder_of_one() {
        let root = tempfile::tempdir().unwrap();
        let one = run(&root.path().join("x/a"));
        let mut library = Library::new(&[root.path().to_owned(), root.path().join("x")]).unwrap();
        library.look();
        assert_eq!(news(&mut library), [one.path().to_str().unwrap()]);
        let mut library = Library::new(&[one.path().to_owned()]).unwrap();
        library.look();
        assert_eq!(news(&mut library), ["a"]);
        assert!(matches!(Library::new(&[root.path().join("none")]), Err(BoardError::NoFolder { .. })));
    }
}
