//! Objectives: losses and transfers that add up, each with the strategies that it needs.

mod batch;
mod blame;
mod culprit;
mod error;
mod imbalance;
mod objectives;
mod placed_slot;
mod term;
mod thresholds;

pub use batch::{Batch, gradient_of};
pub use error::ComputeError;
pub use objectives::{Objectives, Outcome};
pub use term::{ComputedOn, Objective};
