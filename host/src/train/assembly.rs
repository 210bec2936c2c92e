//! What a training and an evaluation have in common: data, network and strategies of one experiment.

use std::collections::BTreeMap;
use std::sync::Arc;

use tch::{Device, Tensor};

use super::PartName;
use super::training_error::TrainingError;
use crate::data::{Dataset, Loader as Images, Part};
use crate::eval::{self, Evaluation};
use crate::experiment::{DeviceChoice, Experiment, Precision, Source};
use crate::model::Model;
use crate::objective::{Loader, Places, Strategies};
use crate::plugin::{Input, Progress, Runtime};

/// An experiment, loaded.
pub(super) struct Assembly {
    pub(super) experiment: Experiment,
    pub(super) device: Device,
    pub(super) dataset: Arc<Dataset>,
    pub(super) model: Model,
    pub(super) strategies: Strategies,
}

impl Assembly {
    /// `configure` says which components are known already.
    pub(super) fn new<'a>(
        source: &'a Source,
        runtime: Arc<Runtime>,
        places: Places<'a>,
        configure: impl FnOnce(Loader<'a>) -> Loader<'a>,
    ) -> Result<Self, TrainingError> {
        let experiment = source.parse()?;
        let device = device(&experiment.device)?;
        if let Some(threads) = experiment.threads {
            tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
        }
        lossmith_torch_shim::set_deterministic(true);
        let loader = Loader::new(runtime, source, places, device, experiment.seed, experiment.limits.clone());
        let strategies = Strategies::load(&experiment, configure(loader))?;
        let dataset = Arc::new(Dataset::open(&experiment.data, experiment.seed)?);
        let (channels, size) = (dataset.channels() as i64, dataset.size() as i64);
        let model = Model::new(&experiment.model, channels, size, device, experiment.seed)?;
        Ok(Self { experiment, device, dataset, model, strategies })
    }

    /// The embeddings of images, B x D in 32 bits, and the last feature map where the network has one.
    pub(super) fn forward(&self, images: &Tensor, train: bool) -> Result<(Tensor, Option<Tensor>), TrainingError> {
        let bf16 = self.experiment.precision == Precision::Bf16;
        Ok(lossmith_torch_shim::autocast(self.device, bf16, || self.model.forward_with_map(images, train))??)
    }

    /// Embeddings (N x D) and labels (N) of a part of the data, in its order, on the device.
    pub(super) fn embed(&mut self, part: PartName, progress: &Progress) -> Result<(Tensor, Tensor), TrainingError> {
        let dataset = Arc::clone(&self.dataset);
        let part = images(&dataset, part);
        let mut embeddings = Vec::new();
        let batch_size = self.experiment.evaluation.batch_size.get();
        for batch in Images::evaluation(&dataset, part.indices(), batch_size)? {
            let images = batch?.images.f_to_device(self.device)?;
            let (embedding, _) = tch::no_grad(|| self.forward(&images, false))?;
            embeddings.push(match &mut self.strategies.fusion {
                None => embedding,
                Some(fusion) => {
                    let slice_count = self.experiment.model.slices.into();
                    let input = Input { embeddings: Some(embedding), slice_count, ..Input::default() };
                    fusion.fuse(input, progress)?.f_detach()?
                }
            });
        }
        if embeddings.is_empty() {
            return Err(TrainingError::EmptyPart);
        }
        let labels = Tensor::f_from_slice(part.labels())?.f_to_device(self.device)?;
        Ok((Tensor::f_cat(&embeddings, 0)?, labels))
    }

    /// Measures a part of the data; none when it is empty.
    pub(super) fn evaluate(
        &mut self,
        part: PartName,
        progress: &Progress,
    ) -> Result<Option<Evaluation>, TrainingError> {
        if images(&self.dataset, part).is_empty() {
            return Ok(None);
        }
        let (embeddings, labels) = self.embed(part, progress)?;
        Ok(Some(eval::evaluate(&embeddings, &labels, &self.experiment.evaluation, self.experiment.seed)?))
    }
}

pub(super) fn images(dataset: &Dataset, part: PartName) -> &Part {
    match part {
        PartName::Train => dataset.train(),
        PartName::Validation => dataset.validation(),
        PartName::Test => dataset.test(),
    }
}

/// The tensors whose names begin with `prefix`, without it.
pub(super) fn below(tensors: &BTreeMap<String, Tensor>, prefix: &str) -> BTreeMap<String, Tensor> {
    let names = tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?, tensor)));
    names.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())).collect()
}

fn device(choice: &DeviceChoice) -> Result<Device, TrainingError> {
    match choice {
        DeviceChoice::Auto => Ok(Device::cuda_if_available()),
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(number) if (*number as i64) < tch::Cuda::device_count() => Ok(Device::Cuda(*number)),
        DeviceChoice::Cuda(number) => Err(TrainingError::Device(format!("cuda:{number}"))),
    }
}

/// The name of a device in the experiment file and in the record.
pub(super) fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(number) => format!("cuda:{number}"),
        _ => "cpu".to_owned(),
    }
}
