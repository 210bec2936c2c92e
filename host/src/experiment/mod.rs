//! The experiment file: what it may say, how it is read, and where in it an error is.

mod config;
mod device;
mod error;
mod expected;
mod keys;
mod learning_rate;
mod load;
mod optimizer;
mod out_of_range;
mod session;
mod setting;
mod spans;
mod teacher;
mod training;

pub use config::{Experiment, ObjectiveConfig, On, PluginSource, Precision, ShadowConfig, StrategyConfig, is_bare};
pub use device::{DeviceChoice, DeviceError};
pub use error::ExperimentError;
pub use learning_rate::{LearningRateConfig, Schedule};
pub(crate) use load::MOST_THREADS;
pub use load::{Source, schema};
pub use optimizer::{Algorithm, Multipliers, OptimizerConfig};
pub use out_of_range::OutOfRange;
pub(crate) use out_of_range::check_range;
pub use session::{OnFault, SessionConfig};
pub use setting::rooted;
pub use teacher::TeacherConfig;
pub use training::TrainingConfig;
