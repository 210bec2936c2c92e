//! Making the decision of what a training does next.
//!
//! What it depends on, signals, messages, the queue and the clock of a pause, is looked at here and nowhere else in the
//! loop.

use std::time::Instant;

use super::Training;
use crate::train::decision::{Decision, Moment, Reason};
use crate::train::event::TrainingEvent;
use crate::train::interrupts::Interrupts;
use crate::train::training_error::TrainingError;

impl Training {
    /// What is done next.
    pub(super) fn decide(
        &mut self,
        moment: Moment,
        interrupts: &Interrupts,
        watch: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<Decision, TrainingError> {
        let step = self.state.step();
        match moment {
            Moment::Step(done) => {
                if let Some(decision) = self.listen(interrupts, watch)? {
                    return Ok(decision);
                }
                let every = self.state.experiment().run.checkpoint_steps;
                let due = every.is_some_and(|every| done.is_multiple_of(every.get() as u64));
                Ok(if self.rollback_asked.is_some() {
                    Decision::GoBack
                } else if interrupts.stopped() {
                    Decision::Stop
                } else if due && !self.checkpoints.has(step) {
                    Decision::Checkpoint(Reason::Interval)
                } else {
                    Decision::GoOn
                })
            }
            Moment::Boundary => {
                if let Some(decision) = self.listen(interrupts, watch)? {
                    return Ok(decision);
                }
                Ok(self.takes_over(watch).unwrap_or_else(|| self.at_boundary(interrupts)))
            }
            Moment::Swapped => Ok(self.takes_over(watch).unwrap_or_else(|| self.at_boundary(interrupts))),
            Moment::Inside => Ok(self.at_boundary(interrupts)),
        }
    }

    /// The revision that takes over here, if one does: the one that the script has, or the candidate that waits.
    fn takes_over(&mut self, watch: &mut dyn FnMut(TrainingEvent<'_>)) -> Option<Decision> {
        if let Some(revision) = self.revisions.scripted(self.state.step()) {
            return Some(Decision::Follow(revision));
        }
        if self.revisions.is_scripted() {
            return None;
        }
        let compared_to = self.revisions.staged()?.revision;
        if compared_to == self.revisions.revision() {
            return Some(Decision::Take);
        }
        self.ask_again(watch);
        None
    }

    /// Between two epochs, when no revision takes over.
    fn at_boundary(&self, interrupts: &Interrupts) -> Decision {
        let experiment = self.state.experiment();
        let is_complete = self.state.epoch() >= experiment.epochs;
        let is_out_of_patience = self.checkpoints.are_out_of_patience(&experiment.evaluation);
        let is_repeated = self.revisions.is_repeated(self.state.step());
        if self.rollback_asked.is_some() {
            Decision::GoBack
        } else if is_complete || is_repeated && is_out_of_patience {
            Decision::Finish
        } else if is_repeated {
            Decision::Leave
        } else if is_out_of_patience {
            Decision::StopEarly
        } else if interrupts.stopped() {
            Decision::Stop
        } else {
            Decision::GoOn
        }
    }

    /// Reads signals and messages, and gives the gate what is next in the queue. What is asked for is done at once, but
    /// for what is decided here: a checkpoint, and a pause, in which it waits a while for messages.
    fn listen(
        &mut self,
        interrupts: &Interrupts,
        watch: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<Option<Decision>, TrainingError> {
        let begun = Instant::now();
        let mut idle = false;
        let decision = loop {
            if interrupts.take_save() {
                break Some(Decision::Checkpoint(Reason::Signal));
            }
            // The answer comes when it is done, and that is not in the middle of an epoch.
            if self.rollback_asked.is_some() {
                break None;
            }
            let Some(session) = &mut self.session else { break None };
            let mail = session.receive();
            let waits = session.is_paused() && !interrupts.stopped();
            let was_last = mail.is_none();
            let order = mail.and_then(|mail| session.take(mail));
            idle |= session.is_paused();
            let mut decision = order.and_then(|order| self.carry_out(order, interrupts, watch));
            if decision.is_none() {
                decision = self.ask(interrupts, watch)?;
            }
            if decision.is_some() {
                break decision;
            }
            if was_last {
                break waits.then_some(Decision::Pause);
            }
        };
        if idle {
            self.state.idle(begun.elapsed());
        }
        Ok(decision)
    }
}
