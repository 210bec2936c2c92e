//! Batches: a [`Sampler`] draws them, and a [`BatchLoader`] decodes, crops and resizes their images ahead of the step.

mod augmentation_config;
mod class_quota;
mod crop;
mod loader;
mod sampler;
mod sampler_config;
mod shuffled;

pub use augmentation_config::AugmentationConfig;
pub use loader::{BatchLoader, Drawn, ImageBatch};
pub use sampler::Sampler;
pub use sampler_config::{ClassWeights, SamplerConfig};
