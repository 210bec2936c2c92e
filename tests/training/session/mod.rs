//! Edits of a training that runs, and the ways back.

mod blame;
mod branch;
mod control;
mod crates;
mod disk;
pub(crate) mod driver;
mod edits;
mod hostile;
mod kills;
mod later;
mod micro_batches;
mod ranks;
mod replay;
mod resume;
mod reverts;
mod rollback;
mod shadows;
mod state;
mod tensorboard;
mod torture;
