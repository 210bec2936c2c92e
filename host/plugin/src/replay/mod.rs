//! Runs recorded calls again.

mod programs;
mod run;

pub(crate) use programs::Programs;
pub(crate) use run::{ReplayFault, Replayed, replay};
