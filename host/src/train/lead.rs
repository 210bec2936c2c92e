//! Leading the other ranks: rank 0 decides what is done, and tells them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::location::absolute;
use super::message::{Message, Next, Revised, STATE, Sent, in_common};
use super::state::TrainingState;
use super::training_error::TrainingError;
use crate::data::PartName;
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
    /// What collective operations have cost up to the present epoch.
    spent: (u64, Duration),
}

impl Lead {
    /// Of ranks that know nothing yet.
    pub(super) fn new(ranks: &Arc<Ranks>) -> Self {
        Self { ranks: Arc::clone(ranks), behind: true, told: None, spent: ranks.group().cost() }
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
        self.ranks.compare(&in_common(state)?)?;
        self.spent = self.ranks.group().cost();
        Ok(())
    }

    /// What a step of the epoch that is complete has cost in collective operations, in a line: `steps` took `time`.
    pub(super) fn cost(&self, steps: u64, time: Duration) -> String {
        let (bytes, waited) = self.ranks.group().cost();
        let steps = steps.max(1) as f64;
        let bytes = bytes.saturating_sub(self.spent.0) as f64 / steps;
        let waited = waited.saturating_sub(self.spent.1).as_secs_f64() / steps;
        let share = 100.0 * waited / (time.as_secs_f64() / steps);
        format!(
            "{} ranks: {:.1} kB and {:.2} ms of collective operations a step, {share:.0} % of its time",
            self.ranks.share().size(),
            bytes / 1e3,
            1e3 * waited
        )
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

    /// Before these parts of the data are embedded; those who do it together, if the others have the same weights.
    pub(super) fn evaluation(&self, parts: Vec<PartName>) -> Result<Option<&Ranks>, TrainingError> {
        if self.behind || parts.is_empty() {
            return Ok(None);
        }
        self.ranks.send(&Message::Embed(parts), &[])?;
        Ok(Some(&self.ranks))
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
