//! The teacher: its embeddings of a training's batches, known beforehand or computed.

use std::path::Path;
use std::sync::Arc;

use lossmith_plugin::is_finite;
use lossmith_torch_shim::upload;
use tch::{Device, TchError, Tensor};

use super::TeacherError;
use super::cache::Cache;
use super::digest::Digests;
use super::source::{self, Network};
use crate::data::{BatchLoader, Dataset, ImageBatch, Preparation};
use crate::experiment::TeacherConfig;
use crate::model::{Model, Parts};

/// Tells what a teacher draws from what a student draws, which counts 0 and 1.
const DRAWN_BY_TEACHER: u64 = 2;

/// A trained network that is only looked at: no gradient, statistics of batch normalisation as they are.
pub struct Teacher {
    model: Model,
    device: Device,
    digest: Digests,
    name: String,
    dimension: i64,
    sight: Sight,
}

/// How the teacher sees training images.
enum Sight {
    /// Their embeddings are known: `rows[image]` is the image's row of `embeddings`.
    Known { embeddings: Tensor, rows: Vec<i64>, computed: bool },
    /// It looks at every batch, prepared in its own way, or as the student's if there is none.
    Batches(Option<Preparation>),
}

/// The teacher's view of a batch of B images, on the device.
pub struct View {
    /// B x D', 32-bit.
    pub embeddings: Tensor,
    /// B x C x H x W; none if the embeddings were known, or the network has none.
    pub feature_map: Option<Tensor>,
}

impl Teacher {
    /// Loads the teacher for a student's data. Without augmentation (and unless `cache` is off) the embeddings of the
    /// training part are read from a file in `folder`, or computed in batches of `batch_size` and kept there.
    ///
    /// # Errors
    /// The network cannot be loaded, does not fit the images, was trained on what the student is measured on, or a file
    /// of the cache is damaged.
    pub fn load(
        config: &TeacherConfig,
        dataset: &Arc<Dataset>,
        device: Device,
        folder: &Path,
        batch_size: usize,
    ) -> Result<Self, TeacherError> {
        config.check(dataset.channels()).map_err(TeacherError::setting)?;
        let Network { model, preparation, digest, file } = source::open(config, dataset, device)?;
        let name = config.run.as_ref().unwrap_or(&file).display().to_string();
        let per_batch = Sight::Batches((preparation != *dataset.preparation()).then(|| preparation.clone()));
        let mut teacher = Self { model, device, digest, name, dimension: 0, sight: per_batch };
        let images = dataset.train().indices();
        if dataset.augmented() || !config.cache {
            // One batch tells the dimension, and whether the images fit.
            let first = images.get(..2.min(images.len())).unwrap_or_default();
            teacher.dimension = columns(&teacher.embed(dataset, first, batch_size, &preparation)?);
            return Ok(teacher);
        }
        let cache = |digest: &str| Cache::new(folder, digest, dataset.digest(), images);
        let kept = match cache(&teacher.digest.present)?.read(images.len())? {
            Some(embeddings) => Some(embeddings),
            None => cache(&teacher.digest.earlier)?.read(images.len())?,
        };
        let (embeddings, computed) = match kept {
            Some(embeddings) => (embeddings, false),
            None => {
                let embeddings = teacher.embed(dataset, images, batch_size, &preparation)?;
                cache(&teacher.digest.present)?.write(&embeddings)?;
                (embeddings, true)
            }
        };
        teacher.dimension = columns(&embeddings);
        let mut rows = vec![0; images.last().map_or(0, |last| last + 1)];
        for (row, image) in images.iter().enumerate() {
            if let Some(place) = rows.get_mut(*image) {
                *place = row as i64;
            }
        }
        teacher.sight = Sight::Known { embeddings: embeddings.f_to_device(device)?, rows, computed };
        Ok(teacher)
    }

    /// SHA-256 in hexadecimal of all that decides its embeddings: the weights, the network, and how images are
    /// prepared.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest.present
    }

    /// Compares its digest with the one that a run began with.
    ///
    /// # Errors
    /// They differ.
    pub fn check_is(&self, expected: &str) -> Result<(), TeacherError> {
        if [&self.digest.present, &self.digest.earlier].into_iter().any(|digest| digest == expected) {
            return Ok(());
        }
        Err(TeacherError::Another { found: self.digest.present.clone(), expected: expected.to_owned() })
    }

    /// The run or file that it comes from.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A description in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let sight = match &self.sight {
            Sight::Known { computed: true, .. } => "embeddings computed and kept",
            Sight::Known { computed: false, .. } => "embeddings from the cache",
            Sight::Batches(_) => "runs on every batch",
        };
        let digest = self.digest.present.get(..12).unwrap_or_default();
        format!("{} dimensions, {sight} ({}, {digest})", self.dimension, self.name)
    }

    /// How a loader has to prepare [`ImageBatch::teacher_images`]; none where the teacher needs none.
    #[must_use]
    pub fn preparation(&self) -> Option<&Preparation> {
        match &self.sight {
            Sight::Batches(preparation) => preparation.as_ref(),
            Sight::Known { .. } => None,
        }
    }

    /// What it sees in the batch of a step. It looks at one part after the other; `images` gives those of a part as the
    /// student has them, on the device.
    ///
    /// # Errors
    /// What libtorch says, or if the teacher gives other rows or columns than at the start.
    pub fn view(
        &self,
        batch: &ImageBatch,
        parts: Parts,
        images: impl Fn(usize) -> Result<Tensor, TchError>,
        step: u64,
    ) -> Result<View, TeacherError> {
        match &self.sight {
            Sight::Known { embeddings, rows, .. } => {
                let rows: Vec<i64> = batch.indices.iter().filter_map(|image| rows.get(*image)).copied().collect();
                let rows = upload(&Tensor::f_from_slice(&rows)?, self.device)?;
                let embeddings = embeddings.f_index_select(0, &rows)?;
                self.check_shape(&embeddings, batch.indices.len())?;
                Ok(View { embeddings, feature_map: None })
            }
            Sight::Batches(_) => {
                let (embeddings, feature_map) = parts.join(|part| {
                    let images = match &batch.teacher_images {
                        Some(own) => upload(&parts.rows(own, part)?.f_contiguous()?, self.device)?,
                        None => images(part)?,
                    };
                    self.forward(&images, (step, part))
                })?;
                self.check_shape(&embeddings, batch.indices.len())?;
                Ok(View { embeddings, feature_map })
            }
        }
    }

    /// Whether the embeddings that it gave are finite. This waits for the device.
    ///
    /// # Errors
    /// It is not, or what libtorch says.
    pub fn check_finite(&self, embeddings: &Tensor) -> Result<(), TeacherError> {
        if is_finite(embeddings)? { Ok(()) } else { Err(TeacherError::NotFinite { name: self.name.clone() }) }
    }

    /// The shape alone, which nothing waits for.
    fn check_shape(&self, embeddings: &Tensor, images: usize) -> Result<(), TeacherError> {
        // It is 0 until the first result.
        let (found, dimension) = (embeddings.size(), Some(self.dimension).filter(|dimension| *dimension > 0));
        let fits = match found.as_slice() {
            &[rows, columns] => rows == images as i64 && columns > 0 && dimension.is_none_or(|known| known == columns),
            _ => false,
        };
        if fits { Ok(()) } else { Err(TeacherError::Shape { name: self.name.clone(), found, images, dimension }) }
    }

    /// `number` is the step, or counts the batches, and `part` the parts of one; random numbers that a module draws
    /// depend on these alone.
    fn forward(&self, images: &Tensor, (number, part): (u64, usize)) -> Result<(Tensor, Option<Tensor>), TeacherError> {
        let _no_grad = tch::no_grad_guard();
        self.model.seed(0, number, DRAWN_BY_TEACHER, part);
        Ok(self.model.forward_with_map(images, false)?)
    }

    /// Embeddings of unaugmented images, N x D' on the CPU.
    fn embed(
        &self,
        dataset: &Arc<Dataset>,
        images: &[usize],
        batch_size: usize,
        preparation: &Preparation,
    ) -> Result<Tensor, TeacherError> {
        let mut embeddings = Vec::new();
        for batch in BatchLoader::evaluation_as(dataset, images, batch_size, preparation)? {
            let batch = batch?;
            let (embedding, _) = self.forward(&batch.images.f_to_device(self.device)?, (embeddings.len() as u64, 0))?;
            self.check_shape(&embedding, batch.indices.len())?;
            embeddings.push(embedding.f_to_device(Device::Cpu)?);
        }
        let embeddings = Tensor::f_cat(&embeddings, 0)?;
        self.check_shape(&embeddings, images.len())?;
        if !is_finite(&embeddings)? {
            return Err(TeacherError::NotFinite { name: self.name.clone() });
        }
        Ok(embeddings)
    }
}

fn columns(matrix: &Tensor) -> i64 {
    matrix.size().last().copied().unwrap_or_default()
}
