//! Retrieval by a run's network: queries, their nearest neighbours, and a picture of both.

mod draw;
mod error;
mod queries;
mod search;

pub use draw::{CAPTION, FRAME, GAP, INK, RIGHT, SIDE, WRONG, draw, size};
pub use error::RetrieveError;
pub use queries::queries;
pub use search::{Hit, QueryResult, find, same_part};
