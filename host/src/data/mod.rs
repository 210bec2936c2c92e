//! Images and labels: where they come from, how they are split, in which order and how prepared they reach the network.
//!
//! [`Dataset::open`] reads a [`DataConfig`] and splits the images into a training, a validation and a test [`Part`].
//! A [`Sampler`] draws the batches of an epoch, and a [`BatchLoader`] decodes, augments and delivers them ahead of the
//! step.
//!
//! ```text
//! fetch: where data comes from and where it lies
//!   --> sets: the images and classes of each data set, read by means of files
//!   --> split: which of them train, validate and test  --> Dataset
//!   --> batches: drawn, decoded, cropped               --> the training
//! ```

mod batches;
mod config;
mod dataset;
mod error;
pub mod fetch;
mod files;
#[cfg(test)]
mod fixtures;
mod kind;
mod part;
mod sets;
mod split;
mod summary;
mod warnings;

pub use batches::{AugmentationConfig, BatchLoader, ClassWeights, Drawn, ImageBatch, Sampler, SamplerConfig};
pub use config::{DataConfig, SplitKind};
pub use dataset::Dataset;
pub use error::DataError;
pub use fetch::{find, places};
pub use kind::DataKind;
pub use lossmith_images::{Area, ImageFault, Preparation};
pub use part::{Part, PartName};
pub use summary::{DataSummary, PartSummary, Skipped};
