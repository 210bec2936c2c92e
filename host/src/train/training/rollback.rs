//! Going back: after a fault of a revision, or as `session revert --weights` asks.

use std::collections::BTreeSet;
use std::time::Instant;

use lossmith_plugin::Level;

use super::Training;
use crate::experiment::OnFault;
use crate::run::{self, Checkpoint};
use crate::session::control::Response;
use crate::session::entries;
use crate::train::event::TrainingEvent;
use crate::train::revisions::digest;
use crate::train::state::Fit;
use crate::train::training_error::TrainingError;

impl Training {
    /// After a fault, goes back to the start of the epoch with the revision before; or gives the error back, when the
    /// fault is no strategy's, there is no revision before, or it is to end the run.
    pub(super) fn roll_back(
        &mut self,
        error: TrainingError,
        watch: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<(), TrainingError> {
        let fault = error.is_of_a_strategy();
        let on_fault = self.state.experiment().session.on_fault;
        let wanted = self.revisions.is_on_probation() || on_fault == OnFault::Rollback;
        let Some(to) = self.revisions.before().filter(|_| fault && wanted) else { return Err(error) };
        let epoch = self.state.epoch();
        let mut checkpoints = self.run().checkpoints()?;
        // A fault of the evaluation comes when all steps of its epoch are complete.
        let checkpoint = checkpoints.remove(&epoch).or_else(|| checkpoints.remove(&epoch.saturating_sub(1)));
        let Some(checkpoint) = checkpoint else { return Err(error) };
        let checkpoint = run::load_checkpoint(&checkpoint)?;
        let (_, _, strategies) = self.revisions.load(self.checkpoints.run(), to, &self.state, &self.runtime)?;
        let good: BTreeSet<_> = strategies.bound.iter().map(|bound| bound.plugin.hash.clone()).collect();
        let failed = self.state.bound().iter().map(|bound| bound.plugin.hash.clone());
        let mut quarantined: Vec<String> = failed.filter(|hash| !good.contains(hash)).collect();
        quarantined.dedup();
        if quarantined.is_empty() {
            // The parameters are at fault.
            quarantined.push(digest(self.state.experiment())?);
        }
        self.go_back(to, &checkpoint, error.to_string(), quarantined, watch)
    }

    /// Goes on from a checkpoint with an earlier revision.
    fn go_back(
        &mut self,
        to: u64,
        checkpoint: &Checkpoint,
        reason: String,
        quarantined: Vec<String>,
        watch: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<(), TrainingError> {
        let begun = Instant::now();
        let (revision, failed_at) = (self.revisions.revision(), self.state.step());
        let (epoch, step) = (checkpoint.epoch, checkpoint.step);
        let run = self.checkpoints.run();
        let (source, experiment, strategies) = self.revisions.load(run, to, &self.state, &self.runtime)?;
        let about = run.revision(to)?.about;
        // What is undone, the state inside the epoch included, must not be gone on from.
        run.undo_checkpoints(epoch)?;
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
        run.record(rollback.clone())?;
        self.revisions.went_back(to, quarantined);
        self.revisions.edited(&about.edits, &source);
        self.state.replace(experiment, strategies);
        self.checkpoints.restore(Some(checkpoint), Fit::Where, &mut self.state, &mut self.metrics)?;
        if let Some(lead) = &mut self.lead {
            lead.leave_behind();
        }
        let best = self.checkpoints.recollect(&self.state, &mut self.metrics)?;
        self.warnings.extend(self.checkpoints.settle_best(best, epoch)?);
        if let Some(session) = &mut self.session {
            session.went_back(self.state.progress(epoch, self.state.steps(), self.metrics.last()));
        }
        self.follow_files();
        self.tell(&rollback, Some(begun.elapsed().as_secs_f64() * 1e3), watch);
        self.ask_again(watch);
        Ok(())
    }

    /// Goes back to the checkpoint before the revision at work, as a command asked.
    pub(super) fn revert_weights(&mut self, watch: &mut dyn FnMut(TrainingEvent<'_>)) -> Result<(), TrainingError> {
        let Some(asked) = self.rollback_asked.take() else { return Ok(()) };
        let (revision, mut checkpoints) = (self.revisions.revision(), self.run().checkpoints()?);
        let checkpoint = self.revisions.taken_after().and_then(|epoch| checkpoints.remove(&epoch));
        let response = match (self.revisions.before(), checkpoint) {
            (None, _) => Response::Refused { text: "the run trains with what it began with".into(), help: None },
            (Some(_), None) => Response::Refused {
                text: format!("the checkpoint before revision {revision} is not kept any more"),
                help: Some(
                    "without `--weights` the strategies and values before are taken, with the weights of now".into(),
                ),
            },
            (Some(to), Some(checkpoint)) => {
                let checkpoint = run::load_checkpoint(&checkpoint)?;
                self.go_back(to, &checkpoint, "revert --weights".into(), Vec::new(), watch)?;
                let mut text = format!(
                    "back after epoch {} with revision {to} and the weights before revision {revision}",
                    checkpoint.epoch
                );
                let (edits, experiment) = (self.revisions.edits(), self.state.experiment());
                if let Some(left) = self.left_behind(edits, experiment, self.state.bound()) {
                    watch(TrainingEvent::Line { slot: "session".to_owned(), level: Level::Warn, text: left.clone() });
                    text = format!("{text}\n{left}");
                }
                Response::Done { text }
            }
        };
        self.report(None);
        asked.answer(response);
        Ok(())
    }
}
