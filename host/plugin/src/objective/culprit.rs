//! Finds the strategy or the operation that made a sum wrong, by computing the batch again.

use std::collections::BTreeMap;

use tch::{TchError, Tensor};

use super::batch::{Batch, leaf};
use super::blame::backward;
use super::error::ComputeError;
use super::objectives::Objectives;
use super::placed_slot::Placed;
use super::term::{ComputedOn, Objective, Term};
use crate::context::Progress;
use crate::error::PluginError;
use crate::not_finite::{Computed, Watch, explain};
use crate::state::State;

impl Objectives {
    /// The strategy because of which the backward pass through a batch failed, if it is found: each is computed again
    /// by itself, with copies of what it keeps.
    ///
    /// # Errors
    /// What computing it again comes to.
    pub fn culprit(&mut self, batch: &Batch, progress: &Progress) -> Result<Option<PluginError>, ComputeError> {
        self.aside(|objectives, kept| objectives.search(batch, progress, kept))
    }

    /// The operation that made something that is not finite first in a batch, if it can be told. The batch is computed
    /// again with copies of what the strategies keep.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn origin(&mut self, batch: &Batch, progress: &Progress) -> Result<Option<String>, TchError> {
        self.aside(|objectives, kept| {
            explain(|watch| {
                objectives.watch(watch);
                let computed = objectives.again(batch, progress, kept);
                objectives.watch(&Watch::default());
                computed.ok()
            })
        })
    }

    /// Does something while the states of the slots are put aside, with these states at hand. Afterwards the slots have
    /// them again, and what the strategies reported meanwhile is dropped.
    fn aside<T>(&mut self, work: impl FnOnce(&mut Self, &BTreeMap<String, State>) -> T) -> T {
        let kept = self.take_states();
        let result = work(self, &kept);
        self.put_states(kept);
        for Placed { slot, .. } in self.slots_mut() {
            drop(slot.take_report());
        }
        result
    }

    /// Gives the slots copies of states.
    fn put_copies(&mut self, states: &BTreeMap<String, State>) -> Result<(), TchError> {
        let copies = states.iter().map(|(place, state)| Ok((place.clone(), state.copy()?)));
        self.put_states(copies.collect::<Result<_, TchError>>()?);
        Ok(())
    }

    /// A batch, computed with copies of `kept` on leaves of its own.
    fn again(
        &mut self,
        batch: &Batch,
        progress: &Progress,
        kept: &BTreeMap<String, State>,
    ) -> Result<Computed, ComputeError> {
        self.put_copies(kept)?;
        let whole = batch.leaves()?;
        let value = self.compute(&whole, progress)?.total;
        let Batch { embeddings, feature_map, .. } = whole;
        let parameters = self.parameters().into_iter().map(|(_, parameter, _)| parameter);
        Ok(Computed { value, leaves: parameters.chain(feature_map).chain(Some(embeddings)).collect() })
    }

    fn search(
        &mut self,
        batch: &Batch,
        progress: &Progress,
        kept: &BTreeMap<String, State>,
    ) -> Result<Option<PluginError>, ComputeError> {
        self.put_copies(kept)?;
        let whole = batch.leaves()?;
        let fused = self.on_leaf(&whole, ComputedOn::Fused, progress)?;
        let fused_only = self.on_leaf(&whole, ComputedOn::FusedOnly, progress)?;
        let mut on_fused = false;
        for objective in &mut self.list {
            let view = match objective.on {
                ComputedOn::Embedding => None,
                ComputedOn::Fused => fused.as_ref(),
                ComputedOn::FusedOnly => fused_only.as_ref(),
            };
            on_fused |= view.is_some();
            if let Some(error) = objective.fails_backward(view.unwrap_or(&whole), progress)? {
                return Ok(Some(error));
            }
        }
        // What remains is the way from the fused embedding to the network.
        let Some(fusion) = self.fusion.as_ref().filter(|_| on_fused) else { return Ok(None) };
        let text = "the objectives on it can be differentiated, the fused embedding cannot".to_owned();
        Ok(Some(backward(fusion, &TchError::Torch(text))))
    }

    /// The batch with a leaf that has the values of the fused embedding; none where no objective is on it.
    fn on_leaf(&mut self, batch: &Batch, on: ComputedOn, progress: &Progress) -> Result<Option<Batch>, ComputeError> {
        let fused = self.fused(batch, on, progress)?.as_ref().map(leaf).transpose()?;
        Ok(fused.map(|fused| batch.fused(fused)))
    }
}

impl Objective {
    fn fails_backward(&mut self, batch: &Batch, progress: &Progress) -> Result<Option<PluginError>, ComputeError> {
        let value = self.compute(batch, progress)?.0;
        let Err(error) = through(&value) else { return Ok(None) };
        Ok(Some(match &mut self.term {
            Term::Loss(loss) => backward(loss, &error),
            Term::Transfer { transfer, balance: None } => backward(transfer, &error),
            Term::Transfer { transfer, balance: Some(balance) } => {
                let pairs = transfer.slot.transfer(batch.input(), progress)?;
                match through(&pairs.total()?) {
                    Err(error) => backward(transfer, &error),
                    Ok(()) => backward(balance, &error),
                }
            }
        }))
    }
}

/// A backward pass; nothing of a constant.
fn through(value: &Tensor) -> Result<(), TchError> {
    if value.requires_grad() { value.f_backward() } else { Ok(()) }
}
