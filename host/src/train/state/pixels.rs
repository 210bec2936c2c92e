//! The images of a step on the device, as the network gets them.

use lossmith_torch_shim::upload;
use tch::{Device, TchError, Tensor};

use crate::data::ImageBatch;
use crate::model::Parts;

/// The images of a batch. Of a divided one, a part is brought to the device whenever it is wanted.
pub(super) struct Pixels {
    images: Tensor,
    pub(super) parts: Parts,
    device: Device,
}

impl Pixels {
    /// Divides a batch. One that is not divided is brought to the device now.
    pub(super) fn new(batch: &ImageBatch, parts: Parts, device: Device) -> Result<Self, TchError> {
        let images = if parts.are_one() { upload(&batch.images, device)? } else { batch.images.shallow_clone() };
        Ok(Self { images, parts, device })
    }

    /// Those of a part, b x C x H x W, on the device.
    pub(super) fn part(&self, part: usize) -> Result<Tensor, TchError> {
        // A module may ask for a view that only images without gaps between them have.
        upload(&self.parts.rows(&self.images, part)?.f_contiguous()?, self.device)
    }
}
