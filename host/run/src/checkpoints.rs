//! The files of checkpoints: which there are, which is the best, and which are kept. What is in them is for those who
//! have libtorch.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{Run, RunError};

impl Run {
    /// The checkpoints that a run can go on from, the one with the most steps first.
    ///
    /// # Errors
    /// The system refuses to list the folder.
    pub fn checkpoints_by_age(&self) -> Result<Vec<PathBuf>, RunError> {
        let interrupted = Some(self.interrupted_checkpoint()).filter(|path| path.is_file());
        let epochs = self.checkpoints()?.into_values().rev();
        Ok(interrupted.into_iter().chain(epochs).collect())
    }

    /// Removes the checkpoint inside an epoch, if there is one.
    ///
    /// # Errors
    /// The system refuses.
    pub fn forget_interrupted(&self) -> Result<(), RunError> {
        let interrupted = self.interrupted_checkpoint();
        match std::fs::remove_file(&interrupted) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(RunError::io("remove", &interrupted)(error))
            }
            _ => Ok(()),
        }
    }

    /// The file of a checkpoint: `best` (the last where there is none), `last`, or the number of an epoch.
    ///
    /// # Errors
    /// There is no such checkpoint, or the system refuses to list the folder.
    pub fn checkpoint(&self, wanted: &str) -> Result<PathBuf, RunError> {
        let mut checkpoints = self.checkpoints()?;
        let epochs: Vec<String> = checkpoints.keys().map(u64::to_string).collect();
        let best = self.best_checkpoint();
        let file = match wanted {
            "best" if best.is_file() => Some(best),
            "best" | "last" => checkpoints.pop_last().map(|(_, file)| file),
            epoch => epoch.parse().ok().and_then(|epoch| checkpoints.remove(&epoch)),
        };
        file.ok_or_else(|| RunError::MissingCheckpoint {
            run: self.path().to_owned(),
            wanted: wanted.to_owned(),
            there: if epochs.is_empty() { "none".into() } else { format!("best, last, {}", epochs.join(", ")) },
        })
    }

    /// Where the best checkpoint is, if there is one yet.
    #[must_use]
    pub fn best_checkpoint(&self) -> PathBuf {
        self.checkpoint_folder().join("best.safetensors")
    }

    /// Where the checkpoint inside an epoch is, if there is one.
    #[must_use]
    pub fn interrupted_checkpoint(&self) -> PathBuf {
        self.checkpoint_folder().join("interrupted.safetensors")
    }

    /// Makes `checkpoints/best.safetensors` the checkpoint of `epoch`, which stays there when that one is pruned.
    ///
    /// # Errors
    /// There is no checkpoint of that epoch, or no room.
    pub fn mark_best(&self, epoch: u64) -> Result<PathBuf, RunError> {
        self.link(epoch, self.best_checkpoint())
    }

    /// Makes `checkpoints/origin.safetensors` the checkpoint of `epoch`: what a branch began with.
    ///
    /// # Errors
    /// As [`Run::mark_best`].
    pub fn mark_origin(&self, epoch: u64) -> Result<PathBuf, RunError> {
        self.link(epoch, self.checkpoint_folder().join("origin.safetensors"))
    }

    /// What a branch began with; none of a run that is no branch.
    #[must_use]
    pub fn origin_checkpoint(&self) -> Option<PathBuf> {
        Some(self.checkpoint_folder().join("origin.safetensors")).filter(|path| path.is_file())
    }

    fn link(&self, epoch: u64, to: PathBuf) -> Result<PathBuf, RunError> {
        let from = self.checkpoint_path(epoch);
        let aside = self.checkpoint_folder().join(format!("{}link", lossmith_files::ASIDE));
        let link = || {
            // Left over if a process died between the two steps.
            if aside.try_exists()? {
                std::fs::remove_file(&aside)?;
            }
            std::fs::hard_link(&from, &aside)?;
            std::fs::rename(&aside, &to)?;
            // Where both were the same file already, a rename does nothing.
            if aside.try_exists()? { std::fs::remove_file(&aside) } else { Ok(()) }
        };
        if link().is_err() {
            // A file system without hard links.
            let bytes = std::fs::read(&from).map_err(RunError::io("read", &from))?;
            lossmith_files::replace(&to, &bytes).map_err(RunError::io("write", &to))?;
        }
        Ok(to)
    }

    /// Removes all checkpoints of epochs but the last `keep` and those of the epochs `needed`. `best.safetensors`
    /// stays.
    ///
    /// # Errors
    /// The system refuses to list the folder or to remove a file.
    pub fn prune_checkpoints(&self, keep: usize, needed: &BTreeSet<u64>) -> Result<(), RunError> {
        let checkpoints = self.checkpoints()?;
        let old = checkpoints.len().saturating_sub(keep);
        for (_, path) in checkpoints.iter().take(old).filter(|(epoch, _)| !needed.contains(epoch)) {
            std::fs::remove_file(path).map_err(RunError::io("remove", path))?;
        }
        Ok(())
    }

    /// Removes the checkpoints of later epochs than this one, and the one inside an epoch: what they hold is undone.
    ///
    /// # Errors
    /// The system refuses to list the folder or to remove a file.
    pub fn undo_checkpoints(&self, epoch: u64) -> Result<(), RunError> {
        self.forget_interrupted()?;
        for (_, path) in self.checkpoints()?.split_off(&(epoch + 1)) {
            std::fs::remove_file(&path).map_err(RunError::io("remove", &path))?;
        }
        Ok(())
    }

    /// Makes the checkpoint of `epoch` the best one if it is kept; if not, there is no best one.
    ///
    /// # Errors
    /// The system refuses, or there is no room.
    pub fn mark_best_again(&self, epoch: Option<u64>) -> Result<bool, RunError> {
        if let Some(epoch) = epoch.filter(|epoch| self.checkpoint_path(*epoch).is_file()) {
            self.mark_best(epoch)?;
            return Ok(true);
        }
        let best = self.best_checkpoint();
        match std::fs::remove_file(&best) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(RunError::io("remove", &best)(error)),
            _ => Ok(false),
        }
    }

    /// The checkpoints of epochs, by epoch.
    ///
    /// # Errors
    /// The system refuses to list the folder.
    pub fn checkpoints(&self) -> Result<BTreeMap<u64, PathBuf>, RunError> {
        let folder = self.checkpoint_folder();
        let list = || -> std::io::Result<_> {
            let mut found = BTreeMap::new();
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let epoch = name.strip_prefix("epoch-").and_then(|name| name.strip_suffix(".safetensors"));
                if let Some(epoch) = epoch.and_then(|epoch| epoch.parse().ok()) {
                    found.insert(epoch, path);
                }
            }
            Ok(found)
        };
        list().map_err(RunError::io("list", &folder))
    }

    fn checkpoint_folder(&self) -> PathBuf {
        self.path().join("checkpoints")
    }

    /// Where the checkpoint of an epoch is, if it is kept.
    #[must_use]
    pub fn checkpoint_path(&self, epoch: u64) -> PathBuf {
        self.checkpoint_folder().join(format!("epoch-{epoch:04}.safetensors"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn marking_the_best_again_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::create(folder.path(), "test").unwrap();
        std::fs::write(run.checkpoint_path(1), "tensors").unwrap();
        run.mark_best(1).unwrap();
        run.mark_best(1).unwrap();
        let files = std::fs::read_dir(run.path().join("checkpoints")).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["best.safetensors", "epoch-0001.safetensors"]);
    }
}
