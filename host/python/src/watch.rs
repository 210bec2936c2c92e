//! Following the files of components and the sources of crates.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lossmith::session::{Followed, Seen, sources_of};
use lossmith::standard::Standard;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::component::{UnderWay, is_source};

/// For so long followed files must be quiet before they are read.
const QUIET: Duration = Duration::from_millis(200);

/// Follows what modules were made of, on a thread of its own that never calls Python.
#[pyclass(frozen, module = "lossmith._lossmith")]
pub(crate) struct Watcher {
    /// Taken out when this is dropped.
    watcher: Option<lossmith::session::Watcher>,
    shared: Arc<Shared>,
    /// What is followed, by the source that it is of.
    sources: Mutex<Vec<(PathBuf, Vec<Followed>)>>,
    process: u32,
}

#[derive(Default)]
struct Shared {
    any: AtomicBool,
    changed: Mutex<BTreeSet<Followed>>,
}

#[pymethods]
impl Watcher {
    /// Follows these sources: folders of plugins, files, bare names. A build whose folder changes is abandoned.
    #[new]
    fn new(sources: Vec<PathBuf>, under_way: &UnderWay) -> PyResult<Self> {
        let shared = Arc::new(Shared::default());
        let (told, under_way) = (Arc::clone(&shared), under_way.0.clone());
        let sources = with_files(sources);
        let watcher = lossmith::session::Watcher::start(Seen::now(all(&sources)), QUIET, move |changed| {
            let round = under_way.round();
            locked(&told.changed).extend(changed);
            told.any.store(true, Ordering::Release);
            under_way.abandon_if_changed(round);
        });
        let watcher = watcher.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        Ok(Self { watcher: Some(watcher), shared, sources: Mutex::new(sources), process: std::process::id() })
    }

    /// Follows these sources in place of those before. A change from now on is not missed.
    fn follow(&self, sources: Vec<PathBuf>) {
        let sources = with_files(sources);
        if let Some(watcher) = &self.watcher {
            watcher.follow(all(&sources));
        }
        *locked(&self.sources) = sources;
    }

    /// The sources that have changed since this was last asked, each with the names of the files that did.
    fn take(&self) -> Vec<(PathBuf, Vec<String>)> {
        if !self.shared.any.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        let changed = std::mem::take(&mut *locked(&self.shared.changed));
        let of = |(source, followed): &(PathBuf, Vec<Followed>)| {
            let names: Vec<_> = followed.iter().filter(|followed| changed.contains(followed)).map(name).collect();
            (!names.is_empty()).then(|| (source.clone(), names))
        };
        locked(&self.sources).iter().filter_map(of).collect()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // In a process that was forked its thread is not there, and to wait for it would never end.
        if std::process::id() != self.process {
            std::mem::forget(self.watcher.take());
        }
    }
}

fn with_files(sources: Vec<PathBuf>) -> Vec<(PathBuf, Vec<Followed>)> {
    sources.into_iter().map(|source| (source.clone(), followed(&source))).collect()
}

/// What decides what a source means.
fn followed(source: &Path) -> Vec<Followed> {
    if is_source(source) {
        return sources_of(source);
    }
    Standard::from_environment().files(source, Path::new("")).into_iter().map(Followed::File).collect()
}

fn all(sources: &[(PathBuf, Vec<Followed>)]) -> Vec<Followed> {
    sources.iter().flat_map(|(_, followed)| followed.iter().cloned()).collect()
}

fn name(followed: &Followed) -> String {
    let (Followed::File(path) | Followed::Sources(path)) = followed;
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// A thread that panicked has not left it half-changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
