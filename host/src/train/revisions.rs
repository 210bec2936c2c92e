//! The revisions of a run: which one is at work, which ones were before it, and which one is next.
//!
//! A revision takes over at the start of an epoch and nowhere else. The way back from it is the checkpoint of that
//! moment with the revision before. A resumed and a repeated run follow the same path as the run did, by its journal:
//! the script.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lossmith_plugin::candidate::{Probation, ProbationError};
use lossmith_plugin::{Progress, Runtime};
use sha2::{Digest, Sha256};
use tch::Tensor;

use super::state::TrainingState;
use super::training_error::TrainingError;
use crate::experiment::{Experiment, Source};
use crate::objective::{Bound, Loader, Places, Strategies};
use crate::run::{self, Checkpoint, Edit, Run, RunError, Verdict};
use crate::session::{Base, Live, Staged};

/// So many of the last revisions keep the checkpoint before them until the run ends.
const WAYS_BACK: usize = 5;
/// What losses are compared to, in a checkpoint inside the first steps of a revision.
const REFERENCE: &str = "probation/reference";

/// What a training knows of its revisions.
pub(super) struct Revisions {
    /// The revisions that led to the one at work, which is the last.
    lineage: Vec<u64>,
    /// The epochs that were complete when revisions were taken.
    taken: BTreeMap<u64, u64>,
    /// Revisions that take over at these steps, as the journal of `scripted_by` says.
    script: BTreeMap<u64, u64>,
    scripted_by: Run,
    /// The step after which a repetition ends.
    until: Option<u64>,
    /// What edits start from; `None` before the training is assembled.
    base: Option<Base>,
    /// All edits by commands since the experiment file.
    edits: Vec<Edit>,
    /// The candidate that was accepted and waits for the next epoch.
    staged: Option<Staged>,
    /// Components, and experiments, that were rolled back.
    quarantine: BTreeSet<String>,
    /// The components of the revision before, while it may be needed again soon.
    previous: Vec<Bound>,
    probation: Option<Probation>,
}

impl Revisions {
    /// Of a run that begins.
    pub(super) fn new(run: Run) -> Self {
        Self {
            lineage: vec![0],
            taken: BTreeMap::new(),
            script: BTreeMap::new(),
            scripted_by: run,
            until: None,
            base: None,
            edits: Vec::new(),
            staged: None,
            quarantine: BTreeSet::new(),
            previous: Vec::new(),
            probation: None,
        }
    }

    /// Of a run that goes on from the checkpoint of a step.
    pub(super) fn at(run: &Run, step: u64) -> Result<Self, RunError> {
        let mut revisions = Self::new(run.clone());
        for entry in run.journal()?.rows {
            match entry.event {
                run::Event::Swap { revision, step: at, epoch, .. } if at < step => {
                    revisions.lineage.push(revision);
                    revisions.taken.insert(revision, epoch);
                }
                run::Event::Verdict { verdict: Verdict::Accepted { .. }, .. } => revisions.quarantine.clear(),
                run::Event::Rollback { to, step: at, quarantined, .. } => {
                    revisions.quarantine.extend(quarantined);
                    if at < step {
                        revisions.step_to(to);
                    }
                }
                _ => {}
            }
        }
        revisions.script = run.timeline()?.split_off(&step);
        revisions.edits = run.revision(revisions.revision())?.about.edits;
        Ok(revisions)
    }

    /// Makes it repeat another run, up to a step if that is given.
    pub(super) fn repeat(&mut self, original: Run, until: Option<u64>) -> Result<(), RunError> {
        self.script = original.timeline()?;
        (self.scripted_by, self.until) = (original, until);
        Ok(())
    }

    /// The revision at work.
    pub(super) fn revision(&self) -> u64 {
        self.lineage.last().copied().unwrap_or_default()
    }

    /// The one before it.
    pub(super) fn before(&self) -> Option<u64> {
        self.lineage.len().checked_sub(2).and_then(|place| self.lineage.get(place)).copied()
    }

    /// Whether a revision is at work or led to the one at work.
    pub(super) fn is_known(&self, revision: u64) -> bool {
        self.lineage.contains(&revision)
    }

    /// The epochs that were complete when the revision at work was taken.
    pub(super) fn taken_after(&self) -> Option<u64> {
        self.taken.get(&self.revision()).copied()
    }

    /// The epochs whose checkpoints are the way back from a revision.
    pub(super) fn ways_back(&self) -> BTreeSet<u64> {
        let revisions = self.lineage.iter().skip(1).rev().take(WAYS_BACK);
        revisions.filter_map(|revision| self.taken.get(revision)).copied().collect()
    }

    /// Forward to a new revision, or back to one of the lineage.
    fn step_to(&mut self, revision: u64) {
        match self.lineage.iter().position(|earlier| *earlier == revision) {
            Some(place) => self.lineage.truncate(place + 1),
            None => self.lineage.push(revision),
        }
    }

    /// The revision that the script has for a step, if it is not at work already. It is asked for once.
    pub(super) fn scripted(&mut self, step: u64) -> Option<u64> {
        self.script.remove(&step).filter(|revision| *revision != self.revision())
    }

    /// Whether the script has revisions for later steps. No candidate is taken before them.
    pub(super) fn is_scripted(&self) -> bool {
        !self.script.is_empty()
    }

    /// The run whose journal the script is of.
    pub(super) fn scripted_by(&self) -> &Run {
        &self.scripted_by
    }

    /// Whether a repetition has come to where the other run is.
    pub(super) fn is_repeated(&self, step: u64) -> bool {
        self.until.is_some_and(|until| step >= until)
    }

    /// The candidate that waits for the next epoch.
    pub(super) fn staged(&self) -> Option<&Staged> {
        self.staged.as_ref()
    }

    /// Takes the candidate that waits.
    pub(super) fn take_staged(&mut self) -> Option<Staged> {
        self.staged.take()
    }

    /// Makes a candidate wait for the next epoch. Returns the one that waited before.
    pub(super) fn stage(&mut self, staged: Option<Staged>) -> Option<Staged> {
        std::mem::replace(&mut self.staged, staged)
    }

    /// What is live, as the next candidate is compared to it; `None` before the training is assembled.
    pub(super) fn live<'a>(&'a self, state: &'a TrainingState) -> Option<Live<'a>> {
        Some(Live {
            revision: self.revision(),
            before: self.before(),
            base: self.base.as_ref()?,
            edits: self.staged.as_ref().map_or(&self.edits, |staged| &staged.about.edits),
            experiment: state.experiment(),
            strategies: &state.assembly().strategies,
            quarantine: &self.quarantine,
        })
    }

    /// What edits start from.
    pub(super) fn base(&self) -> Option<&Base> {
        self.base.as_ref()
    }

    /// The experiment file that edits start from, with its settings, if it is followed.
    pub(super) fn file(&self) -> Option<(&Path, &[String])> {
        match &self.base {
            Some(Base::File(file, sets)) => Some((file.as_path(), sets.as_slice())),
            Some(Base::Text { .. }) | None => None,
        }
    }

    /// Edits start from a text, in which those of before are made.
    pub(super) fn start_from_text(&mut self, source: Source) {
        self.base = Some(Base::Text { source, applied: self.edits.len() });
    }

    /// Edits start from a file, which is read anew for each, with these settings.
    pub(super) fn start_from_file(&mut self, file: PathBuf, sets: Vec<String>) {
        self.base = Some(Base::File(file, sets));
    }

    /// All edits by commands since the experiment file.
    pub(super) fn edits(&self) -> &[Edit] {
        &self.edits
    }

    /// Takes over the edits of the run that this one branches from.
    pub(super) fn inherit(&mut self, edits: Vec<Edit>) {
        self.edits = edits;
    }

    /// The edits are those of another revision. Later ones start from its text, unless they start from a file.
    pub(super) fn edited(&mut self, edits: &[Edit], source: &Source) {
        self.edits = edits.to_vec();
        match self.base {
            Some(Base::Text { .. }) => self.start_from_text(source.clone()),
            Some(Base::File(..)) | None => {}
        }
    }

    /// A revision took over after so many epochs, in place of one with these components.
    pub(super) fn took(&mut self, revision: u64, epoch: u64, previous: Vec<Bound>) {
        self.previous = previous;
        self.step_to(revision);
        self.taken.entry(revision).or_insert(epoch);
    }

    /// The training went back to a revision, and refuses these components or this experiment from now on.
    pub(super) fn went_back(&mut self, to: u64, quarantined: Vec<String>) {
        self.quarantine.extend(quarantined);
        self.step_to(to);
        self.probation = None;
    }

    /// Nothing is refused any more.
    pub(super) fn clear_quarantine(&mut self) {
        self.quarantine.clear();
    }

    /// A revision that a run keeps, with components that are compiled already where they are the same.
    pub(super) fn load(
        &self,
        run: &Run,
        number: u64,
        state: &TrainingState,
        runtime: &Arc<Runtime>,
    ) -> Result<(Source, Experiment, Strategies), TrainingError> {
        let revision = run.revision(number)?;
        let source = Source::read(&revision.experiment, &[])?;
        let experiment = source.parse()?;
        let places = run.places(&revision.about.plugins);
        let compiled = state.assembly().strategies.bound.iter().chain(&self.previous);
        let known = compiled.map(|bound| Arc::clone(&bound.plugin)).collect();
        let (runtime, device) = (Arc::clone(runtime), state.assembly().device);
        let limits = experiment.limits.clone();
        let loader = Loader::new(runtime, &source, Places::Run(&places), device, experiment.seed, limits);
        let strategies = Strategies::load(&experiment, loader.knowing(known))?;
        Ok((source, experiment, strategies))
    }

    /// The first steps of the revision at work begin.
    pub(super) fn begin_probation(&mut self, step: u64, steps: u64) {
        self.probation = Some(Probation::new(step, steps));
    }

    /// Takes up the first steps of a revision where a checkpoint was written in them.
    pub(super) fn resume_probation(
        &mut self,
        run: &Run,
        checkpoint: Option<&Checkpoint>,
        steps: u64,
    ) -> Result<(), TrainingError> {
        let Some(checkpoint) = checkpoint else { return Ok(()) };
        let swapped = run.timeline()?.range(..checkpoint.step).next_back().map(|(step, _)| *step);
        if let (Some(step), Some(reference)) = (swapped, checkpoint.tensors.get(REFERENCE)) {
            self.probation = Some(Probation::restored(step, steps, reference.f_double_value(&[])?));
        }
        Ok(())
    }

    /// Whether these are the first steps of a revision.
    pub(super) fn is_on_probation(&self) -> bool {
        self.probation.is_some()
    }

    /// In the first steps of a revision, an error if the loss is not finite or grows too much. These few steps wait for
    /// the device.
    pub(super) fn check_loss(
        &mut self,
        loss: &Tensor,
        progress: &Progress,
        divergence: f64,
    ) -> Result<(), ProbationError> {
        let Some(probation) = &mut self.probation else { return Ok(()) };
        let before = progress.metrics.get("loss").copied().unwrap_or_default();
        probation.check(loss, progress.step, before, divergence)
    }

    /// Ends the first steps of a revision when they are over; with the epoch at the latest.
    pub(super) fn end_probation(&mut self, step: u64, end_of_epoch: bool) {
        if self.probation.as_ref().is_some_and(|probation| end_of_epoch || probation.is_over(step)) {
            self.probation = None;
            self.previous.clear();
        }
    }

    /// What a checkpoint inside an epoch has of them.
    pub(super) fn tensors(&self) -> BTreeMap<String, Tensor> {
        let reference = self.probation.as_ref().and_then(Probation::reference);
        reference.map(|reference| (REFERENCE.to_owned(), Tensor::from(reference))).into_iter().collect()
    }
}

/// The revision of a step; at the step of a swap, the one before it, which the checkpoint of that step is of.
pub(super) fn revision_at(timeline: &BTreeMap<u64, u64>, step: u64) -> u64 {
    timeline.range(..step).next_back().map_or(0, |(_, revision)| *revision)
}

/// The revision that a checkpoint of a run is of.
pub(super) fn revision_of(run: &Run, step: u64) -> Result<u64, RunError> {
    Ok(revision_at(&run.timeline()?, step))
}

/// SHA-256 of an experiment, in hex.
pub(super) fn digest(experiment: &Experiment) -> Result<String, TrainingError> {
    Ok(lossmith_files::hex(&Sha256::digest(experiment.to_toml()?)))
}
