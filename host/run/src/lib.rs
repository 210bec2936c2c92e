//! The folder of a run: what a training leaves behind, as plain files. Nothing here needs libtorch.
//!
//! ```text
//! runs/NAME-20250131-140502/
//!   experiment.toml          the experiment with all defaults filled in
//!   manifest.json            versions, seed, device, data, plugins: what is needed to run it again   [`Manifest`]
//!   journal.jsonl            what happened to the run, one event a line                              [`Event`]
//!   data.csv                 the image files that it was trained and measured on                     [`DataFile`]
//!   metrics.jsonl            what was measured, one row a line                                       [`Row`]
//!   confusion.jsonl          which classes were taken for which, where an experiment asks for it     [`Confusion`]
//!   events.out.tfevents.*    the same for TensorBoard
//!   plugins/SHA256.wasm      the components that ran
//!   sources/SHA256/          what those were built of that were built for the run
//!   revisions/0002/          what an edit of the running training changed it to                      [`Revision`]
//!   checkpoints/epoch-0003.safetensors, best.safetensors                                         [`KeptCheckpoints`]
//!   ranks/1.log              what another process than the first said, where several train together
//!   control/socket           where a training at work listens for `lossmith session`
//!   report.html              a page to look at; `lossmith board` shows the same and follows it
//! ```
//!
//! While a run goes on, files are only added or appended to. There is no lock and no database: whether a run still goes
//! on is derived from its journal and from the process that wrote it ([`Status`]). Who looks at a run while it goes on
//! follows its files with a [`Tail`]. Tensors are written and read by the crate `lossmith`.

mod change;
mod checkpoints;
mod compare;
mod confusion;
pub mod control;
mod curves;
mod data;
mod direction;
mod directory;
mod disk;
mod edits;
mod error;
mod history;
mod journal;
mod journal_text;
mod jsonl;
mod lock;
mod manifest;
mod metrics;
mod process;
mod revision;
mod row;
mod side_by_side;
mod sources;
mod statistics;
mod status;
mod tail;
mod tensorboard;
mod varies;

pub use change::Change;
pub use compare::{Comparison, Difference, compare_numbers};
pub use confusion::Confusion;
pub use curves::{Curves, Point, Steps};
pub use data::{DataFile, DataHistory, data_changes};
pub use direction::{Direction, best, best_of};
pub use directory::{Run, RunSummary, find, list, reached};
pub use disk::KeptCheckpoints;
pub use edits::{Exchange, RunEdit, Taken, Undone};
pub use error::RunError;
pub use history::{PluginChange, RevisionChange, SourceChange};
pub use journal::{Canary, Entry, Event, Verdict};
pub use jsonl::Lines;
pub use lock::Claim;
pub use manifest::{FileEntry, Manifest, PluginEntry, Preprocessing, TeacherEntry, Versions, commit, file_digest};
pub use metrics::MetricsLog;
pub use process::Process;
pub use revision::{About, Edit, Revision};
pub use row::{Row, RowKind};
pub use side_by_side::{SideBySide, side_by_side};
pub use statistics::{Estimate, estimate, mean};
pub use status::Status;
pub use tail::{News, Tail};
pub use varies::{Leaves, leaves, varies, varying};
