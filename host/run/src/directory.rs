//! Making, opening and listing run directories.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::jsonl::{self, Appender, Lines};
use super::row::settle;
use super::varies::varies;
use super::{Entry, Event, Manifest, MetricsLog, Row, RowKind, RunError, Status};

/// A run directory. It holds a path and no open files, so a run can be looked at while another process writes to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    path: PathBuf,
}

/// One run in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunSummary {
    /// Its folder below the one that was listed.
    pub name: String,
    /// When its journal begins, in UTC; none if the journal is empty.
    pub started: Option<Timestamp>,
    /// How it stands with it.
    pub status: Status,
    /// Epochs that are complete, as far as the journal and the metrics know.
    pub epoch: u64,
    /// Steps that are complete, likewise.
    pub step: u64,
    /// Its last evaluation, by name of the metric; empty if there was none.
    pub evaluation: BTreeMap<String, f64>,
    /// The keys of its experiment, by their shortest ends, that are not equal in all runs of the list; empty of a run
    /// alone.
    pub varies: BTreeMap<String, String>,
}

impl Run {
    /// Makes the folder `NAME-YYYYMMDD-HHMMSS` (UTC) in `root`, with a number behind it if there is one of that name.
    /// No two processes can get the same folder.
    ///
    /// # Errors
    /// A name that is not one of a folder, or the system refuses.
    pub fn create(root: &Path, name: &str) -> Result<Self, RunError> {
        Self::create_at(root, name, Timestamp::now())
    }

    fn create_at(root: &Path, name: &str, now: Timestamp) -> Result<Self, RunError> {
        let allowed = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
        if name.is_empty() || name.starts_with(['.', '-']) || !name.chars().all(allowed) {
            return Err(RunError::Name { name: name.to_owned() });
        }
        fs::create_dir_all(root).map_err(RunError::io("make", root))?;
        let stem = format!("{name}-{}", now.strftime("%Y%m%d-%H%M%S"));
        let mut path = root.join(&stem);
        let mut number = 2;
        loop {
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    path = root.join(format!("{stem}-{number}"));
                    number += 1;
                }
                made => break made.map_err(RunError::io("make", &path))?,
            }
        }
        Self::furnish(path)
    }

    /// Makes a run of this very folder, which must be empty if it exists.
    ///
    /// # Errors
    /// There is something in it, or the system refuses.
    pub fn create_in(path: &Path) -> Result<Self, RunError> {
        fs::create_dir_all(path).map_err(RunError::io("make", path))?;
        if fs::read_dir(path).map_err(RunError::io("list", path))?.next().is_some() {
            return Err(RunError::Taken { path: path.to_owned() });
        }
        Self::furnish(path.to_owned())
    }

    fn furnish(path: PathBuf) -> Result<Self, RunError> {
        for folder in ["checkpoints", "plugins"].map(|folder| path.join(folder)) {
            fs::create_dir(&folder).map_err(RunError::io("make", &folder))?;
        }
        Ok(Self { path })
    }

    /// Opens a run that was made before, running or not.
    ///
    /// # Errors
    /// The folder has no journal.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        let path = path.to_owned();
        if !path.join("journal.jsonl").is_file() {
            return Err(RunError::NotARun { path });
        }
        Ok(Self { path })
    }

    /// Removes files that a process left half-written when it died.
    ///
    /// # Errors
    /// The system refuses.
    pub fn tidy(&self) -> Result<(), RunError> {
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(RunError::io("list", &folder))? {
                let path = entry.map_err(RunError::io("list", &folder))?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let aside = name.starts_with(lossmith_files::ASIDE);
                match (path.is_dir(), aside) {
                    (true, true) => fs::remove_dir_all(&path).map_err(RunError::io("remove", &path))?,
                    (true, false) => folders.push(path),
                    (false, true) => fs::remove_file(&path).map_err(RunError::io("remove", &path))?,
                    (false, false) => {}
                }
            }
        }
        Ok(())
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where another process than the first of those that train the run together says what it does.
    #[must_use]
    pub fn rank_log(&self, rank: usize) -> PathBuf {
        self.path.join("ranks").join(format!("{rank}.log"))
    }

    /// Name of the folder.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// Writes `experiment.toml`: the experiment with all defaults filled in.
    ///
    /// # Errors
    /// No room, or the system refuses to write.
    pub fn write_experiment(&self, toml: &str) -> Result<(), RunError> {
        let path = self.experiment_path();
        lossmith_files::replace(&path, toml.as_bytes()).map_err(RunError::io("write", &path))
    }

    /// Where `experiment.toml` is.
    #[must_use]
    pub fn experiment_path(&self) -> PathBuf {
        self.path.join("experiment.toml")
    }

    /// Reads `experiment.toml`.
    ///
    /// # Errors
    /// It is missing or cannot be read.
    pub fn experiment(&self) -> Result<String, RunError> {
        let path = self.experiment_path();
        fs::read_to_string(&path).map_err(RunError::io("read", &path))
    }

    /// Writes `manifest.json`.
    ///
    /// # Errors
    /// No room, or the system refuses to write.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), RunError> {
        let path = self.path.join("manifest.json");
        let mut text = serde_json::to_string_pretty(manifest).map_err(RunError::unwritable(&path))?;
        text.push('\n');
        lossmith_files::replace(&path, text.as_bytes()).map_err(RunError::io("write", &path))
    }

    /// Reads `manifest.json`.
    ///
    /// # Errors
    /// It is missing, cannot be read or is none of ours.
    pub fn manifest(&self) -> Result<Manifest, RunError> {
        let path = self.path.join("manifest.json");
        let bytes = fs::read(&path).map_err(RunError::io("read", &path))?;
        serde_json::from_slice(&bytes).map_err(RunError::damaged(&path))
    }

    /// Keeps a component in `plugins/` and returns its SHA-256 in hex, which is the name of its file. The same bytes
    /// are kept once.
    ///
    /// # Errors
    /// No room, or the system refuses to write.
    pub fn store_plugin(&self, component: &[u8]) -> Result<String, RunError> {
        let hash = lossmith_files::hex(&Sha256::digest(component));
        let path = self.plugin_path(&hash);
        if !path.is_file() {
            lossmith_files::replace(&path, component).map_err(RunError::io("write", &path))?;
        }
        Ok(hash)
    }

    /// Where the component with this SHA-256 is kept.
    #[must_use]
    pub fn plugin_path(&self, hash: &str) -> PathBuf {
        self.path.join("plugins").join(format!("{hash}.wasm"))
    }

    /// Appends an event to the journal, with the time, and makes sure that it is on the disk.
    ///
    /// # Errors
    /// No room, or the system refuses to write.
    pub fn record(&self, event: Event) -> Result<(), RunError> {
        let mut journal = Appender::open(self.path.join("journal.jsonl"))?;
        journal.append(&Entry { time: Timestamp::now(), event })?;
        journal.sync()
    }

    /// Reads the journal.
    ///
    /// # Errors
    /// It cannot be read. Lines that cannot be understood are counted, not refused.
    pub fn journal(&self) -> Result<Lines<Entry>, RunError> {
        jsonl::read(&self.path.join("journal.jsonl"))
    }

    /// Opens `metrics.jsonl` and a new file of TensorBoard events for writing.
    ///
    /// # Errors
    /// The system refuses.
    pub fn open_metrics(&self) -> Result<MetricsLog, RunError> {
        MetricsLog::open(&self.path)
    }

    /// Reads `metrics.jsonl`, without the rows that were undone.
    ///
    /// # Errors
    /// It cannot be read. Lines that cannot be understood are counted, not refused.
    pub fn metrics(&self) -> Result<Lines<Row>, RunError> {
        let Lines { rows, skipped } = jsonl::read(&self.path.join("metrics.jsonl"))?;
        let mut settled = Vec::with_capacity(rows.len());
        settle(&mut settled, rows);
        Ok(Lines { rows: settled, skipped })
    }

    /// The metric that marks the best checkpoint, as `validation/map-at-r`, by the experiment as it began.
    #[must_use]
    pub fn best_metric(&self) -> String {
        let table = self.experiment().ok().and_then(|text| toml::from_str::<toml::Table>(&text).ok());
        let best = table.as_ref().and_then(|table| table.get("evaluation")?.get("best")?.as_str());
        format!("validation/{}", best.unwrap_or("map-at-r"))
    }

    /// How it stands with the run.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn status(&self) -> Result<Status, RunError> {
        Ok(Status::of(&self.journal()?.rows))
    }

    /// The run in short.
    ///
    /// # Errors
    /// The journal or the metrics cannot be read.
    pub fn summary(&self) -> Result<RunSummary, RunError> {
        let (journal, metrics) = (self.journal()?.rows, self.metrics()?.rows);
        let (epoch, step) = reached(&journal, metrics.iter().map(|row| (row.epoch, row.step)));
        let evaluation = metrics.iter().rfind(|row| row.kind == RowKind::Evaluation);
        Ok(RunSummary {
            name: self.name(),
            started: journal.first().map(|entry| entry.time),
            status: Status::of(&journal),
            epoch,
            step,
            evaluation: evaluation.map(|row| row.values.clone()).unwrap_or_default(),
            varies: BTreeMap::new(),
        })
    }
}

/// How deep runs are looked for: `runs/PROJECT/SWEEP/RUN` and one more.
const LEVELS: usize = 4;

/// Epochs and steps that are complete, as far as a journal knows, and the rows that were measured by theirs.
#[must_use]
pub fn reached(journal: &[Entry], measured: impl IntoIterator<Item = (u64, u64)>) -> (u64, u64) {
    let most = |most: (u64, u64), at: (u64, u64)| (at.0.max(most.0), at.1.max(most.1));
    let recorded = journal.iter().fold((0, 0), |so_far, entry| match entry.event {
        // What it undid counts no more.
        Event::Rollback { epoch, step, .. } => (epoch, step),
        _ => entry.event.progress().map_or(so_far, |at| most(so_far, at)),
    });
    measured.into_iter().fold(recorded, most)
}

/// The runs in `root` and in folders below it, in the order in which they were started, and what could not be read.
/// Hidden folders and links are passed over; a root that does not exist has no runs.
///
/// # Errors
/// The root cannot be read.
pub fn list(root: &Path) -> Result<(Vec<RunSummary>, Vec<RunError>), RunError> {
    let (found, mut errors) = find(root)?;
    let (mut runs, mut experiments) = (Vec::new(), Vec::new());
    for run in found {
        match run.summary() {
            Ok(mut summary) => {
                summary.name = run.path().strip_prefix(root).unwrap_or(run.path()).to_string_lossy().into_owned();
                runs.push(summary);
                experiments.push(run.experiment().ok());
            }
            Err(error) => errors.push(error),
        }
    }
    for (run, varies) in runs.iter_mut().zip(varies(&experiments)) {
        run.varies = varies;
    }
    runs.sort_by(|a, b| (a.started, &a.name).cmp(&(b.started, &b.name)));
    Ok((runs, errors))
}

/// The runs in `root` and in folders below it, as [`list`] finds them, and what could not be read.
///
/// # Errors
/// The root cannot be read.
pub fn find(root: &Path) -> Result<(Vec<Run>, Vec<RunError>), RunError> {
    let (mut runs, mut errors) = (Vec::new(), Vec::new());
    let mut folders = vec![(root.to_owned(), 1)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = match below(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) if folder == root => return Err(RunError::io("list", root)(error)),
            Err(error) => {
                errors.push(RunError::io("list", &folder)(error));
                continue;
            }
            Ok(entries) => entries,
        };
        for path in entries {
            match Run::open(&path) {
                Ok(run) => runs.push(run),
                Err(_) if depth < LEVELS => folders.push((path, depth + 1)),
                Err(_) => {}
            }
        }
    }
    Ok((runs, errors))
}

/// The folders in a folder that may be runs or hold some.
fn below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A link could lead back up.
        if entry.file_type()?.is_dir() && !entry.file_name().to_string_lossy().starts_with('.') {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_same_name_at_the_same_second_makes_another_folder() {
        let root = tempfile::tempdir().unwrap();
        let now: Timestamp = "2025-01-31T14:05:02Z".parse().unwrap();
        let names = || Run::create_at(root.path(), "a.b_c-1", now).unwrap().name();
        assert_eq!(names(), "a.b_c-1-20250131-140502");
        assert_eq!(names(), "a.b_c-1-20250131-140502-2");
        assert_eq!(names(), "a.b_c-1-20250131-140502-3");
    }

    #[test]
    fn many_at_once_all_get_their_own() {
        let root = tempfile::tempdir().unwrap();
        let create = || (0..20).map(|_| Run::create(root.path(), "run").unwrap().name()).collect::<Vec<_>>();
        let names = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(create)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<BTreeSet<_>>()
        });
        assert_eq!(names.len(), 80);
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("deep/run");
        let run = Run::create_in(&folder).unwrap();
        assert_eq!((run.path(), run.name().as_str()), (folder.as_path(), "run"));
        let error = Run::create_in(&folder).unwrap_err();
        assert!(matches!(error, RunError::Taken { .. }), "{error}");
    }

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        let root = tempfile::tempdir().unwrap();
        for name in ["", ".", "..", "a/b", "../a", ".hidden", "-x", "a b", "ü"] {
            assert!(matches!(Run::create(root.path(), name), Err(RunError::Name { .. })), "{name:?}");
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_list_is_in_the_order_of_the_starts() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(list(&root.path().join("missing")).unwrap().0, []);
        fs::create_dir(root.path().join("other")).unwrap();
        let runs = ["z", "a", "m"].map(|name| Run::create(root.path(), name).unwrap());
        for run in &runs {
            run.record(Event::Started { process: crate::Process::current() }).unwrap();
        }
        let row = |kind, epoch, value| Row { kind, epoch, step: 10 * epoch, values: [("p".to_owned(), value)].into() };
        let mut metrics = runs[0].open_metrics().unwrap();
        metrics.write(&row(RowKind::Evaluation, 1, 0.5)).unwrap();
        metrics.write(&row(RowKind::Step, 2, 0.1)).unwrap();
        runs[1].record(Event::Finished { epoch: 1, step: 2 }).unwrap();

        let found = list(root.path()).unwrap().0;
        assert_eq!(found.iter().map(|run| &run.name[..1]).collect::<String>(), "zam");
        let status: Vec<_> = found.iter().map(|run| run.status).collect();
        assert_eq!(status, [Status::Running, Status::Finished, Status::Running]);
        assert_eq!((found[0].epoch, found[0].step, found[0].evaluation["p"]), (2, 20, 0.5));
        assert_eq!((found[1].epoch, found[1].step), (1, 2));
        assert!(matches!(Run::open(&root.path().join("other")), Err(RunError::NotARun { .. })));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let root = tempfile::tempdir().unwrap();
        let run = Run::create(root.path(), "run").unwrap();
        fs::remove_dir_all(run.path()).unwrap();
        let error = run.write_experiment("").unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write {}", run.experiment_path().display()));
    }

    #[test]
    fn what_is_written_is_read() {
        let root = tempfile::tempdir().unwrap();
        let run = Run::create(root.path(), "run").unwrap();
        run.record(Event::Failed { error: "a \"quoted\"\nline".into() }).unwrap();
        assert_eq!(Run::open(run.path()).unwrap(), run);
        assert_eq!(run.status().unwrap(), Status::Failed);

        run.write_experiment("name = \"run\"\n").unwrap();
        assert_eq!(run.experiment().unwrap(), "name = \"run\"\n");
        let manifest = crate::manifest::tests::manifest();
        run.write_manifest(&manifest).unwrap();
        assert_eq!(run.manifest().unwrap(), manifest);

        // SHA-256 of "abc" as in FIPS 180-2, appendix B.1.
        let hash = run.store_plugin(b"abc").unwrap();
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(run.store_plugin(b"abc").unwrap(), hash);
        assert_eq!(fs::read(run.path().join(format!("plugins/{hash}.wasm"))).unwrap(), b"abc");
        assert_eq!(fs::read_dir(run.path().join("plugins")).unwrap().count(), 1);
    }
}
