//! `test.json`: the test part of chosen runs, each measured once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::SweepError;
use crate::run::RunError;

/// The measurements so far, by the name of the run's folder and by metric.
pub(super) struct TestPart {
    path: PathBuf,
    values: BTreeMap<String, BTreeMap<String, f64>>,
}

impl TestPart {
    /// Opens the file in a folder, which is made if it is not there.
    pub(super) fn open(output: &Path) -> Result<Self, SweepError> {
        std::fs::create_dir_all(output).map_err(RunError::io("make", output))?;
        let path = output.join("test.json");
        let values = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            bytes => {
                let bytes = bytes.map_err(RunError::io("read", &path))?;
                serde_json::from_slice(&bytes).map_err(|error: serde_json::Error| SweepError::TestPart {
                    path: path.clone(),
                    reason: error.to_string(),
                })?
            }
        };
        Ok(Self { path, values })
    }

    /// The measurements of a run.
    pub(super) fn get(&self, run: &Path) -> Option<&BTreeMap<String, f64>> {
        self.values.get(&name(run))
    }

    /// Keeps what was measured of a run.
    pub(super) fn put(&mut self, run: &Path, values: BTreeMap<String, f64>) -> Result<(), SweepError> {
        self.values.insert(name(run), values);
        let mut text = serde_json::to_string_pretty(&self.values).map_err(RunError::damaged(&self.path))?;
        text.push('\n');
        Ok(lossmith_files::replace(&self.path, text.as_bytes()).map_err(RunError::io("write", &self.path))?)
    }
}

fn name(run: &Path) -> String {
    run.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
