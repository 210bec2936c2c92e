//! Objectives: where the training meets the plugins. `train/` knows nothing of wasmtime, `plugin/` nothing of training.

mod blame;
mod culprit;
mod error;
mod imbalance;
mod load;
mod objectives;
mod placed;
mod strategies;
mod thresholds;

pub use error::ObjectiveError;
pub use load::{Bound, Loader, Places};
pub use objectives::{Batch, Objectives, Outcome};
pub use strategies::{Shadow, Strategies};
