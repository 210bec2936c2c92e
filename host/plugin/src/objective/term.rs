//! An objective: one term of the sum.

use tch::Tensor;

use super::batch::Batch;
use super::blame;
use super::error::ComputeError;
use super::imbalance::{self, Imbalance};
use super::placed_slot::Placed;
use super::thresholds::Thresholds;
use crate::context::{Input, Progress};
use crate::error::{Cause, ResultFault};
use crate::report::{Level, Metric};
use crate::slot::Slot;

/// What an objective is computed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ComputedOn {
    /// The embedding as the network gives it, with its slices.
    #[default]
    Embedding,
    /// What the fusion makes of it, as one slice.
    Fused,
    /// As `Fused`, without gradient into the network.
    FusedOnly,
}

/// A loss, or a transfer with or without a balance, with what chooses its thresholds and tuples.
pub struct Objective {
    pub(super) place: String,
    pub(super) weight: f64,
    pub(super) on: ComputedOn,
    pub(super) schedule: Option<Placed>,
    pub(super) miner: Option<Placed>,
    pub(super) term: Term,
    /// The last thresholds of the schedule.
    thresholds: Thresholds,
}

pub(super) enum Term {
    Loss(Box<Placed>),
    Transfer { transfer: Box<Placed>, balance: Option<Box<Placed>> },
}

impl Objective {
    /// The value of a loss, times `weight` in the sum. `place` is what the names of its metrics begin with:
    /// `objective.0`.
    #[must_use]
    pub fn of_loss(place: String, weight: f64, on: ComputedOn, loss: Slot) -> Self {
        let term = Term::Loss(Box::new(Placed::new(&place, loss)));
        Self::new(place, weight, on, term)
    }

    /// The pair losses of a transfer as a balance weighs them, or their sum over the transfer's divisor.
    #[must_use]
    pub fn of_transfer(place: String, weight: f64, on: ComputedOn, transfer: Slot, balance: Option<Slot>) -> Self {
        let placed = |slot| Box::new(Placed::new(&place, slot));
        let term = Term::Transfer { transfer: placed(transfer), balance: balance.map(placed) };
        Self::new(place, weight, on, term)
    }

    fn new(place: String, weight: f64, on: ComputedOn, term: Term) -> Self {
        Self { place, weight, on, schedule: None, miner: None, term, thresholds: Thresholds::default() }
    }

    /// With the thresholds of a schedule.
    #[must_use]
    pub fn with_schedule(mut self, schedule: Slot) -> Self {
        self.schedule = Some(Placed::new(&self.place, schedule));
        self
    }

    /// With the tuples of a miner.
    #[must_use]
    pub fn with_miner(mut self, miner: Slot) -> Self {
        self.miner = Some(Placed::new(&self.place, miner));
        self
    }

    /// Adds the thresholds of the schedule to the metrics, and to the lines what is to be said of them.
    pub(super) fn tell(
        &mut self,
        metrics: &mut Vec<(String, Metric)>,
        lines: &mut Vec<(String, Level, String)>,
        classes: i64,
    ) {
        let Some(Placed { place, .. }) = &self.schedule else { return };
        let named = |(slice, value): (usize, &f64)| (format!("{place}/threshold.{slice}"), Metric::Number(*value));
        metrics.extend(self.thresholds.values.iter().enumerate().map(named));
        lines.extend(self.thresholds.warning(classes).map(|text| (place.clone(), Level::Warn, text)));
    }

    /// The value of a batch, and how unequal the halves of a transfer are if that is measured.
    pub(super) fn compute(&mut self, batch: &Batch, progress: &Progress) -> Result<(Tensor, Imbalance), ComputeError> {
        let progress = &Progress { place: self.place.clone(), ..progress.clone() };
        let mut input = batch.input();
        // Thresholds and tuples are chosen, not learned through: they see the embeddings without gradient.
        let detached = batch.embeddings.f_detach()?;
        let chooser = |input: &Input| Input { embeddings: Some(detached.shallow_clone()), ..input.shallow_clone() };
        if let Some(schedule) = &mut self.schedule {
            input.thresholds = schedule.slot.thresholds(chooser(&input), progress)?;
            self.thresholds.values.clone_from(&input.thresholds);
        }
        if let Some(miner) = &mut self.miner {
            input.tuples = Some(miner.slot.mine(chooser(&input), progress)?);
        }
        let (transfer, balance) = match &mut self.term {
            Term::Loss(loss) => return Ok((loss.slot.loss(input, progress)?, Vec::new())),
            Term::Transfer { transfer, balance } => (transfer, balance),
        };
        let pairs = transfer.slot.transfer(input.shallow_clone(), progress)?;
        let (value, by_values) = match balance {
            None => {
                let total = pairs.total()?;
                if let Some(number) = blame::not_finite(&total)? {
                    return Err(transfer.slot.blame(Cause::Result(ResultFault::NotFinite(number))).into());
                }
                (total, true)
            }
            Some(balance) => match balance.slot.balance(pairs.shallow_clone(), input, progress) {
                Ok(balanced) => balanced,
                Err(error) => {
                    // What a balance makes of pair losses that are not finite is not its fault.
                    let infinite = matches!(*error.cause, Cause::Result(ResultFault::NotFinite(_)));
                    let transfers = if infinite { blame::of_pair_losses(transfer, &pairs)? } else { None };
                    return Err(transfers.unwrap_or(error).into());
                }
            },
        };
        let imbalance = if batch.measured {
            imbalance::measure(&pairs, by_values.then_some(&value), &batch.embeddings, &batch.labels)
                .map_err(|error| blame::of_halves(transfer, balance.as_deref(), &pairs, &batch.embeddings, &error))?
        } else {
            Vec::new()
        };
        Ok((value, imbalance))
    }
}
