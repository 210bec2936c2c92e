//! Objectives of an experiment: where the training meets the plugins. `train/` knows nothing of wasmtime,
//! `lossmith-plugin` nothing of training.

mod build;
mod error;
mod load;
mod strategies;

pub use error::ObjectiveError;
pub use load::{Bound, Loader, Places};
pub use strategies::{Shadow, Strategies};
