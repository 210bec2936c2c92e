//! The revisions of a run: which one is at work, which ones were before it, and how one takes another's place.
//!
//! A revision takes over at the start of an epoch and nowhere else. What the slots keep, the optimizer's memory and the
//! random streams go on. The way back from it is the checkpoint of that moment with the revision before. A resumed and
//! a repeated run follow the same path as the run did, by its journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use lossmith_plugin::objective::Batch;
use lossmith_plugin::{Level, Progress};
use sha2::{Digest, Sha256};
use tch::{TchError, Tensor};

use super::begin::revision_at;
use super::checkpoints::Fit;
use super::event::Event;
use super::interrupts::Interrupts;
use super::training::Training;
use super::training_error::TrainingError;
use crate::experiment::{Experiment, OnFault, Source};
use crate::objective::{Bound, Loader, Places, Strategies};
use crate::run::{self, Edit, Run, RunError, Verdict};
use crate::session::control::Response;
use crate::session::{Base, Sample, Seen, Session, Staged, entries};

/// So many of the last revisions keep the checkpoint before them until the run ends.
const WAYS_BACK: usize = 5;

/// What losses in the first steps of a revision are compared to, in a checkpoint inside them.
const REFERENCE: &str = "probation/reference";

/// What a training knows of its revisions.
pub(super) struct Live {
    run: Run,
    /// The revisions that led to the one at work, which is the last.
    lineage: Vec<u64>,
    /// The epochs that were complete when revisions were taken.
    taken: BTreeMap<u64, u64>,
    /// Who asked for the weights before the revision at work.
    pub(super) back: Option<Sender<Response>>,
    /// Revisions that take over at these steps, as the journal of `scripted_by` says.
    script: BTreeMap<u64, u64>,
    scripted_by: Run,
    /// The step after which a repetition ends.
    pub(super) until: Option<u64>,
    /// Whether files may have changed since it began.
    pub(super) resumed: bool,
    /// The files as they were before the first build of its plugins; none of a run that goes on.
    pub(super) seen: Option<Seen>,
    /// What edits start from; none before the training is assembled.
    pub(super) base: Option<Base>,
    /// All edits by commands since the experiment file.
    pub(super) edits: Vec<Edit>,
    pub(super) staged: Option<Staged>,
    pub(super) sample: Option<Sample>,
    pub(super) quarantine: BTreeSet<String>,
    pub(super) session: Option<Session>,
    /// The components of the revision before, while it may be needed again soon.
    previous: Vec<Bound>,
    probation: Option<Probation>,
}

/// The first steps of a revision.
struct Probation {
    /// The first step after them.
    until: u64,
    /// What losses are compared to.
    reference: Option<f64>,
}

impl Live {
    /// Of a run that begins.
    pub(super) fn new(run: Run) -> Self {
        Self {
            scripted_by: run.clone(),
            run,
            lineage: vec![0],
            taken: BTreeMap::new(),
            back: None,
            script: BTreeMap::new(),
            until: None,
            resumed: false,
            seen: None,
            base: None,
            edits: Vec::new(),
            staged: None,
            sample: None,
            quarantine: BTreeSet::new(),
            session: None,
            previous: Vec::new(),
            probation: None,
        }
    }

    /// Of a run that goes on from the checkpoint of a step.
    pub(super) fn at(run: Run, step: u64) -> Result<Self, RunError> {
        let mut live = Self::new(run);
        for entry in live.run.journal()?.rows {
            match entry.event {
                run::Event::Swap { revision, step: at, epoch, .. } if at < step => {
                    live.lineage.push(revision);
                    live.taken.insert(revision, epoch);
                }
                run::Event::Verdict { verdict: Verdict::Accepted { .. }, .. } => live.quarantine.clear(),
                run::Event::Rollback { to, step: at, quarantined, .. } => {
                    live.quarantine.extend(quarantined);
                    if at < step {
                        live.step_to(to);
                    }
                }
                _ => {}
            }
        }
        live.script = live.run.timeline()?.split_off(&step);
        live.edits = live.run.revision(live.revision())?.about.edits;
        Ok(live)
    }

    /// Makes it repeat another run.
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

    /// Keeps handles of a batch for the checks of candidates.
    pub(super) fn remember(&mut self, batch: &Batch<'_>, progress: &Progress) -> Result<(), TchError> {
        if self.session.is_none() {
            return Ok(());
        }
        let handle = |tensor: Option<&Tensor>| tensor.map(Tensor::f_detach).transpose();
        self.sample = Some(Sample {
            embeddings: batch.embeddings.f_detach()?,
            labels: batch.labels.shallow_clone(),
            class_count: batch.class_count,
            slice_count: batch.slice_count,
            feature_map: handle(batch.feature_map)?,
            teacher: handle(batch.teacher)?,
            teacher_feature_map: handle(batch.teacher_feature_map)?,
            progress: progress.clone(),
        });
        Ok(())
    }
}

impl Training {
    /// At the start of an epoch, takes the revision that is due.
    pub(super) fn boundary(
        &mut self,
        interrupts: &Interrupts,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), TrainingError> {
        if self.inside() != 0 {
            return Ok(());
        }
        self.warn(watch);
        self.attend(interrupts, watch)?;
        self.scripted(watch)?;
        if !self.live.script.is_empty() {
            return Ok(());
        }
        let Some(staged) = self.live.staged.take() else { return Ok(()) };
        if staged.revision != self.live.revision() {
            self.ask_again(&staged, watch);
            return Ok(());
        }
        self.take(staged, watch)
    }

    /// Takes the revision that a journal has for this step, if it has one.
    pub(super) fn scripted(&mut self, watch: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainingError> {
        match self.live.script.remove(&self.step) {
            Some(revision) if revision != self.live.revision() => self.follow(revision, watch),
            _ => Ok(()),
        }
    }

    /// Takes an accepted candidate.
    fn take(&mut self, staged: Staged, watch: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainingError> {
        self.way_back()?;
        let swap = run::Event::Swap {
            revision: staged.number,
            epoch: self.epoch_count(),
            step: self.step,
            changes: staged.changes.clone(),
            plugins: staged.about.plugins.clone(),
        };
        let begun = Instant::now();
        if let Err(error) = self.run.record(swap.clone()) {
            // A revision that the journal does not have could not be resumed. What is at work goes on.
            let reason = format!("it cannot be recorded: {error}");
            let verdict =
                Verdict::Refused { reason, help: Some("make room on that disk and save the file again".into()) };
            self.note(run::Event::Verdict { number: staged.number, verdict }, None, watch);
            return Ok(());
        }
        self.live.edits.clone_from(&staged.about.edits);
        self.begin_edits_with(&staged.source);
        self.swap(staged)?;
        let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
        watch(Event::Session { event: &swap, milliseconds: Some(milliseconds) });
        self.tell(&swap);
        self.begin_probation();
        Ok(())
    }

    /// Takes a revision as the run that scripts this one did.
    fn follow(&mut self, number: u64, watch: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainingError> {
        self.way_back()?;
        let from = self.live.scripted_by.clone();
        let mut revision = from.revision(number)?;
        let (source, experiment, mut strategies) = self.load(&from, number)?;
        let mut brought = None;
        if self.live.lineage.contains(&number) {
            // On the way back nothing begins anew: what is kept is what it had.
            revision.state = None;
            revision.about.reset.clear();
        }
        let state = run::revision_state(&revision)?;
        if let Some(state) = &state {
            strategies.objectives.load_state(state)?;
            let places: BTreeSet<_> =
                state.keys().filter_map(|name| name.split('/').next()).map(str::to_owned).collect();
            let mut states = strategies.objectives.take_states();
            states.retain(|place, _| places.contains(place));
            brought = Some(states);
        }
        let about = revision.about;
        let plugins = entries(&strategies.bound);
        if from != self.run {
            for bound in &strategies.bound {
                bound.keep_in(&self.run)?;
            }
            self.run.copy_sources(&from, strategies.bound.iter().map(|bound| bound.plugin.hash.as_str()))?;
            run::store_revision(&self.run, number, &experiment.to_toml()?, &about, state.as_ref())?;
            let (epoch, step, changes) = (self.epoch_count(), self.step, Vec::new());
            let swap = run::Event::Swap { revision: number, epoch, step, changes, plugins };
            self.run.record(swap.clone())?;
            watch(Event::Session { event: &swap, milliseconds: None });
        }
        self.live.edits.clone_from(&about.edits);
        self.begin_edits_with(&source);
        let live = self.live.revision();
        let changes = Vec::new();
        self.swap(Staged { number, revision: live, source, experiment, strategies, about, changes, brought })?;
        self.begin_probation();
        Ok(())
    }

    /// Later edits start from this text, in which those of before are made, unless they start from a file.
    fn begin_edits_with(&mut self, source: &Source) {
        if let Some(base @ Base::Text { .. }) = &mut self.live.base {
            *base = Base::Text { source: source.clone(), applied: self.live.edits.len() };
        }
    }

    fn begin_probation(&mut self) {
        let until = self.step + self.assembly.experiment.session.probation_steps;
        self.live.probation = Some(Probation { until, reference: None });
    }

    /// Exchanges experiment and strategies.
    fn swap(&mut self, staged: Staged) -> Result<(), TrainingError> {
        let Staged { number, experiment, mut strategies, about, brought, .. } = staged;
        let before = &mut self.assembly.strategies;
        let mut states = before.objectives.take_states();
        for name in &about.reset {
            if let Some((place, name)) = name.split_once('/')
                && let Some(state) = states.get_mut(place)
            {
                state.parameters.remove(name);
                state.buffers.remove(name);
            }
        }
        let anew: Vec<String> = brought.iter().flat_map(BTreeMap::keys).map(|place| format!("{place}/")).collect();
        states.extend(brought.into_iter().flatten());
        strategies.objectives.put_states(states);
        self.shadows.exchange(
            &mut before.shadows,
            &mut strategies.shadows,
            &experiment.optimizer,
            experiment.session.shadow_share,
        )?;
        self.optimizer.configure(experiment.optimizer.clone())?;
        let kept: BTreeSet<_> = strategies.objectives.parameters().into_iter().map(|(name, ..)| name).collect();
        self.optimizer.retain(|name| {
            let plugins = name.contains('/');
            !plugins || kept.contains(name) && !anew.iter().any(|place| name.starts_with(place))
        });
        self.live.previous = std::mem::replace(&mut self.assembly.strategies, strategies).bound;
        self.assembly.experiment = experiment;
        self.live.step_to(number);
        let epoch = self.step / self.steps();
        self.live.taken.entry(number).or_insert(epoch);
        self.adopted = usize::MAX;
        self.adopt()?;
        self.follow_files();
        Ok(())
    }

    /// Makes sure that this moment can be gone back to.
    pub(super) fn way_back(&mut self) -> Result<(), TrainingError> {
        if self.saved == Some(self.step) { Ok(()) } else { self.save_epoch(None) }
    }

    /// A revision that a run keeps, with components that are compiled already where they are the same.
    fn load(&self, run: &Run, number: u64) -> Result<(Source, Experiment, Strategies), TrainingError> {
        let revision = run.revision(number)?;
        let source = Source::read(&revision.experiment, &[])?;
        let experiment = source.parse()?;
        let places = run.places(&revision.about.plugins);
        let compiled = self.assembly.strategies.bound.iter().chain(&self.live.previous);
        let known = compiled.map(|bound| Arc::clone(&bound.plugin)).collect();
        let (runtime, device) = (Arc::clone(&self.runtime), self.assembly.device);
        let limits = experiment.limits.clone();
        let loader = Loader::new(runtime, &source, Places::Run(&places), device, experiment.seed, limits);
        let strategies = Strategies::load(&experiment, loader.knowing(known))?;
        Ok((source, experiment, strategies))
    }

    /// In the first steps of a revision, an error if the loss is not finite or grows too much. These few steps wait for
    /// the device.
    pub(super) fn on_probation(&mut self, total: &Tensor) -> Result<(), TrainingError> {
        let Some(probation) = &mut self.live.probation else { return Ok(()) };
        let (value, step) = (total.f_double_value(&[])?, self.step);
        if !value.is_finite() {
            return Err(TrainingError::Loss { value, step });
        }
        let before = self.last.get("loss").copied().unwrap_or_default();
        let reference = *probation.reference.get_or_insert(value.abs().max(before.abs()));
        let bound = self.assembly.experiment.session.divergence * reference;
        if value.abs() > bound { Err(TrainingError::Divergence { value, bound, step }) } else { Ok(()) }
    }

    /// Takes up the first steps of a revision where a checkpoint was written in them.
    pub(super) fn go_on_probation(&mut self, checkpoint: Option<&run::Checkpoint>) -> Result<(), TrainingError> {
        let reference = checkpoint.and_then(|checkpoint| checkpoint.tensors.get(REFERENCE));
        let steps = self.assembly.experiment.session.probation_steps;
        let swapped = self.run.timeline()?.range(..self.step).next_back().map(|(step, _)| *step);
        if let (Some(reference), Some(swapped)) = (reference, swapped) {
            let reference = Some(reference.f_double_value(&[])?);
            self.live.probation = Some(Probation { until: swapped + steps, reference });
        }
        Ok(())
    }

    /// What a checkpoint inside these steps must know.
    pub(super) fn probation_state(&self) -> BTreeMap<String, Tensor> {
        let reference = self.live.probation.as_ref().and_then(|probation| probation.reference);
        reference.map(|reference| (REFERENCE.to_owned(), Tensor::from(reference))).into_iter().collect()
    }

    /// Ends the first steps of a revision when they are over; with the epoch at the latest.
    pub(super) fn end_probation(&mut self, end_of_epoch: bool) {
        if self.live.probation.as_ref().is_some_and(|probation| end_of_epoch || self.step >= probation.until) {
            self.live.probation = None;
            self.live.previous.clear();
        }
    }

    /// After a fault, goes back to the start of the epoch with the revision before; or gives the error back, when the
    /// fault is no strategy's, there is no revision before, or it is to end the run.
    pub(super) fn roll_back(
        &mut self,
        error: TrainingError,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), TrainingError> {
        let fault = error.is_of_a_strategy();
        let wanted = self.live.probation.is_some() || self.assembly.experiment.session.on_fault == OnFault::Rollback;
        let Some(to) = self.live.before().filter(|_| fault && wanted) else { return Err(error) };
        let epoch = self.epoch_count();
        let mut checkpoints = self.run.checkpoints()?;
        // A fault of the evaluation comes when all steps of its epoch are complete.
        let checkpoint = checkpoints.remove(&epoch).or_else(|| checkpoints.remove(&epoch.saturating_sub(1)));
        let Some(checkpoint) = checkpoint else { return Err(error) };
        let checkpoint = run::load_checkpoint(&checkpoint)?;
        let (_, _, strategies) = self.load(&self.run, to)?;
        let good: BTreeSet<_> = strategies.bound.iter().map(|bound| bound.plugin.hash.clone()).collect();
        let failed = self.assembly.strategies.bound.iter().map(|bound| bound.plugin.hash.clone());
        let mut quarantined: Vec<String> = failed.filter(|hash| !good.contains(hash)).collect();
        quarantined.dedup();
        if quarantined.is_empty() {
            // The parameters are at fault.
            quarantined.push(digest(&self.assembly.experiment)?);
        }
        self.go_back(to, &checkpoint, error.to_string(), quarantined, watch)
    }

    /// Goes on from a checkpoint with an earlier revision.
    fn go_back(
        &mut self,
        to: u64,
        checkpoint: &run::Checkpoint,
        reason: String,
        quarantined: Vec<String>,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), TrainingError> {
        let begun = Instant::now();
        let (revision, failed_at) = (self.live.revision(), self.step);
        let (epoch, step) = (checkpoint.epoch, checkpoint.step);
        let (source, experiment, strategies) = self.load(&self.run, to)?;
        let about = self.run.revision(to)?.about;
        // What is undone, the state inside the epoch included, must not be gone on from.
        self.run.undo_checkpoints(epoch)?;
        let plugins = entries(&strategies.bound);
        let rollback = run::Event::Rollback {
            revision,
            to,
            epoch,
            step,
            failed_at,
            reason,
            quarantined: quarantined.clone(),
            plugins,
        };
        self.run.record(rollback.clone())?;
        self.live.quarantine.extend(quarantined);
        self.live.step_to(to);
        self.live.probation = None;
        self.live.edits.clone_from(&about.edits);
        self.begin_edits_with(&source);
        self.assembly.strategies = strategies;
        self.assembly.experiment = experiment;
        self.restore(Some(checkpoint), Fit::Where)?;
        let best = self.recollect()?;
        self.settle_best(best, epoch)?;
        // The batch serves for checks as well as another; the steps that led to it were undone.
        let progress = self.progress(epoch, self.steps());
        if let Some(sample) = &mut self.live.sample {
            sample.progress = progress;
        }
        self.follow_files();
        let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
        watch(Event::Session { event: &rollback, milliseconds: Some(milliseconds) });
        self.tell(&rollback);
        if let Some(staged) = self.live.staged.take() {
            self.ask_again(&staged, watch);
        }
        Ok(())
    }

    /// After epochs were undone: the best checkpoint is not one of theirs.
    fn settle_best(&mut self, best: Option<u64>, epoch: u64) -> Result<(), TrainingError> {
        let file = self.run.best_checkpoint();
        if !file.is_file() || run::load_checkpoint(&file)?.epoch <= epoch {
            return Ok(());
        }
        if !self.run.mark_best_again(best)? {
            self.best = None;
            if let Some(best) = best {
                let text = format!(
                    "the best epoch before, {best}, is not kept any more; the next evaluation marks the best anew"
                );
                self.warnings.push(text);
            }
        }
        Ok(())
    }

    /// Whether the state before the revision at work is wanted.
    pub(super) fn wants_back(&self) -> bool {
        self.live.back.is_some()
    }

    /// Goes back to the checkpoint before the revision at work, as a command asked.
    pub(super) fn revert_weights(&mut self, watch: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainingError> {
        let Some(answer) = self.live.back.take() else { return Ok(()) };
        let (revision, checkpoints) = (self.live.revision(), self.run.checkpoints()?);
        let taken = self.live.taken.get(&revision).copied();
        let checkpoint = taken.and_then(|epoch| checkpoints.get(&epoch));
        let response = match (self.live.before(), checkpoint) {
            (None, _) => Response::Refused { text: "the run trains with what it began with".into(), help: None },
            (Some(_), None) => Response::Refused {
                text: format!("the checkpoint before revision {revision} is not kept any more"),
                help: Some(
                    "without `--weights` the strategies and values before are taken, with the weights of now".into(),
                ),
            },
            (Some(to), Some(checkpoint)) => {
                let checkpoint = run::load_checkpoint(checkpoint)?;
                self.go_back(to, &checkpoint, "revert --weights".into(), Vec::new(), watch)?;
                let mut text = format!(
                    "back after epoch {} with revision {to} and the weights before revision {revision}",
                    checkpoint.epoch
                );
                let left =
                    self.left_behind(&self.live.edits, &self.assembly.experiment, &self.assembly.strategies.bound);
                if let Some(left) = left {
                    watch(Event::Line { slot: "session".to_owned(), level: Level::Warn, text: left.clone() });
                    text = format!("{text}\n{left}");
                }
                Response::Done { text }
            }
        };
        self.report(None);
        // Whoever asked may be gone.
        let _ = answer.send(response);
        Ok(())
    }

    /// Writes an event into the journal and tells it. A journal that cannot be written does not end the training:
    /// nothing that it goes on from is only there.
    pub(super) fn note(&mut self, event: run::Event, milliseconds: Option<f64>, watch: &mut dyn FnMut(Event<'_>)) {
        watch(Event::Session { event: &event, milliseconds });
        self.tell(&event);
        if let Err(error) = self.run.record(event) {
            let text = format!("this is not in the journal: {error}");
            watch(Event::Line { slot: "session".to_owned(), level: Level::Warn, text });
        }
    }
}

/// SHA-256 of an experiment, in hex.
pub(super) fn digest(experiment: &Experiment) -> Result<String, TrainingError> {
    Ok(lossmith_files::hex(&Sha256::digest(experiment.to_toml()?)))
}

/// The revision that a checkpoint of a run is of.
pub(super) fn revision_of(run: &Run, step: u64) -> Result<u64, RunError> {
    Ok(revision_at(&run.timeline()?, step))
}
