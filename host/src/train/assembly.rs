//! What a training and an evaluation have in common: data, network and strategies of one experiment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use lossmith_plugin::{Progress, Runtime};
use tch::{Device, Kind, Tensor};

use super::location::{Elsewhere, same_files};
use super::training_error::TrainingError;
use crate::data::{BatchLoader, DataConfig, Dataset, Part, PartName};
use crate::eval::{self, EvalError, Evaluation, Measuring, Watch};
use crate::experiment::{DeviceChoice, Experiment, Precision, Source};
use crate::model::{Model, ModelConfig, ModelError};
use crate::objective::{Loader, Places, Strategies};
use crate::ranks::{Ranks, Share, Wish};
use crate::run::{FileEntry, Run, RunError};

/// Where data and device are, other than the experiment says.
#[derive(Debug, Default)]
pub(super) struct Site {
    pub(super) data: Option<PathBuf>,
    pub(super) device: Option<DeviceChoice>,
    /// The run whose experiment it is, if it is one's.
    pub(super) run: Option<PathBuf>,
    /// Whether a checkpoint gives the network its weights; then the file that they began with is not needed.
    pub(super) restored: bool,
}

/// What images are embedded for. Random numbers that the network draws depend on this and on the seed alone.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pass {
    /// A step of the training: its number, and which part of the batch.
    Step(u64, usize),
    /// A batch of a part of the data, to measure it.
    Batch(u64),
}

/// An experiment, loaded.
pub(super) struct Assembly {
    pub(super) experiment: Experiment,
    pub(super) device: Device,
    pub(super) dataset: Arc<Dataset>,
    pub(super) model: Model,
    pub(super) strategies: Strategies,
}

impl Assembly {
    /// `site` is where the data and the device are, if they are not where the experiment says; `configure` says which
    /// components are known already.
    pub(super) fn new<'a>(
        source: &'a Source,
        runtime: Arc<Runtime>,
        places: Places<'a>,
        site: Site,
        configure: impl FnOnce(Loader<'a>) -> Loader<'a>,
    ) -> Result<Self, TrainingError> {
        let experiment = source.parse()?;
        let device = site.device.as_ref().unwrap_or(&experiment.device).find()?;
        if let Some(threads) = experiment.threads {
            tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
        }
        lossmith_torch_shim::set_deterministic(true);
        let loader = Loader::new(runtime, source, places, device, experiment.seed, experiment.limits.clone());
        let strategies = Strategies::load(&experiment, configure(loader))?;
        let path = site.data.or(experiment.data.path.clone());
        let dataset = Dataset::open(&DataConfig { path, ..experiment.data.clone() }, experiment.seed);
        let dataset = Arc::new(dataset.map_err(|source| match site.run.clone() {
            Some(run) => TrainingError::RunData { run, source },
            None => source.into(),
        })?);
        let (channels, size) = (dataset.channels() as i64, dataset.size() as i64);
        let weights = experiment.model.weights.clone().filter(|_| !site.restored);
        let config = ModelConfig { weights, ..experiment.model.clone() };
        let model = Model::new(&config, channels, size, device, experiment.seed);
        let model = model.map_err(|error| match (error, site.run) {
            (ModelError::NoModule { path }, Some(run)) => TrainingError::RunModule { run, path },
            (error, _) => error.into(),
        })?;
        model.check_memory(false)?;
        Ok(Self { experiment, device, dataset, model, strategies })
    }

    /// The files that the network was made of just now, and the teacher.
    pub(super) fn files(&self) -> Result<Vec<FileEntry>, RunError> {
        let Experiment { model, teacher, .. } = &self.experiment;
        // A checkpoint may have given the weights in place of their file.
        let weights = model.weights.clone().filter(|_| self.model.loaded().is_some());
        let mut files = vec![("model.path", model.path.clone()), ("model.weights", weights)];
        if let Some(teacher) = teacher {
            let run = teacher.run.as_ref().map(|run| Run::open(run)?.checkpoint(&teacher.checkpoint)).transpose()?;
            let module = ("teacher.module", teacher.module.clone());
            files.extend([("teacher.run", run), ("teacher.weights", teacher.weights.clone()), module]);
        }
        files.into_iter().filter_map(|(key, path)| Some(FileEntry::now(key, &path?))).collect()
    }

    /// The embeddings of images, B x D in 32 bits, and the last feature map where the network has one.
    pub(super) fn forward(&self, images: &Tensor, pass: Pass) -> Result<(Tensor, Option<Tensor>), TrainingError> {
        let (train, number, part) = match pass {
            Pass::Step(step, part) => (true, step, part),
            Pass::Batch(batch) => (false, batch, 0),
        };
        self.model.seed(self.experiment.seed, number, train.into(), part);
        let bf16 = self.experiment.precision == Precision::Bf16;
        Ok(lossmith_torch_shim::autocast(self.device, bf16, || self.model.forward_with_map(images, train))??)
    }

    /// Embeddings (N x D) as the network gives them and labels (N) of a part of the data, in its order, on the device.
    /// With several ranks, all of which call this, each computes its turn of the batches, and has all of them in the
    /// end.
    pub(super) fn features(
        &self,
        part: PartName,
        ranks: Option<&Ranks>,
        watch: &mut Watch<'_>,
    ) -> Result<(Tensor, Tensor), TrainingError> {
        let dataset = &self.dataset;
        let part = images(dataset, part);
        let mut embeddings = Vec::new();
        let batch_size = self.experiment.evaluation.batch_size.get();
        let batches = part.indices().len().div_ceil(batch_size);
        let ranks = ranks.filter(|ranks| ranks.share().size() <= batches);
        let share = ranks.map_or(Share::WHOLE, Ranks::share);
        let turns = part.indices().chunks(batch_size).skip(share.rank()).step_by(share.size());
        let own: Vec<usize> = turns.flatten().copied().collect();
        for batch in BatchLoader::evaluation(dataset, &own, batch_size)? {
            watch(Measuring { what: "embedding", done: (embeddings.len() * batch_size) as u64, of: own.len() as u64 });
            let images = batch?.images.f_to_device(self.device)?;
            let pass = Pass::Batch((embeddings.len() * share.size() + share.rank()) as u64);
            let (embedding, _) = tch::no_grad(|| self.forward(&images, pass))?;
            embeddings.push(embedding);
        }
        if embeddings.is_empty() {
            return Err(TrainingError::EmptyPart);
        }
        let labels = Tensor::f_from_slice(part.labels())?.f_to_device(self.device)?;
        let own = Tensor::f_cat(&embeddings, 0)?;
        let Some(ranks) = ranks else { return Ok((own, labels)) };
        // One may take much longer than another.
        ranks.agree(None, Wish::default())?;
        Ok((ranks.in_turns(&own, part.indices().len(), batch_size)?, labels))
    }

    /// What the fusion makes of features (N x D), a batch at a time: N x D'.
    fn fuse(&mut self, features: &Tensor, progress: &Progress) -> Result<Tensor, TrainingError> {
        let slice_count = self.experiment.model.slices.into();
        let batch_size = self.experiment.evaluation.batch_size.get() as i64;
        Ok(self.strategies.objectives.fuse_all(features, batch_size, slice_count, progress)?)
    }

    /// Calls the fusion with batches of several sizes, so that what is wrong with its parameters or its shapes is told
    /// before anything is trained. It keeps nothing of that.
    pub(super) fn try_fusion(&mut self) -> Result<(), TrainingError> {
        let images = Tensor::f_zeros(
            [1, self.dataset.channels() as i64, self.dataset.size() as i64, self.dataset.size() as i64],
            (Kind::Float, self.device),
        )?;
        let (embedding, _) = tch::no_grad(|| self.forward(&images, Pass::Batch(0)))?;
        let progress = Progress { epochs: self.experiment.epochs, ..Progress::default() };
        for images in [1, 2, 3, self.experiment.evaluation.batch_size.get() as i64] {
            drop(self.fuse(&embedding.f_repeat([images, 1])?, &progress)?);
        }
        self.strategies.objectives.put_states(BTreeMap::new());
        Ok(())
    }

    /// Embeddings (N x D'), fused where there is a fusion, and labels (N) of a part of the data.
    pub(super) fn embed(&mut self, part: PartName, progress: &Progress) -> Result<(Tensor, Tensor), TrainingError> {
        let (features, labels) = self.features(part, None, &mut |_| ())?;
        Ok((self.fuse(&features, &unmeasured(progress))?, labels))
    }

    /// What is embedded to measure a part of the data.
    pub(super) fn embedded(&self, part: PartName) -> Vec<PartName> {
        if images(&self.dataset, part).is_empty() {
            return Vec::new();
        }
        // An image is its own nearest neighbour.
        let classified = self.experiment.evaluation.classification.is_some() && part != PartName::Train;
        std::iter::once(part).chain(classified.then_some(PartName::Train)).collect()
    }

    /// Measures a part of the data; none when it is empty. `watch` is told how far it is. With several ranks the others
    /// call [`features`](Self::features) of what is [`embedded`](Self::embedded) meanwhile.
    pub(super) fn evaluate(
        &mut self,
        part: PartName,
        progress: &Progress,
        ranks: Option<&Ranks>,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Evaluation>, TrainingError> {
        if images(&self.dataset, part).is_empty() {
            return Ok(None);
        }
        let (features, labels) = self.features(part, ranks, watch)?;
        // All that ranks do together comes before anything that can fail on one of them.
        let trained = self.embedded(part).contains(&PartName::Train) && part != PartName::Train;
        let trained = trained.then(|| self.features(PartName::Train, ranks, watch)).transpose()?;
        let (config, count) = (self.experiment.evaluation.clone(), self.experiment.model.slices as usize);
        let measured = config.slices && count > 1;
        if measured {
            watch(Measuring { what: "slices", done: 0, of: 1 });
        }
        let dataset = Arc::clone(&self.dataset);
        let roles = images(&dataset, part).queries_and_gallery();
        let roles = roles.map(|(queries, gallery)| eval::Roles { queries, gallery });
        let slices = match measured.then(|| eval::slices(&features, &labels, roles, count, &config)).transpose() {
            // The whole embedding has nothing to find either, which is told where that matters.
            Err(EvalError::NoQueries { .. }) => None,
            slices => slices?,
        };
        // A fusion may choose by the slices of the validation part, when that is measured and at no other time.
        let mut progress = unmeasured(progress);
        if let (PartName::Validation, Some(slices)) = (part, &slices) {
            let values = slices.values().into_iter();
            progress.metrics = Arc::new(values.map(|(name, value)| (format!("{part}/{name}"), value)).collect());
        }
        let embeddings = self.fuse(&features, &progress)?;
        let classification = match (&config.classification, trained) {
            (None, _) | (_, None) => BTreeMap::new(),
            (Some(classifiers), Some((features, known))) => {
                let features = self.fuse(&features, &progress)?;
                let (distance, block) = (config.distance, config.block);
                watch(Measuring { what: "classification", done: 0, of: 1 });
                eval::classify(&features, &known, &embeddings, &labels, classifiers, distance, block)?
            }
        };
        let evaluation = eval::evaluate(&embeddings, &labels, roles, &config, self.experiment.seed, watch)?;
        Ok(Some(Evaluation { slices, classification, ..evaluation }))
    }

    /// What somebody should know about the data, and about what cannot be measured on it.
    pub(super) fn data_warnings(&self) -> Vec<String> {
        let Self { dataset, experiment, .. } = self;
        let mut warnings = dataset.warnings().to_vec();
        let untrained = dataset.untrained_classes();
        if let (Some(first), true) = (untrained.first(), experiment.evaluation.classification.is_some()) {
            warnings.push(format!(
                "{} classes are measured but not trained on, such as `{first}`: no classifier can find them",
                untrained.len()
            ));
        }
        warnings
    }

    /// Gives the fusion, if there is one, what a checkpoint keeps of its.
    pub(super) fn load_fusion(&mut self, tensors: &BTreeMap<String, Tensor>) -> Result<(), TrainingError> {
        if self.experiment.fusion.is_none() {
            return Ok(());
        }
        let kept = below(tensors, "plugin/").into_iter().filter(|(name, _)| name.starts_with("fusion/"));
        let moved = kept.map(|(name, tensor)| Ok((name, tensor.f_to_device(self.device)?)));
        Ok(self.strategies.objectives.load_state(&moved.collect::<Result<_, TrainingError>>()?)?)
    }
}

/// The experiment of a run's revision, with the components that the run kept, and the text of it. `restored` says
/// whether a checkpoint gives the network its weights.
pub(super) fn kept(
    run: &Run,
    revision: u64,
    runtime: Arc<Runtime>,
    elsewhere: &Elsewhere,
    restored: bool,
) -> Result<(Assembly, Source), TrainingError> {
    let revision = run.revision(revision)?;
    let source = Source::read(&revision.experiment, &[])?;
    let places = run.places(&revision.about.plugins);
    let experiment = source.parse()?;
    same_files(run, &experiment, restored)?;
    let data = elsewhere.place(run, &experiment)?;
    let site = Site { data, device: elsewhere.device.clone(), run: Some(run.path().to_owned()), restored };
    let assembly = Assembly::new(&source, runtime, Places::Run(&places), site, |loader| loader)?;
    Ok((assembly, source))
}

/// Without metrics of a run: they may be of other weights than those that are measured.
fn unmeasured(progress: &Progress) -> Progress {
    Progress { metrics: Arc::default(), ..progress.clone() }
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

/// The name of a device in the experiment file and in the record.
pub(super) fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(number) => format!("cuda:{number}"),
        _ => "cpu".to_owned(),
    }
}
