//! Leading the other ranks: rank 0 decides what is done, and tells them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::location::absolute;
use super::message::{Message, Next, Revised, STATE, Sent, in_common};
use super::state::TrainingState;
use super::training_error::TrainingError;
use crate::ranks::{Ranks, RanksError, Wish};
use crate::run::Run;
use crate::session::Staged;

/// The other ranks, as rank 0 sees them.
pub(super) struct Lead {
    ranks: Arc<Ranks>,
    /// Whether their state is another than that of rank 0.
    behind: bool,
    /// The last values of metrics as they know them.
    told: Option<BTreeMap<String, f64>>,
}

impl Lead {
    /// Of ranks that know nothing yet.
    pub(super) fn new(ranks: &Arc<Ranks>) -> Self {
        Self { ranks: Arc::clone(ranks), behind: true, told: None }
    }

    /// The state is not theirs any more.
    pub(super) fn leave_behind(&mut self) {
        self.behind = true;
    }

    /// Before the steps of an epoch: they get the state where theirs is another, and what all must have in common is
    /// compared.
    pub(super) fn epoch(&mut self, state: &TrainingState, run: &Run) -> Result<(), TrainingError> {
        if self.behind {
            let (revised, mut tensors) = Revised::new(state.experiment(), state.bound())?;
            let kept = state.tensors()?.into_iter().filter(|(name, _)| !name.starts_with("shadow/"));
            tensors.extend(kept.map(|(name, tensor)| (format!("{STATE}{name}"), tensor)));
            let sent = Sent {
                revised,
                run: absolute(run.path()),
                data: absolute(state.assembly().dataset.path()),
                epoch: state.epoch(),
                step: state.step(),
                pace: state.pace(),
            };
            self.ranks.send(&Message::State(Box::new(sent)), &tensors)?;
            self.ranks.agree(None, Wish::default())?;
            (self.behind, self.told) = (false, None);
        }
        self.ranks.send(&Message::Compare, &[])?;
        Ok(self.ranks.compare(&in_common(state)?)?)
    }

    /// Before a step of an epoch with this number; `last` are the last values of metrics.
    pub(super) fn step(&mut self, epoch: u64, number: u64, last: &BTreeMap<String, f64>) -> Result<(), TrainingError> {
        // By their bits: what is not a number is not equal to itself.
        let bits = |(name, value): (&String, &f64)| (name.clone(), value.to_bits());
        let known = self.told.as_ref().is_some_and(|told| told.iter().map(bits).eq(last.iter().map(bits)));
        let metrics = if known { None } else { Some(last.iter().map(bits).collect()) };
        if !known {
            self.told = Some(last.clone());
        }
        Ok(self.ranks.send(&Message::Train(Next { epoch, number, metrics }), &[])?)
    }

    /// Asks them whether they could take a revision; why not, if one could not.
    pub(super) fn refusal(&self, staged: &Staged) -> Result<Option<String>, TrainingError> {
        let (revised, components) = Revised::new(&staged.experiment, &staged.strategies.bound)?;
        self.ranks.send(&Message::Try(revised), &components)?;
        match self.ranks.agree(None, Wish::default()) {
            Ok(_) => Ok(None),
            Err(error @ RanksError::Fault { .. }) => Ok(Some(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// They are done.
    pub(super) fn dismiss(&self) {
        // They have it before this process ends. The run is complete, or saved: that one is lost now is nothing to it.
        let _ = self.ranks.send(&Message::End, &[]).and_then(|()| self.ranks.agree(None, Wish::default()));
    }
}
