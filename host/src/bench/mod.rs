//! `lossmith plugin bench`: time and memory of a step over the sizes of the batch and of the embedding.

mod measure;
mod native;
mod plot;

pub use measure::{KEEP_NOTHING, Measured, Quantity, Rival, measure};
pub use native::NAMES;
pub use plot::draw;
