//! `lossmith plugin new`: a folder with a plugin that builds, passes its check and trains, to be edited.
//!
//! Everything that is written is in this binary (see `files.rs`), so that it works where there are no sources of
//! Lossmith. The folder is written under another name and renamed when it is whole.

mod create;
mod error;
mod files;
mod language;
mod name;

pub use create::{Created, create};
pub use error::ScaffoldError;
pub use language::Language;
