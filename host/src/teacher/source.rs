//! Opens the network of a teacher: that of a run, or weights or a TorchScript module in a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::{Device, Tensor};

use super::TeacherError;
use super::digest::Digests;
use crate::data::{Dataset, Part, Preparation};
use crate::experiment::{Experiment, Source, TeacherConfig};
use crate::model::{self, Model, ModelConfig};
use crate::run::{Run, Status};

/// A teacher's network, and how images are prepared for it.
pub(super) struct Network {
    pub(super) model: Model,
    pub(super) preparation: Preparation,
    /// Of all that decides its embeddings.
    pub(super) digest: Digests,
    pub(super) file: PathBuf,
}

/// Builds the network that the configuration names. `dataset` is the student's.
pub(super) fn open(config: &TeacherConfig, dataset: &Arc<Dataset>, device: Device) -> Result<Network, TeacherError> {
    let channels = dataset.channels() as i64;
    if let Some(path) = &config.run {
        let (experiment, file) = of_run(path, &config.checkpoint)?;
        let found = experiment.data.kind.channels();
        if found != dataset.channels() {
            return Err(TeacherError::Channels { teacher: found, student: dataset.channels() });
        }
        check_unseen(path, &experiment, dataset)?;
        return of_weights(&experiment.model, file, experiment.data.preparation(), channels, device);
    }
    let preparation = dataset.preparation().with(config.size, config.mean.as_deref(), config.std.as_deref());
    match (&config.weights, &config.model, &config.module) {
        (Some(file), Some(model), _) => of_weights(model, file.clone(), preparation, channels, device),
        (_, _, Some(file)) => {
            let digest = Digests::new(None, &preparation, file)?;
            let model = Model::module(file, channels, preparation.size() as i64, device)?;
            model.check_memory(true)?;
            Ok(Network { model, preparation, digest, file: file.clone() })
        }
        _ => {
            let missing = ("teacher", "there is neither a run, nor weights, nor a module");
            Err(TeacherError::setting(config.check(dataset.channels()).err().unwrap_or(missing)))
        }
    }
}

/// The experiment of a finished run, and the file of one of its checkpoints.
fn of_run(path: &Path, checkpoint: &str) -> Result<(Experiment, PathBuf), TeacherError> {
    let run = Run::open(path)?;
    let status = run.status()?;
    if status != Status::Finished {
        return Err(TeacherError::NotFinished { path: path.to_owned(), status });
    }
    let file = run.checkpoint(checkpoint)?;
    let source = Source::read(&run.experiment_path(), &[]).and_then(|source| source.parse());
    let experiment = source.map_err(TeacherError::Experiment)?;
    if let Some(module) = &experiment.model.path {
        run.manifest()?.check_file("model.path", module)?;
    }
    Ok((experiment, file))
}

/// A teacher that was trained on what the student is measured on would make the measurement worthless. Only data of the
/// same content can be compared.
fn check_unseen(path: &Path, teacher: &Experiment, student: &Dataset) -> Result<(), TeacherError> {
    if Run::open(path)?.manifest()?.data != student.digest() {
        return Ok(());
    }
    let mut config = teacher.data.clone();
    config.path = Some(student.path().to_owned());
    let trained = Dataset::open(&config, teacher.seed)?;
    let seen = |part: &Part| {
        part.indices().iter().filter(|index| trained.train().indices().binary_search(index).is_ok()).count()
    };
    for (name, part) in [("validation", student.validation()), ("test", student.test())] {
        let count = seen(part);
        if count > 0 {
            return Err(TeacherError::Seen { count, of: part.len(), part: name });
        }
    }
    Ok(())
}

fn of_weights(
    config: &ModelConfig,
    file: PathBuf,
    preparation: Preparation,
    channels: i64,
    device: Device,
) -> Result<Network, TeacherError> {
    // All weights come from the file, so those of a pre-trained backbone need not be read.
    let config = ModelConfig { weights: None, ..config.clone() };
    let digest = Digests::new(Some(&config), &preparation, &file)?;
    let model = Model::new(&config, channels, preparation.size() as i64, device, 0)?;
    let read = model::read(&file)?;
    let names = model.state();
    let prefix = model::prefix(&file, read.keys(), &names.keys().map(String::as_str).collect())?;
    let inner = |(name, tensor): (String, Tensor)| (name.strip_prefix(&prefix).unwrap_or(&name).to_owned(), tensor);
    let state: BTreeMap<String, Tensor> =
        read.into_iter().map(inner).filter(|(name, _)| !name.ends_with("num_batches_tracked")).collect();
    model.load_state(&state)?;
    model.check_memory(true)?;
    Ok(Network { model, preparation, digest, file })
}
