//! Training: the optimizer and its learning rate.

mod error;
mod learning_rate;
mod optimizer;

pub use error::TrainError;
pub use learning_rate::{LearningRateConfig, Schedule};
pub use optimizer::{Algorithm, Multipliers, Optimizer, OptimizerConfig};
