//! What a training does between two steps when somebody wants something: commands, changed files, verdicts.

// A new request must not be served as another one.
#![deny(clippy::wildcard_enum_match_arm)]

use std::path::Path;
use std::sync::mpsc::Sender;
use std::time::Instant;

use lossmith_plugin::Level;

use super::event::Event;
use super::interrupts::Interrupts;
use super::shadows::brought;
use super::training::Training;
use super::training_error::TrainingError;
use crate::experiment::Experiment;
use crate::objective::Bound;
use crate::run::{self, Edit, Verdict};
use crate::session::control::{LivePlugin, Request, Response};
use crate::session::{Base, Checked, Followed, Job, Mail, Session, SessionError, Staged, Wanted};
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
                session.changed.insert("what changed while it was stopped".to_owned());
            }
            self.live.base = Some(Base::File(file, sets));
        }
        self.warnings.extend(session.warning.take());
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
            match session.next_mail() {
                Some(mail) => self.open(mail, interrupts, watch),
                None if session.paused && !interrupts.stopped() => {}
                None => break,
            }
            self.save_if_asked(interrupts, watch);
            idle |= self.live.session.as_ref().is_some_and(|session| session.paused);
            self.ask(watch)?;
        }
        if idle {
            self.shadows.idle(begun.elapsed());
        }
        self.ask(watch)
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

    fn open(&mut self, mail: Mail, interrupts: &Interrupts, watch: &mut dyn FnMut(Event<'_>)) {
        match mail {
            Mail::Changed(followed) => {
                if let Some(session) = &mut self.live.session {
                    session.changed.extend(followed.iter().map(name));
                }
            }
            Mail::Checked(checked) => self.judge(*checked, watch),
            Mail::Asked(request, answer) => self.obey(request, answer, interrupts, watch),
        }
    }

    fn obey(
        &mut self,
        request: Request,
        answer: Sender<Response>,
        interrupts: &Interrupts,
        watch: &mut dyn FnMut(Event<'_>),
    ) {
        let Some(session) = &mut self.live.session else { return };
        match &request {
            Request::Set { .. } | Request::Promote { .. } | Request::Revert { weights: false } => {
                session.queue.push_back((request, answer));
                return;
            }
            Request::Revert { weights: true } => {
                self.note(run::Event::Control { command: request.to_string() }, None, watch);
                self.live.back = Some(answer);
                return;
            }
            Request::Status | Request::Pause | Request::Resume | Request::Stop | Request::Checkpoint => {}
        }
        let step = self.step;
        let done = |text: String| Response::Done { text };
        let response = match request {
            Request::Pause => {
                session.paused = true;
                done(format!("paused after step {step}"))
            }
            Request::Resume => {
                session.paused = false;
                done(format!("goes on after step {step}"))
            }
            Request::Stop => {
                session.paused = false;
                interrupts.stop();
                done(format!(
                    "stops after step {step}; `lossmith train --resume {}` goes on",
                    self.run.path().display()
                ))
            }
            Request::Checkpoint => match self.checkpoint() {
                Ok(path) => done(format!("checkpoint of step {step}: {}", path.display())),
                Err(error) => Response::Refused { text: error.to_string(), help: None },
            },
            Request::Status | Request::Set { .. } | Request::Promote { .. } | Request::Revert { .. } => {
                Response::Refused { text: format!("`{request}` is not done here"), help: None }
            }
        };
        self.note(run::Event::Control { command: request.to_string() }, None, watch);
        self.report(None);
        // Whoever asked may be gone.
        let _ = answer.send(response);
    }

    /// Gives the gate the next candidate, if there is one and the gate is free.
    fn ask(&mut self, watch: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainingError> {
        let (revision, before) = (self.live.revision(), self.live.before());
        let (Some(session), Some(sample), Some(base)) = (&mut self.live.session, &self.live.sample, &self.live.base)
        else {
            return Ok(());
        };
        if session.busy {
            return Ok(());
        }
        let mut edits = self.live.staged.as_ref().map_or(&self.live.edits, |staged| &staged.about.edits).clone();
        let (base, settled) = (base.clone(), edits.len());
        let mut states = None;
        let changed = std::mem::take(&mut session.changed);
        let (origin, wanted, answer) = if !changed.is_empty() {
            (changed.into_iter().collect::<Vec<_>>().join(", "), Wanted::Edited(base, edits), None)
        } else {
            let Some((request, answer)) = session.queue.pop_front() else { return Ok(()) };
            let origin = request.to_string();
            let wanted = match request {
                Request::Set { sets } => {
                    edits.extend(sets.into_iter().map(Edit::Set));
                    Wanted::Edited(base, edits)
                }
                Request::Promote { name } => {
                    let shadows = &self.assembly.strategies.shadows;
                    let shadow = shadows.iter().find(|shadow| shadow.config.name == name);
                    states = shadow.map(brought).transpose()?;
                    edits.push(Edit::Promote(name));
                    Wanted::Edited(base, edits)
                }
                Request::Revert { .. } => match before {
                    Some(revision) => Wanted::Revision(revision),
                    None => {
                        let text = "the run trains with what it began with".to_owned();
                        let _ = answer.send(Response::Refused { text, help: None });
                        self.note(run::Event::Control { command: origin }, None, watch);
                        return Ok(());
                    }
                },
                Request::Status | Request::Pause | Request::Resume | Request::Stop | Request::Checkpoint => {
                    let text = format!("`{request}` is no edit");
                    let _ = answer.send(Response::Refused { text, help: None });
                    return Ok(());
                }
            };
            (origin, wanted, Some(answer))
        };
        let number = session.next;
        session.next += 1;
        let job = Job {
            number,
            wanted,
            settled,
            revision,
            live: self.assembly.experiment.clone(),
            bound: self.assembly.strategies.bound.clone(),
            reread: session.watches(),
            quarantine: self.live.quarantine.clone(),
            sample: sample.shallow_clone(),
            states: self.assembly.strategies.objectives.copy_states()?,
            brought: states,
            answer,
            begun: Instant::now(),
        };
        // Its number is taken before anything of it is kept.
        self.note(run::Event::Candidate { number, origin }, None, watch);
        if self.live.session.as_mut().is_some_and(|session| !session.check(job)) {
            let text = "the checks of edits have ended; what is live stays".to_owned();
            watch(Event::Line { slot: "session".to_owned(), level: Level::Warn, text });
        }
        self.report(None);
        Ok(())
    }

    /// Takes in a verdict.
    fn judge(&mut self, checked: Checked, watch: &mut dyn FnMut(Event<'_>)) {
        let Checked { number, verdict, staged, answer, followed, reverts } = checked;
        let warning = self.warning(number, &verdict, staged.as_ref().filter(|_| reverts));
        if let Some(session) = &mut self.live.session {
            session.busy = false;
            if let Some(followed) = followed {
                session.follow(followed);
            }
        }
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
        if let Some(answer) = answer {
            // Whoever asked may be gone.
            let _ = answer.send(response);
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
                session.changed.insert("again, against what is live".to_owned());
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
        session.update(|snapshot| {
            (snapshot.epoch, snapshot.epochs) = (self.epoch_count(), self.assembly.experiment.epochs);
            (snapshot.step, snapshot.step_in_epoch, snapshot.steps_per_epoch) = (step, self.inside(), steps);
            snapshot.paused = session.paused;
            snapshot.loss = loss.or(snapshot.loss);
            snapshot.candidate = match (&self.live.staged, session.busy) {
                (_, true) => Some(format!("{} is being checked", session.next.saturating_sub(1))),
                (Some(staged), false) => Some(format!("{} is accepted", staged.number)),
                (None, false) => None,
            };
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

/// The name of what is followed, for people.
fn name(followed: &Followed) -> String {
    let (Followed::File(path) | Followed::Sources(path)) = followed;
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
