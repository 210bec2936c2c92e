//! Sessions: edits of a training that runs, checked beside it and taken between two epochs.
//!
//! ```text
//! watch:   files, and sources of crates ----+                                                   (thread)
//! control: commands of `lossmith session` --+--> message                                        (threads)
//! gate:    verdicts on candidates ----------+       |
//!                                                   v
//! session: the queue of what is asked for, whether it waits, a sample --> order              (the training's thread)
//!                                                                           |
//!    +-- job <-- a training carries it out, as it does other orders <-------+
//!    v
//! gate: load, compare (edit), try out on the sample: what is staged, or a refusal      (thread)
//! ```
//!
//! Which request is served when is decided here, and how a candidate is made and checked. Taking one, and going back
//! from it, is the training's business (`train/training/swap.rs` and `rollback.rs`).

mod candidate;
mod command;
pub mod edit;
mod error;
mod files;
mod gate;
mod message;
mod order;
mod queue;
mod refusal;
mod reverted_files;
#[expect(clippy::module_inception, reason = "it has what the folder is named after")]
mod session;
mod watch;

pub use candidate::{Base, Checked, Job, Live, Staged, Wanted};
pub use command::Command;
pub use error::SessionError;
pub use files::{followed, sources_of};
pub use gate::entries;
pub use lossmith_run::control;
pub use message::Mail;
pub use order::Order;
pub use refusal::Refusal;
pub use session::Session;
pub use watch::{Followed, Seen, WatchError, Watcher};
