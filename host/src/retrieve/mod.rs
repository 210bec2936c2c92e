//! What a network finds: queries, their nearest neighbours, and a picture of both.

mod choose;
mod draw;
mod error;
mod lists;

pub use choose::queries;
pub use draw::{CAPTION, FRAME, GAP, INK, RIGHT, SIDE, WRONG, draw, size};
pub use error::RetrieveError;
pub use lists::{Hit, QueryResult, find, same_part};
