//! Digests of data and files as they are now, by which runs of other data or files are told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::plan::Trial;
use crate::data::{DataConfig, Dataset};
use crate::run::{Run, RunError, file_digest};

/// The digests of data and files as they are now, each computed once.
#[derive(Debug, Default)]
pub(super) struct InputDigests {
    /// None of data that cannot be opened.
    data: Vec<(DataConfig, Option<String>)>,
    /// None of files that cannot be read.
    files: BTreeMap<PathBuf, Option<String>>,
}

impl InputDigests {
    /// The input that changed since a run of the trial was trained; `None` if none did. Of inputs without a digest in
    /// the run nothing is known.
    pub(super) fn changed(&mut self, run: &Run, trial: &Trial) -> Result<Option<String>, RunError> {
        let now = self.data(&trial.experiment.data);
        let history = run.data_history()?;
        let same = |digest: &str| now.as_deref() == Some(digest);
        if now.is_none() {
            return Ok(Some("the data cannot be opened".to_owned()));
        }
        if !same(&history.first) || !same(&history.digest) {
            return Ok(Some("the data changed since".to_owned()));
        }
        let other = run.manifest()?.files.into_iter().find(|file| self.file(&file.path) != Some(&file.digest));
        Ok(other.map(|file| format!("the file of `{}` changed since", file.key)))
    }

    fn data(&mut self, config: &DataConfig) -> Option<String> {
        // The digest does not depend on the split.
        let config = DataConfig { seed: None, fold: 0, ..config.clone() };
        if let Some((_, digest)) = self.data.iter().find(|(known, _)| *known == config) {
            return digest.clone();
        }
        let digest = Dataset::open(&config, 0).ok().map(|dataset| dataset.digest().to_owned());
        self.data.push((config, digest.clone()));
        digest
    }

    fn file(&mut self, path: &Path) -> Option<&String> {
        self.files.entry(path.to_owned()).or_insert_with_key(|path| file_digest(path).ok()).as_ref()
    }
}
