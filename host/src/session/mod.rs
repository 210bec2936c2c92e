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
//! This folder knows how candidates are made, checked and asked for. Taking one, and going back from it, is the training's
//! business (`train/revisions.rs`).

mod canary;
pub mod control;
pub mod edit;
mod error;
mod gate;
mod left_behind;
mod message;
mod refusal;
mod session;
mod watch;

pub use canary::{Sample, States};
pub use error::SessionError;
pub use gate::{Base, Checked, Job, Staged, Wanted, entries};
pub use message::Mail;
pub use session::{Session, followed, sources_of};
pub(crate) use watch::Watcher;
pub use watch::{Followed, Seen};
