//! What all crates of the host do with files: read regular ones up to a size, replace one so that it is there whole or
//! not at all, and write down what is hashed.

mod hex;
mod quoted;
mod read;
mod replace;

pub use hex::hex;
pub use quoted::quoted;
pub use read::{IMAGE, LIST, TEXT, WEIGHTS, check_path, open, read, read_text};
pub use replace::{ASIDE, replace};
