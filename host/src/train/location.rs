//! Where a run's data and device are, when it is used again later or on another machine, and whether its files are
//! those of before.

use std::path::{Path, PathBuf};

use super::training_error::TrainingError;
use crate::data::Dataset;
use crate::experiment::{DeviceChoice, Experiment};
use crate::run::{DataFile, Run, RunError, data_changes};

/// What is otherwise than it was when the run began.
#[derive(Clone, Debug, Default)]
pub struct Elsewhere {
    /// Where the data is now.
    pub data: Option<PathBuf>,
    /// The device to compute on.
    pub device: Option<DeviceChoice>,
    /// Whether data that changed is taken.
    pub accept_changes: bool,
}

/// What is so of the parts of a data set that changed while a run was trained.
pub(super) const CHANGED_PARTS: &str = "images that were trained on before may be among those that are measured, and \
    what was measured before is of other images";

/// What `--accept-changes` does in a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepting {
    /// A run goes on with the changed data.
    GoesOn,
    /// The changed data is measured.
    Measures,
    /// Nothing: there is no such option.
    Never,
}

impl Accepting {
    pub(super) fn help(self) -> String {
        let place = "`--data PATH` says where the data of before is, if it lies elsewhere";
        match self {
            Self::GoesOn => format!(
                "{place}; `--accept-changes` goes on with the data as it is now: an epoch that was begun begins anew, \
                 and the parts are drawn anew"
            ),
            Self::Measures => format!(
                "{place}; `--accept-changes` takes the data as it is now: what the network was trained on may be among \
                 what it is measured on"
            ),
            Self::Never => format!("{place}: a repetition needs the very same data"),
        }
    }
}

impl Elsewhere {
    /// Where the data of a run is to be opened; `None` where its experiment says it.
    pub(super) fn place(&self, run: &Run, experiment: &Experiment) -> Result<Option<PathBuf>, RunError> {
        if let Some(path) = &self.data {
            return Ok(Some(absolute(path)));
        }
        if let Some(moved) = run.data_history()?.path {
            return Ok(Some(moved));
        }
        let first = run.manifest()?.data_path;
        Ok(first.filter(|path| experiment.data.path.is_none() && path.exists()))
    }
}

/// A path that is good in any folder.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Compares data with what a run was trained on last: what changed, in lines; empty if nothing did.
///
/// # Errors
/// The data changed and `accept` is off; a file of the run cannot be read.
pub(super) fn changed(
    run: &Run,
    dataset: &Dataset,
    accept: bool,
    accepting: Accepting,
) -> Result<Vec<String>, TrainingError> {
    let history = run.data_history()?;
    let (found, expected) = (dataset.digest().to_owned(), history.digest);
    if found == expected {
        return Ok(Vec::new());
    }
    let changes = match run.data_files()? {
        Some(before) => data_changes(&before, &files(dataset)),
        None => vec!["this run has no list of its images, so which ones is not known".to_owned()],
    };
    if accept && accepting != Accepting::Never {
        return Ok(changes);
    }
    let text = changes.iter().map(|change| format!("\n  {change}")).collect();
    Err(TrainingError::OtherData { found, expected, changes: text, advice: accepting.help() })
}

/// Refuses a network of other files than those that the run was made with. `restored` says whether a checkpoint gives
/// the network its weights; a TorchScript module is read then, too.
pub(super) fn same_files(run: &Run, experiment: &Experiment, restored: bool) -> Result<(), RunError> {
    let (manifest, model) = (run.manifest()?, &experiment.model);
    let weights = model.weights.as_ref().filter(|_| !restored);
    let files = [("model.path", model.path.as_ref()), ("model.weights", weights)];
    for (key, path) in files {
        if let Some(path) = path {
            manifest.check_file(key, path)?;
        }
    }
    Ok(())
}

/// The image files of a data set, as a run keeps them; empty where the images are not in files of their own.
pub(super) fn files(dataset: &Dataset) -> Vec<DataFile> {
    let file = |(path, label): (&Path, i64)| {
        let folder = if dataset.path().is_dir() { Some(dataset.path()) } else { dataset.path().parent() };
        let name = folder.and_then(|folder| path.strip_prefix(folder).ok()).unwrap_or(path);
        DataFile {
            name: name.to_string_lossy().into_owned(),
            // A file that is gone meanwhile is told when it is to be read.
            bytes: std::fs::metadata(path).map_or(0, |metadata| metadata.len()),
            class: dataset.class_name(label).to_owned(),
        }
    };
    dataset.files().map(file).collect()
}
