//! Revisions: the experiment and the components that a run trains with from some epoch on.
//!
//! Revision 0 is what the run began with: `experiment.toml` and the components of `manifest.json`. Each candidate that
//! could be loaded is kept in `revisions/NUMBER`, and is the revision of its number if it is taken. Which revision was
//! at work when is what the journal's swaps and rollbacks say.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Event, PluginEntry, Run, RunError, file, load_checkpoint, write_checked};

/// A revision as the run keeps it.
#[derive(Debug)]
pub struct Revision {
    /// The file of its experiment.
    pub experiment: PathBuf,
    /// What else is known of it.
    pub about: About,
    /// Tensors that its strategies begin with, by name, where it brought some along.
    pub state: Option<BTreeMap<String, Tensor>>,
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
    /// Keeps a revision. The components must be stored already.
    ///
    /// # Errors
    /// No room, or the system refuses to write.
    pub fn store_revision(
        &self,
        number: u64,
        experiment: &str,
        about: &About,
        state: Option<&BTreeMap<String, Tensor>>,
    ) -> Result<(), RunError> {
        let folder = self.revision_folder(number);
        fs::create_dir_all(&folder).map_err(RunError::io("make", &folder))?;
        let path = folder.join("state.safetensors");
        match state {
            Some(state) => write_checked(&path, state)?,
            // Of a candidate of this number that a dying process did not get into the journal.
            None if path.is_file() => fs::remove_file(&path).map_err(RunError::io("remove", &path))?,
            None => {}
        }
        let path = folder.join("revision.json");
        let about = serde_json::to_string_pretty(about).map_err(RunError::unwritable(&path))?;
        file::replace(&path, about.as_bytes())?;
        file::replace(&folder.join("experiment.toml"), experiment.as_bytes())
    }

    /// Reads a revision.
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
        let state = folder.join("state.safetensors");
        let state = state.is_file().then(|| load_checkpoint(&state)).transpose()?.map(|file| file.tensors);
        Ok(Revision { experiment: folder.join("experiment.toml"), about, state })
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
