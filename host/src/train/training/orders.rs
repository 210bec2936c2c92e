//! Carrying out the orders of the session, and what the session is told of the training.

// A new order must not be carried out as another one.
#![deny(clippy::wildcard_enum_match_arm)]

use std::path::Path;
use std::sync::Arc;

use lossmith_plugin::Level;

use super::Training;
use crate::experiment::Experiment;
use crate::objective::Bound;
use crate::run::{self, Edit, Verdict};
use crate::session::control::{LivePlugin, Response};
use crate::session::{Checked, Job, Order, Refusal, Session, SessionError, Staged};
use crate::standard::Standard;
use crate::train::decision::{Decision, Reason};
use crate::train::event::TrainingEvent;
use crate::train::interrupts::Interrupts;
use crate::train::training_error::TrainingError;

impl Training {
    /// Listens for commands from now on, and follows the experiment file and the components if `watch`: `file` with its
    /// `key=value` settings, or else the one that the run began with. Bare names of plugins are looked for as
    /// `standard` says.
    ///
    /// # Errors
    /// Another process controls the run, or the system refuses something.
    pub fn open_session(
        &mut self,
        standard: &Standard,
        watch: bool,
        file: Option<(&Path, &[String])>,
    ) -> Result<(), TrainingError> {
        let mut session =
            Session::start(self.run(), Arc::clone(&self.runtime), self.state.assembly().device, standard)?;
        if watch {
            let manifest = self.run().manifest()?;
            let given = file.map(|(file, sets)| (std::path::absolute(file).unwrap_or(file.to_owned()), sets.to_vec()));
            let known = manifest.experiment.map(|file| (file, manifest.sets));
            let (file, sets) = given.or(known).ok_or(SessionError::NoFile)?;
            session.watch(&file, self.state.experiment(), self.seen.take())?;
            // The files of a run that goes on may be others by now.
            if self.resumed {
                session.look_again("what changed while it was stopped");
            }
            self.revisions.start_from_file(file, sets);
        }
        self.warnings.extend(session.take_warning());
        self.session = Some(session);
        Ok(())
    }

    /// Carries out an order. What is left to decide is returned.
    pub(super) fn carry_out(
        &mut self,
        order: Order,
        interrupts: &Interrupts,
        watch: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Option<Decision> {
        let step = self.state.step();
        let (asked, text) = match order {
            Order::Pause(asked) => (asked, format!("paused after step {step}")),
            Order::Resume(asked) => (asked, format!("goes on after step {step}")),
            Order::Stop(asked) => {
                interrupts.stop();
                let run = self.run().path().display();
                (asked, format!("stops after step {step}; `lossmith train --resume {run}` goes on"))
            }
            Order::Checkpoint(asked) => {
                self.checkpoint_asked = Some(asked);
                return Some(Decision::Checkpoint(Reason::Command));
            }
            Order::GoBack(asked) => {
                self.note(run::Event::Control { command: asked.text() }, watch);
                self.rollback_asked = Some(asked);
                return None;
            }
            Order::Check { origin, job } => {
                self.check(origin, job, watch);
                return None;
            }
            Order::Judge(checked) => {
                self.judge(*checked, watch);
                return None;
            }
            Order::Refuse { asked, reason } => {
                let command = asked.text();
                asked.answer(Response::Refused { text: reason, help: None });
                self.note(run::Event::Control { command }, watch);
                return None;
            }
        };
        self.note(run::Event::Control { command: asked.text() }, watch);
        self.report(None);
        asked.answer(Response::Done { text });
        None
    }

    /// Asks the session what is next in its queue, and carries that out.
    pub(super) fn ask(
        &mut self,
        interrupts: &Interrupts,
        watch: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<Option<Decision>, TrainingError> {
        let (Some(session), Some(live)) = (&mut self.session, self.revisions.live(&self.state)) else {
            return Ok(None);
        };
        let order = session.next(&live)?;
        Ok(order.and_then(|order| self.carry_out(order, interrupts, watch)))
    }

    /// Writes a checkpoint as a command asked. Where it cannot be written the training goes on, as it would without.
    pub(super) fn save_for_command(&mut self, watch: &mut dyn FnMut(TrainingEvent<'_>)) {
        let Some(asked) = self.checkpoint_asked.take() else { return };
        let response = match self.checkpoint() {
            Ok(path) => {
                let text = format!("checkpoint of step {}: {}", self.state.step(), path.display());
                Response::Done { text }
            }
            Err(error) => Response::Refused { text: error.to_string(), help: None },
        };
        self.note(run::Event::Control { command: asked.text() }, watch);
        self.report(None);
        asked.answer(response);
    }

    /// Writes a checkpoint as a signal asked. Where it cannot be written the training goes on, as it would without.
    pub(super) fn save_for_signal(&mut self, interrupts: &Interrupts, watch: &mut dyn FnMut(TrainingEvent<'_>)) {
        let step = self.state.step();
        let saved = if self.checkpoints.has(step) { Ok(()) } else { self.checkpoint().map(drop) };
        let (level, text) = match saved {
            Ok(()) => (Level::Info, format!("the state after step {step} is saved")),
            Err(error) => (Level::Warn, format!("the state after step {step} cannot be saved: {error}")),
        };
        interrupts.set_unsaved(self.unsaved());
        watch(TrainingEvent::Line { slot: "signal".to_owned(), level, text });
        self.note(run::Event::Control { command: "checkpoint".to_owned() }, watch);
    }

    /// Gives the gate a candidate.
    fn check(&mut self, origin: String, job: Box<Job>, watch: &mut dyn FnMut(TrainingEvent<'_>)) {
        // Its number is taken before anything of it is kept.
        self.note(run::Event::Candidate { number: job.number, origin }, watch);
        if self.session.as_mut().is_some_and(|session| !session.check(job)) {
            let text = "the checks of edits have ended; what is live stays".to_owned();
            watch(TrainingEvent::Line { slot: "session".to_owned(), level: Level::Warn, text });
        }
        self.report(None);
    }

    /// Takes in a verdict.
    fn judge(&mut self, checked: Checked, watch: &mut dyn FnMut(TrainingEvent<'_>)) {
        let Checked { number, verdict, staged, asked, followed: _, reverts } = checked;
        let warning = self.warning(number, &verdict, staged.as_ref().filter(|_| reverts));
        let response = match &verdict {
            Verdict::Accepted { .. } | Verdict::Same => {
                let warning = warning.as_ref().map(|warning| format!("\nwarning: {warning}")).unwrap_or_default();
                Response::Done { text: format!("candidate {number}: {verdict}{warning}") }
            }
            Verdict::Refused { reason, help } => Response::Refused { text: reason.clone(), help: help.clone() },
            Verdict::Superseded => Response::Refused { text: verdict.to_string(), help: None },
        };
        // Of one that says nothing, since its files have changed, another one follows.
        let replaces = matches!(verdict, Verdict::Accepted { .. } | Verdict::Same);
        if replaces && let Some(Staged { number, .. }) = self.revisions.stage(staged) {
            self.note(run::Event::Verdict { number, verdict: Verdict::Superseded }, watch);
        }
        if matches!(verdict, Verdict::Accepted { .. }) && self.session.as_ref().is_some_and(Session::watches) {
            // All files have other content than what was rolled back.
            self.revisions.clear_quarantine();
        }
        self.note(run::Event::Verdict { number, verdict }, watch);
        if let Some(text) = warning {
            if let Some(session) = &self.session {
                session.tell(format!("warning: {text}"));
            }
            watch(TrainingEvent::Line { slot: "session".to_owned(), level: Level::Warn, text });
        }
        self.report(None);
        if let Some(asked) = asked {
            asked.answer(response);
        }
    }

    /// What somebody should know of an accepted candidate: that it undoes what was learned, or, of one that `reverts`,
    /// that files still have what was reverted.
    fn warning(&self, number: u64, verdict: &Verdict, reverts: Option<&Staged>) -> Option<String> {
        let Verdict::Accepted { canary, .. } = verdict else { return None };
        let run = self.run().path().display();
        match (reverts, canary.cosine) {
            (Some(Staged { about, experiment, strategies, .. }), _) => {
                self.left_behind(&about.edits, experiment, &strategies.bound)
            }
            (None, Some(cosine)) if cosine < 0.0 => Some(format!(
                "the gradient of candidate {number} points against the one that is live (cosine {cosine:.3}): it \
                 undoes what was learned. If that is not meant, `lossmith session revert {run}` takes it back; once it \
                 is live, with `--weights` to the weights before it"
            )),
            (None, _) => None,
        }
    }

    /// Which of the files that are followed would bring back what was reverted, in words; none if none would.
    pub(super) fn left_behind(&self, edits: &[Edit], experiment: &Experiment, bound: &[Bound]) -> Option<String> {
        let (Some(session), Some(file)) = (&self.session, self.revisions.file()) else { return None };
        let left = session.left_behind(self.run(), file, edits, experiment, bound);
        (!left.is_empty()).then(|| {
            format!(
                "files still have what was reverted, and the next save brings it back: {}; change them, too",
                left.join("; ")
            )
        })
    }

    /// What is accepted and has no epoch left to begin with.
    pub(super) fn drop_staged(&mut self, watch: &mut dyn FnMut(TrainingEvent<'_>)) {
        if let Some(Staged { number, .. }) = self.revisions.take_staged() {
            let reason = "the training ended before the next epoch".to_owned();
            let help = Some("ask for it again when the run goes on".to_owned());
            self.note(run::Event::Verdict { number, verdict: Verdict::Refused { reason, help } }, watch);
        }
    }

    /// Drops a candidate that waits and was compared to what is not at work any more. Files are looked at again.
    pub(super) fn ask_again(&mut self, watch: &mut dyn FnMut(TrainingEvent<'_>)) {
        let Some(Staged { number, .. }) = self.revisions.take_staged() else { return };
        let verdict = match &mut self.session {
            Some(session) if session.watches() => {
                session.look_again("again, against what is live");
                Verdict::Superseded
            }
            Some(_) | None => {
                let Refusal { reason, help } = Refusal::of_another_base();
                Verdict::Refused { reason, help }
            }
        };
        self.note(run::Event::Verdict { number, verdict }, watch);
    }

    /// Follows the files of what is at work.
    pub(super) fn follow_files(&self) {
        if let (Some(session), Some((file, _))) = (&self.session, self.revisions.file()) {
            session.follow_experiment(file, self.state.experiment());
        }
    }

    /// Renews what a status tells. `loss` is the one of an interval that has just ended.
    pub(super) fn report(&self, loss: Option<f64>) {
        let Some(session) = &self.session else { return };
        let (state, revision) = (&self.state, self.revisions.revision());
        session.report(self.revisions.staged().map(|staged| staged.number), |snapshot| {
            (snapshot.epoch, snapshot.epochs) = (state.epoch(), state.experiment().epochs);
            (snapshot.step, snapshot.step_in_epoch) = (state.step(), state.inside());
            snapshot.steps_per_epoch = state.steps();
            snapshot.loss = loss.or(snapshot.loss);
            if snapshot.plugins.is_empty() || snapshot.revision != revision {
                snapshot.revision = revision;
                let live = state.bound().iter().map(|bound| LivePlugin {
                    slot: bound.slot.clone(),
                    strategy: bound.strategy.clone(),
                    hash: bound.plugin.hash.get(..12).unwrap_or_default().to_owned(),
                });
                snapshot.plugins = live.collect();
            }
        });
    }
}
