//! Sessions: edits of a training that runs, checked beside it and taken between two epochs.
//!
//! ```text
//! files ----> watch --+                                   (thread)
//! commands -> control-+--> mail --> training ---job---> gate: load, compare, try out on a batch    (thread)
//!                            ^         |                  |
//!                            |         +--- at the start of an epoch: takes what is accepted
//!                            +------------ verdict -------+
//! ```
//!
//! This folder knows how candidates are made, checked and asked for. Taking one, and going back from it, is the
//! training's business (`train/revisions.rs`).

mod canary;
mod candidate;
pub mod control;
pub mod edit;
mod error;
mod files;
mod gate;
mod left_behind;
mod message;
mod refusal;
#[expect(clippy::module_inception, reason = "it has what the folder is named after")]
mod session;
mod watch;

pub use canary::{Sample, States};
pub use candidate::{Base, Checked, Job, Staged, Wanted};
pub use error::SessionError;
pub use files::{followed, sources_of};
pub use gate::entries;
pub use message::Mail;
pub use session::Session;
pub(crate) use watch::Watcher;
pub use watch::{Followed, Seen};
