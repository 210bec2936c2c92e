//! Embeddings of a part of the data.

use std::sync::Arc;

use tch::{Device, Tensor};

use super::training::TrainingError;
use crate::data::{Dataset, Loader, Part};
use crate::model::Model;
use crate::plugin::{Input, Progress, Slot};

/// How images become embeddings.
pub(super) struct Embedder<'a> {
    pub(super) model: &'a Model,
    pub(super) device: Device,
    pub(super) bf16: bool,
    pub(super) fusion: Option<&'a mut Slot>,
    pub(super) slice_count: i64,
    pub(super) batch_size: usize,
}

impl Embedder<'_> {
    /// Embeddings (N x D, on the device) and labels (N, on the device) of a part, in its order.
    pub(super) fn embed(&mut self, dataset: &Arc<Dataset>, part: &Part, progress: &Progress) -> Result<(Tensor, Tensor), TrainingError> {
        let mut embeddings = Vec::new();
        for batch in Loader::evaluation(dataset, part.indices(), self.batch_size)? {
            let images = batch?.images.f_to_device(self.device)?;
            let (model, device, bf16) = (self.model, self.device, self.bf16);
            let embedding = tch::no_grad(|| {
                lossmith_torch_shim::autocast(device, bf16, || model.forward(&images, false))
            })??;
            embeddings.push(match &mut self.fusion {
                None => embedding,
                Some(fusion) => {
                    let input =
                        Input { embeddings: Some(embedding), slice_count: self.slice_count, ..Input::default() };
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
}
