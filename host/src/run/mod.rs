//! What of a run takes libtorch or a page: the tensors of its checkpoints and revisions, and its report. All else of
//! the folder of a run is the crate `lossmith-run`, which has a picture of it.

mod checkpoint;
mod compare;
mod config;
mod error;
pub mod report;

pub use checkpoint::{
    Checkpoint, load_checkpoint, revision_state, save_checkpoint, save_interrupted, store_revision, write_checked,
    write_tensors,
};
pub use compare::compare;
pub use config::RunConfig;
pub use error::RecordError;
pub use lossmith_run::{
    About, Canary, Change, Claim, Comparison, Confusion, DataFile, DataHistory, Difference, Direction, Edit, Entry,
    Estimate, Event, FileEntry, KeptCheckpoints, Lines, Manifest, MetricsLog, PluginChange, PluginEntry, Preprocessing,
    Process, Revision, RevisionChange, Row, RowKind, Run, RunError, RunSummary, SideBySide, SourceChange, Status,
    TeacherEntry, Verdict, Versions, best, commit, compare_numbers, data_changes, estimate, file_digest, list, mean,
    side_by_side, varies,
};
