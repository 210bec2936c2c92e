//! How images are prepared for a network.

use std::sync::Arc;

use crate::resample::{Resampler, Scratch};
use crate::{Crop, Picture};

/// How images are prepared for a network: size and normalisation. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Preparation {
    mean: Vec<f64>,
    std: Vec<f64>,
    resampler: Arc<Resampler>,
}

impl Preparation {
    /// For a network whose input is `size` pixels a side; mean and standard deviation of each channel on the scale of 0
    /// (black) to 1 (white).
    #[must_use]
    pub fn new(size: usize, mean: &[f64], std: &[f64]) -> Self {
        Self { mean: mean.to_vec(), std: std.to_vec(), resampler: Arc::new(Resampler::new(size, mean, std)) }
    }

    /// The same with what is given changed.
    #[must_use]
    pub fn with(&self, size: Option<usize>, mean: Option<&[f64]>, std: Option<&[f64]>) -> Self {
        Self::new(size.unwrap_or(self.size()), mean.unwrap_or(&self.mean), std.unwrap_or(&self.std))
    }

    /// Mean of each channel on the scale of 0 (black) to 1 (white).
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Standard deviation of each channel on the same scale.
    #[must_use]
    pub fn std(&self) -> &[f64] {
        &self.std
    }

    /// Height and width of the network's input in pixels.
    #[must_use]
    pub fn size(&self) -> usize {
        self.resampler.size
    }

    /// Numbers of one image: channels x size x size.
    #[must_use]
    pub fn numbers(&self) -> usize {
        self.resampler.len()
    }

    /// Writes `crop` of `picture`, resized and normalised, into `output`: channel by channel, row by row. `output` has
    /// [`Preparation::numbers`] numbers and the picture the channels that this was made for; else what is written is
    /// of no use.
    pub fn write(&self, picture: &Picture<'_>, crop: &Crop, scratch: &mut Scratch, output: &mut [f32]) {
        self.resampler.write(picture, crop, scratch, output);
    }

    /// An image as the network sees it in evaluation: its largest square in the middle, resized and normalised, channel
    /// by channel, row by row. `pixels` are row by row, the channels of a pixel side by side. `None` if they are not
    /// `height` x `width` pixels of as many channels, or there are none.
    #[must_use]
    pub fn evaluated(&self, pixels: &[u8], height: usize, width: usize) -> Option<Vec<f32>> {
        let expected = height.checked_mul(width)?.checked_mul(self.mean.len())?;
        if expected == 0 || pixels.len() != expected {
            return None;
        }
        let picture = Picture { pixels: pixels.into(), width, height };
        let mut output = vec![0.0; self.resampler.len()];
        self.resampler.write(&picture, &Crop::square(width, height), &mut Scratch::default(), &mut output);
        Some(output)
    }
}
