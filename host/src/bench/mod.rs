//! `lossmith plugin bench`: time and memory of a step over the sizes of the batch and of the embedding.

mod measure;
pub mod native;
mod plot;

pub use measure::{KEEP_NOTHING, Measurement, Quantity, Rival, measure, rise};
pub use plot::draw;
