//! The experiment file: what it may say, how it is read, and where in it an error is.

mod config;
mod error;
mod keys;
mod load;
mod setting;
mod spans;

pub use config::{
    DeviceChoice, Experiment, ObjectiveConfig, On, PluginSource, Precision, ShadowConfig, StrategyConfig,
};
pub use error::ExperimentError;
pub(crate) use load::MOST_THREADS;
pub use load::{Source, is_bare, schema};
pub use setting::rooted;
