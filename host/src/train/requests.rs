//! What a training does between two steps when somebody wants something: commands, changed files, verdicts.

// A new order must not be carried out as another one.
#![deny(clippy::wildcard_enum_match_arm)]

use std::path::Path;
use std::time::Instant;

use lossmith_plugin::Level;

use super::assembly::Assembly;
use super::event::Event;
use super::interrupts::Interrupts;
use super::training::Training;
use super::training_error::TrainingError;
use crate::experiment::Experiment;
use crate::objective::Bound;
use crate::run::{self, Edit, Verdict};
use crate::session::control::{LivePlugin, Response};
use crate::session::{Base, Checked, Job, Live, Order, Session, SessionError, Staged};
use crate::standard::Standard;

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
        let mut session = Session::start(&self.run, self.runtime.clone(), self.assembly.device, standard)?;
        if watch {
            let manifest = self.run.manifest()?;
            let given = file.map(|(file, sets)| (std::path::absolute(file).unwrap_or(file.to_owned()), sets.to_vec()));
            let known = manifest.experiment.map(|file| (file, manifest.sets));
            let (file, sets) = given.or(known).ok_or(SessionError::NoFile)?;
            session.watch(&file, &self.assembly.experiment, self.live.seen.take())?;
            // The files of a run that goes on may be others by now.
            if self.live.resumed {
                session.look_again("what changed while it was stopped");
            }
            self.live.base = Some(Base::File(file, sets));
        }
        self.warnings.extend(session.take_warning());
        self.live.session = Some(session);
        Ok(())
    }

    /// Reads the mail. Waits while the training is paused.
    pub(super) fn attend(
        &mut self,
        interrupts: &Interrupts,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), TrainingError> {
        self.save_if_asked(interrupts, watch);
        if self.live.session.is_none() {
            return Ok(());
        }
        let begun = Instant::now();
        let mut idle = false;
        while let Some(session) = &self.live.session {
            // The answer comes when it is done, and that is not in the middle of an epoch.
            if self.wants_back() {
                return Ok(());
            }
            match session.receive() {
                Some(mail) => {
                    let order = self.live.session.as_mut().and_then(|session| session.take(mail));
                    if let Some(order) = order {
                        self.carry_out(order, interrupts, watch);
                    }
                }
                None if session.is_paused() && !interrupts.stopped() => {}
                None => break,
            }
            self.save_if_asked(interrupts, watch);
            idle |= self.live.session.as_ref().is_some_and(Session::is_paused);
            self.ask(interrupts, watch)?;
        }
        if idle {
            self.shadows.idle(begun.elapsed());
        }
        self.ask(interrupts, watch)
    }

    /// Writes a checkpoint if a signal asked for one. Where it cannot be written the training goes on, as it would
    /// without.
    fn save_if_asked(&mut self, interrupts: &Interrupts, watch: &mut dyn FnMut(Event<'_>)) {
        if !interrupts.take_save() {
            return;
        }
        let step = self.step;
        let saved = if self.saved == Some(step) { Ok(()) } else { self.checkpoint().map(drop) };
        let (level, text) = match saved {
            Ok(()) => (Level::Info, format!("the state after step {step} is saved")),
            Err(error) => (Level::Warn, format!("the state after step {step} cannot be saved: {error}")),
        };
        interrupts.set_unsaved(self.unsaved());
        watch(Event::Line { slot: "signal".to_owned(), level, text });
        self.note(run::Event::Control { command: "checkpoint".to_owned() }, None, watch);
    }

    /// Carries out an order of the session.
    fn carry_out(&mut self, order: Order, interrupts: &Interrupts, watch: &mut dyn FnMut(Event<'_>)) {
        let step = self.step;
        let done = |text: String| Response::Done { text };
        let (asked, response) = match order {
            Order::Pause(asked) => (asked, done(format!("paused after step {step}"))),
            Order::Resume(asked) => (asked, done(format!("goes on after step {step}"))),
            Order::Stop(asked) => {
                interrupts.stop();
                let run = self.run.path().display();
                (asked, done(format!("stops after step {step}; `lossmith train --resume {run}` goes on")))
            }
            Order::Checkpoint(asked) => {
                let response = match self.checkpoint() {
                    Ok(path) => done(format!("checkpoint of step {step}: {}", path.display())),
                    Err(error) => Response::Refused { text: error.to_string(), help: None },
                };
                (asked, response)
            }
            Order::GoBack(asked) => {
                self.note(run::Event::Control { command: asked.command() }, None, watch);
                self.live.back = Some(asked);
                return;
            }
            Order::Check { origin, job } => return self.check(origin, job, watch),
            Order::Judge(checked) => return self.judge(*checked, watch),
            Order::Refuse { asked, reason } => {
                let command = asked.command();
                asked.answer(Response::Refused { text: reason, help: None });
                self.note(run::Event::Control { command }, None, watch);
                return;
            }
        };
        self.note(run::Event::Control { command: asked.command() }, None, watch);
        self.report(None);
        asked.answer(response);
    }

    /// Gives the gate the next candidate, if there is one and the gate is free.
    fn ask(&mut self, interrupts: &Interrupts, watch: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainingError> {
        let (revision, before) = (self.live.revision(), self.live.before());
        let (Some(session), Some(base)) = (&mut self.live.session, &self.live.base) else { return Ok(()) };
        let edits = self.live.staged.as_ref().map_or(&self.live.edits, |staged| &staged.about.edits);
        let Assembly { experiment, strategies, .. } = &self.assembly;
        let quarantine = &self.live.quarantine;
        let order = session.next(&Live { revision, before, base, edits, experiment, strategies, quarantine })?;
        if let Some(order) = order {
            self.carry_out(order, interrupts, watch);
        }
        Ok(())
    }

    fn check(&mut self, origin: String, job: Box<Job>, watch: &mut dyn FnMut(Event<'_>)) {
        // Its number is taken before anything of it is kept.
        self.note(run::Event::Candidate { number: job.number, origin }, None, watch);
        if self.live.session.as_mut().is_some_and(|session| !session.check(job)) {
            let text = "the checks of edits have ended; what is live stays".to_owned();
            watch(Event::Line { slot: "session".to_owned(), level: Level::Warn, text });
        }
        self.report(None);
    }

    /// Takes in a verdict.
    fn judge(&mut self, checked: Checked, watch: &mut dyn FnMut(Event<'_>)) {
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
        let replaces = !matches!(verdict, Verdict::Refused { .. });
        if replaces && let Some(Staged { number, .. }) = std::mem::replace(&mut self.live.staged, staged) {
            self.note(run::Event::Verdict { number, verdict: Verdict::Superseded }, None, watch);
        }
        if matches!(verdict, Verdict::Accepted { .. }) && self.live.session.as_ref().is_some_and(Session::watches) {
            // All files have other content than what was rolled back.
            self.live.quarantine.clear();
        }
        self.note(run::Event::Verdict { number, verdict }, None, watch);
        if let Some(text) = warning {
            if let Some(session) = &self.live.session {
                session.tell(format!("warning: {text}"));
            }
            watch(Event::Line { slot: "session".to_owned(), level: Level::Warn, text });
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
        let run = self.run.path().display();
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
        let (Some(session), Some(Base::File(file, sets))) = (&self.live.session, &self.live.base) else { return None };
        let left = session.left_behind(&self.run, (file.as_path(), sets.as_slice()), edits, experiment, bound);
        (!left.is_empty()).then(|| {
            format!(
                "files still have what was reverted, and the next save brings it back: {}; change them, too",
                left.join("; ")
            )
        })
    }

    /// What is accepted and has no epoch left to begin with.
    pub(super) fn drop_staged(&mut self, watch: &mut dyn FnMut(Event<'_>)) {
        if let Some(Staged { number, .. }) = self.live.staged.take() {
            let reason = "the training ended before the next epoch".to_owned();
            let help = Some("ask for it again when the run goes on".to_owned());
            self.note(run::Event::Verdict { number, verdict: Verdict::Refused { reason, help } }, None, watch);
        }
    }

    /// A candidate that was compared to what is not at work any more.
    pub(super) fn ask_again(&mut self, staged: &Staged, watch: &mut dyn FnMut(Event<'_>)) {
        let number = staged.number;
        let verdict = match &mut self.live.session {
            Some(session) if session.watches() => {
                session.look_again("again, against what is live");
                Verdict::Superseded
            }
            _ => Verdict::Refused {
                reason: "what it was compared to was rolled back".into(),
                help: Some("ask for it again".into()),
            },
        };
        self.note(run::Event::Verdict { number, verdict }, None, watch);
    }

    /// Follows the files of what is at work.
    pub(super) fn follow_files(&self) {
        if let (Some(session), Some(Base::File(file, _))) = (&self.live.session, &self.live.base) {
            session.follow_experiment(file, &self.assembly.experiment);
        }
    }

    /// Adds an event to those that a status tells.
    pub(super) fn tell(&self, event: &run::Event) {
        if let Some(session) = &self.live.session {
            session.tell(event.to_string());
        }
    }

    /// Renews what a status tells.
    pub(super) fn report(&self, loss: Option<f64>) {
        let Some(session) = &self.live.session else { return };
        let (steps, step) = (self.steps(), self.step);
        let staged = self.live.staged.as_ref().map(|staged| staged.number);
        session.report(staged, |snapshot| {
            (snapshot.epoch, snapshot.epochs) = (self.epoch_count(), self.assembly.experiment.epochs);
            (snapshot.step, snapshot.step_in_epoch, snapshot.steps_per_epoch) = (step, self.inside(), steps);
            snapshot.loss = loss.or(snapshot.loss);
            if snapshot.plugins.is_empty() || snapshot.revision != self.live.revision() {
                snapshot.revision = self.live.revision();
                let bound = self.assembly.strategies.bound.iter();
                snapshot.plugins = bound
                    .map(|bound| LivePlugin {
                        slot: bound.slot.clone(),
                        strategy: bound.strategy.clone(),
                        hash: bound.plugin.hash.get(..12).unwrap_or_default().to_owned(),
                    })
                    .collect();
            }
        });
    }
}
