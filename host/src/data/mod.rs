//! Images and labels: where they come from, how they are split, in which order and how prepared they reach the network.
//!
//! [`Dataset::open`] reads a [`DataConfig`] and splits the images into a training, a validation and a test [`Part`].
//! A [`Sampler`] draws the batches of an epoch, and a [`Loader`] decodes, augments and delivers them ahead of the step.

mod affectnet;
mod assignment;
mod cars;
mod class_folders;
mod closed_set;
mod config;
mod crop;
mod cub;
mod dataset;
mod deck;
mod decode;
mod error;
mod fer2013;
pub mod fetch;
#[cfg(test)]
mod fixtures;
mod folder;
mod folds;
mod header;
mod idx;
mod image_fault;
mod kind;
mod listing;
mod loader;
mod manifest;
mod manifest_row;
mod mat;
mod places;
mod products;
mod raf_db;
mod reader;
mod relabel;
mod resample;
mod sampler;
mod sampler_config;
mod schedule;
mod sfew;
mod sheet;
mod source;
mod split;
mod subject_folder;
mod summary;
mod survey;
mod table;
mod warnings;

pub use config::{AugmentationConfig, DataConfig, SplitKind};
pub use dataset::{Dataset, Part};
pub use error::DataError;
pub use image_fault::ImageFault;
pub use kind::DataKind;
pub use loader::{Batch, Loader};
pub use places::{find, places};
pub use resample::Preparation;
pub use sampler::Sampler;
pub use sampler_config::{ClassWeights, SamplerConfig};
pub use source::Area;
pub use summary::{PartSummary, Skipped, Summary};
