//! Images and labels: where they come from, how they are split, in which order and how prepared they reach the network.
//!
//! [`Dataset::open`] reads a [`DataConfig`] and splits the images into a training, a validation and a test [`Part`].
//! A [`Sampler`] draws the batches of an epoch, and a [`Loader`] decodes, augments and delivers them ahead of the step.

mod cars;
mod config;
mod crop;
mod cub;
mod dataset;
mod error;
pub mod fetch;
#[cfg(test)]
mod fixtures;
mod folder;
mod idx;
mod kind;
mod listing;
mod loader;
mod manifest;
mod mat;
mod places;
mod products;
mod resample;
mod sampler;
mod source;
mod split;
mod summary;
mod table;

pub use config::{AugmentationConfig, DataConfig, SamplerConfig, SplitKind};
pub use dataset::{Dataset, Part};
pub use error::DataError;
pub use kind::DataKind;
pub use loader::{Batch, Loader};
pub use places::{find, places};
pub use resample::Preparation;
pub use sampler::Sampler;
pub use summary::{PartSummary, Summary};
