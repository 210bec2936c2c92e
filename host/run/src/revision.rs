//! Revisions: the experiment and the components that a run trains with from some epoch on.
//!
//! Revision 0 is what the run began with: `experiment.toml` and the components of `manifest.json`. Each candidate that
//! could be loaded is kept in `revisions/NUMBER`, and is the revision of its number if it is taken. Which revision was
//! at work when is what the journal's swaps and rollbacks say.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Event, PluginEntry, Run, RunError};

/// A revision as the run keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// The file of its experiment.
    pub experiment: PathBuf,
    /// What else is known of it.
    pub about: About,
    /// The file of the tensors that its strategies begin with, where it brought some along.
    pub state: Option<PathBuf>,
}

/// `revision.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The components, by slot.
    pub plugins: Vec<PluginEntry>,
    /// What commands changed in the experiment file's text, in order.
    pub edits: Vec<Edit>,
    /// Kept tensors that begin anew with it: `objective.0.loss/proxies`.
    pub reset: Vec<String>,
}

/// A change of an experiment by a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edit {
    /// `key.path=value`.
    Set(String),
    /// The shadow of this name in place of its objective.
    Promote(String),
}

impl Run {
    /// Keeps a revision. The components must be stored already. `state` is the content of `state.safetensors`: the
    /// tensors that its strategies begin with.
    ///
    /// # Errors
    /// No room, or the system refuses to write.
    pub fn store_revision(
        &self,
        number: u64,
        experiment: &str,
        about: &About,
        state: Option<&[u8]>,
    ) -> Result<(), RunError> {
        let folder = self.revision_folder(number);
        fs::create_dir_all(&folder).map_err(RunError::io("make", &folder))?;
        let write =
            |path: &Path, bytes: &[u8]| lossmith_files::replace(path, bytes).map_err(RunError::io("write", path));
        let path = self.revision_state(number);
        match state {
            Some(state) => write(&path, state)?,
            // Of a candidate of this number that a dying process did not get into the journal.
            None if path.is_file() => fs::remove_file(&path).map_err(RunError::io("remove", &path))?,
            None => {}
        }
        let path = folder.join("revision.json");
        let about = serde_json::to_string_pretty(about).map_err(RunError::unwritable(&path))?;
        write(&path, about.as_bytes())?;
        write(&folder.join("experiment.toml"), experiment.as_bytes())
    }

    /// Reads a revision; its tensors stay in their file.
    ///
    /// # Errors
    /// It is not there, or its files are damaged.
    pub fn revision(&self, number: u64) -> Result<Revision, RunError> {
        if number == 0 {
            let experiment = self.experiment_path();
            let about = About { plugins: self.manifest()?.plugins, ..About::default() };
            return Ok(Revision { experiment, about, state: None });
        }
        let folder = self.revision_folder(number);
        let path = folder.join("revision.json");
        let bytes = fs::read(&path).map_err(RunError::io("read", &path))?;
        let about = serde_json::from_slice(&bytes).map_err(RunError::damaged(&path))?;
        let state = Some(self.revision_state(number)).filter(|path| path.is_file());
        Ok(Revision { experiment: folder.join("experiment.toml"), about, state })
    }

    /// Where the tensors are that the strategies of a revision begin with, if it brought some along.
    #[must_use]
    pub fn revision_state(&self, number: u64) -> PathBuf {
        self.revision_folder(number).join("state.safetensors")
    }

    /// Where components are kept, by slot.
    #[must_use]
    pub fn places(&self, plugins: &[PluginEntry]) -> BTreeMap<String, PathBuf> {
        plugins.iter().map(|plugin| (plugin.slot.clone(), self.plugin_path(&plugin.hash))).collect()
    }

    /// The step from which on each revision was at work, without those that were rolled back. The revision of a step is
    /// that of the last entry at or before it, and 0 where there is none.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn timeline(&self) -> Result<BTreeMap<u64, u64>, RunError> {
        let mut timeline = BTreeMap::new();
        for entry in self.journal()?.rows {
            let (step, revision) = match entry.event {
                Event::Swap { step, revision, .. } => (step, revision),
                Event::Rollback { step, to, .. } => (step, to),
                _ => continue,
            };
            timeline.split_off(&step);
            timeline.insert(step, revision);
        }
        Ok(timeline)
    }

    /// What was at work from which epoch on: epochs that were complete, the revision, and its components.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn revisions(&self) -> Result<Vec<(u64, u64, Vec<PluginEntry>)>, RunError> {
        let mut epochs = BTreeMap::new();
        for entry in self.journal()?.rows {
            if let Event::Swap { epoch, step, .. } | Event::Rollback { epoch, step, .. } = entry.event {
                epochs.insert(step, epoch);
            }
        }
        let mut revisions = vec![(0, 0, self.manifest()?.plugins)];
        for (step, revision) in self.timeline()? {
            let same = revisions.last().is_some_and(|(_, last, _)| *last == revision);
            if !same {
                let epoch = epochs.get(&step).copied().unwrap_or_default();
                revisions.push((epoch, revision, self.revision(revision)?.about.plugins));
            }
        }
        Ok(revisions)
    }

    /// A number that no candidate has yet.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn next_candidate(&self) -> Result<u64, RunError> {
        let journal = self.journal()?.rows.into_iter();
        let numbers = journal.filter_map(|entry| match entry.event {
            Event::Candidate { number, .. } => Some(number),
            _ => None,
        });
        Ok(numbers.max().unwrap_or_default().saturating_add(1))
    }

    fn revision_folder(&self, number: u64) -> PathBuf {
        self.path().join("revisions").join(format!("{number:04}"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_revision_comes_back_and_without_a_state_none_is_left() {
        let root = tempfile::tempdir().unwrap();
        let run = Run::create(root.path(), "run").unwrap();
        let about = About { edits: vec![Edit::Set("seed=2".into())], ..About::default() };
        run.store_revision(3, "seed = 2\n", &about, Some(b"tensors")).unwrap();
        let revision = run.revision(3).unwrap();
        assert_eq!(
            (fs::read_to_string(revision.experiment).unwrap().as_str(), &revision.about),
            ("seed = 2\n", &about)
        );
        assert_eq!(revision.state, Some(run.revision_state(3)));
        assert_eq!(fs::read(run.revision_state(3)).unwrap(), b"tensors");
        run.store_revision(3, "", &About::default(), None).unwrap();
        assert_eq!(run.revision(3).unwrap().state, None);
        assert!(!run.revision_state(3).exists());
    }

    #[test]
    fn the_timeline_is_what_was_not_rolled_back() {
        let root = tempfile::tempdir().unwrap();
        let run = Run::create(root.path(), "run").unwrap();
        let swap = |revision, step| {
            run.record(Event::Swap { revision, epoch: 0, step, changes: vec![], plugins: vec![] }).unwrap();
        };
        let rollback = |revision, to, step| {
            let (reason, quarantined, plugins) = (String::new(), vec![], vec![]);
            let event =
                Event::Rollback { revision, to, epoch: 0, step, failed_at: step + 1, reason, quarantined, plugins };
            run.record(event).unwrap();
        };
        swap(1, 10);
        swap(3, 20);
        rollback(3, 1, 20);
        swap(4, 30);
        assert_eq!(run.timeline().unwrap(), BTreeMap::from([(10, 1), (20, 1), (30, 4)]));
        // A later fault: the swap at 30 was good for two epochs.
        rollback(4, 1, 50);
        assert_eq!(run.timeline().unwrap(), BTreeMap::from([(10, 1), (20, 1), (30, 4), (50, 1)]));
        // Another candidate for a step that another one had.
        swap(5, 50);
        assert_eq!(run.timeline().unwrap()[&50], 5);
    }
}
