//! Training: the optimizer and its learning rate.

mod error;
mod learning_rate;
mod optimizer;
mod optimizer_config;

pub use error::TrainError;
pub use learning_rate::{LearningRateConfig, Schedule};
pub use optimizer::Optimizer;
pub use optimizer_config::{Algorithm, Multipliers, OptimizerConfig};
