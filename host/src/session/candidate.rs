//! Candidates: what a training asks the gate to check, and what the gate says of it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use lossmith_plugin::candidate::{Sample, States};

use super::command::Command;
use super::watch::Followed;
use crate::experiment::{Experiment, Source};
use crate::objective::{Bound, ObjectiveError, Shadow, Strategies};
use crate::run::{About, Change, Edit, Verdict};

/// The text that edits start from.
#[derive(Clone, Debug)]
pub enum Base {
    /// A file, read anew for each candidate, with `key=value` settings of the command line.
    File(PathBuf, Vec<String>),
    /// A text, in which the first edits are made already.
    Text {
        /// The text.
        source: Source,
        /// How many edits it has.
        applied: usize,
    },
}

/// What a candidate is made of.
pub enum Wanted {
    /// An experiment's text with what commands changed in it.
    Edited(Base, Vec<Edit>),
    /// What the run trained with before.
    Revision(u64),
}

/// What is live, as candidates are compared to it.
pub struct Live<'a> {
    /// The revision.
    pub revision: u64,
    /// The revision before it; `None` if the run trains with what it began with.
    pub before: Option<u64>,
    /// The text that edits start from.
    pub base: &'a Base,
    /// All edits by commands since then, those of a candidate that waits for the next epoch included.
    pub edits: &'a [Edit],
    /// The experiment.
    pub experiment: &'a Experiment,
    /// The strategies.
    pub strategies: &'a Strategies,
    /// Components, and experiments, that are refused.
    pub quarantine: &'a BTreeSet<String>,
}

/// A candidate to check, with all that it is compared to.
pub struct Job {
    /// Its number.
    pub number: u64,
    /// What it is made of.
    pub wanted: Wanted,
    /// How many edits by commands were accepted before.
    pub settled: usize,
    /// The revision that is at work.
    pub revision: u64,
    /// Its experiment.
    pub live: Experiment,
    /// Its strategies.
    pub bound: Vec<Bound>,
    /// Whether components are read from their files again, or only where the experiment names another.
    pub reread: bool,
    /// Components that are refused.
    pub quarantine: BTreeSet<String>,
    /// A batch of the run.
    pub sample: Sample,
    /// Copies of what the slots keep.
    pub states: States,
    /// Copies of what slots are to begin with instead.
    pub brought: Option<States>,
    /// The command that asked for it, if it was one. It is answered when there is a verdict.
    pub asked: Option<Command>,
    /// When it was asked for.
    pub begun: Instant,
}

/// What became of a job.
pub struct Checked {
    /// Its number.
    pub number: u64,
    /// The verdict.
    pub verdict: Verdict,
    /// What can be taken now.
    pub staged: Option<Staged>,
    /// The command that asked for it, if it was one. It is answered when there is a verdict.
    pub asked: Option<Command>,
    /// The files that it is made of, once they are known.
    pub followed: Option<Vec<Followed>>,
    /// Whether it is a revision from before.
    pub reverts: bool,
}

/// An accepted candidate, ready to train with.
pub struct Staged {
    /// Its number.
    pub number: u64,
    /// The revision that it was compared to.
    pub revision: u64,
    /// The text of its experiment.
    pub source: Source,
    /// Its experiment.
    pub experiment: Experiment,
    /// Its strategies, which keep nothing yet.
    pub strategies: Strategies,
    /// What is known of it.
    pub about: About,
    /// What changed in the experiment.
    pub changes: Vec<Change>,
    /// What slots are to begin with instead of what is kept.
    pub brought: Option<States>,
}

/// Copies of what a shadow keeps, under the places of the objective that it would replace.
pub(super) fn brought(shadow: &Shadow) -> Result<States, ObjectiveError> {
    let states = shadow.objectives.copy_states()?.into_iter();
    let renamed = states.map(|(place, state)| {
        let role = place.rsplit('.').next().unwrap_or_default();
        (format!("objective.{}.{role}", shadow.config.replaces), state)
    });
    Ok(renamed.collect())
}
