//! Objectives: calls the strategies of each and adds up their values.

use std::collections::BTreeMap;

use tch::Tensor;

use super::batch::Batch;
use super::error::ComputeError;
use super::placed_slot::Placed;
use super::term::{ComputedOn, Objective, Term};
use crate::context::{Input, Progress};
use crate::error::{Cause, ResultFault};
use crate::not_finite::Watch;
use crate::report::{Level, Metric};
use crate::slot::Slot;
use crate::state::{State, StateParameter};

/// The loss of a batch and what the strategies reported.
pub struct Outcome {
    /// The weighted sum, a scalar with gradient.
    pub total: Tensor,
    /// Named values of this step: each objective's unweighted value (`objective.0`) and each slot's metrics
    /// (`objective.0.loss/active`). Tensors stay on the device.
    pub metrics: Vec<(String, Metric)>,
    /// Log lines of the strategies, each with its slot.
    pub lines: Vec<(String, Level, String)>,
}

/// All objectives, and the fusion.
pub struct Objectives {
    pub(super) list: Vec<Objective>,
    pub(super) fusion: Option<Placed>,
}

impl Objectives {
    /// Objectives whose values are added up, and what makes one embedding of slices for those that are computed on it.
    #[must_use]
    pub fn new(list: Vec<Objective>, fusion: Option<Slot>) -> Self {
        Self { list, fusion: fusion.map(|slot| Placed { place: "fusion".to_owned(), slot }) }
    }

    /// Computes every objective of a batch and adds them up.
    ///
    /// # Errors
    /// A fault of a plugin.
    pub fn compute(&mut self, batch: &Batch, progress: &Progress) -> Result<Outcome, ComputeError> {
        let mut total: Option<Tensor> = None;
        let (mut metrics, mut lines) = (Vec::new(), Vec::new());
        let fused = self.fused(batch, ComputedOn::Fused, progress)?.map(|fused| batch.fused(fused));
        let fused_only = self.fused(batch, ComputedOn::FusedOnly, progress)?.map(|fused| batch.fused(fused));
        for objective in &mut self.list {
            let fused = match objective.on {
                ComputedOn::Embedding => None,
                ComputedOn::Fused => fused.as_ref(),
                ComputedOn::FusedOnly => fused_only.as_ref(),
            };
            let batch = fused.unwrap_or(batch);
            let (value, imbalance) = objective.compute(batch, progress)?;
            objective.tell(&mut metrics, &mut lines, batch.class_count);
            metrics.extend(imbalance.into_iter().map(|(name, value)| (format!("{}/{name}", objective.place), value)));
            metrics.push((objective.place.clone(), Metric::Tensor(value.f_detach()?)));
            let weighted = value.f_mul_scalar(objective.weight)?;
            total = Some(match total {
                Some(total) => total.f_add(&weighted)?,
                None => weighted,
            });
        }
        for Placed { place, slot } in self.slots_mut() {
            let report = slot.take_report();
            metrics.extend(report.metrics.into_iter().map(|(name, value)| (format!("{place}/{name}"), value)));
            lines.extend(report.lines.into_iter().map(|(level, line)| (place.clone(), level, line)));
        }
        let total = total.ok_or_else(|| ComputeError::State("there are no objectives".into()))?;
        if batch.embeddings.requires_grad() && !total.requires_grad() {
            return Err(ComputeError::NoGradient);
        }
        Ok(Outcome { total, metrics, lines })
    }

    /// The fused embedding for objectives on it; none where there are none.
    pub(super) fn fused(
        &mut self,
        batch: &Batch,
        on: ComputedOn,
        progress: &Progress,
    ) -> Result<Option<Tensor>, ComputeError> {
        if !self.list.iter().any(|objective| objective.on == on) {
            return Ok(None);
        }
        let embeddings = match on {
            ComputedOn::FusedOnly => batch.embeddings.f_detach()?,
            _ => batch.embeddings.shallow_clone(),
        };
        let fused = self.fuse(embeddings, batch.slice_count, progress)?;
        if let Some(fusion) = &self.fusion
            && !fused.requires_grad()
            && !fusion.slot.state().parameters.is_empty()
        {
            return Err(fusion.slot.blame(Cause::Result(ResultFault::NoGradient)).into());
        }
        Ok(Some(fused))
    }

    /// What the fusion makes of embeddings (B x D) of `slice_count` slices: B x D'. The embeddings themselves without a
    /// fusion.
    ///
    /// # Errors
    /// A fault of the plugin.
    pub fn fuse(&mut self, embeddings: Tensor, slice_count: i64, progress: &Progress) -> Result<Tensor, ComputeError> {
        let Some(fusion) = &mut self.fusion else { return Ok(embeddings) };
        let input = Input { embeddings: Some(embeddings), slice_count, ..Input::default() };
        Ok(fusion.slot.fuse(input, progress)?)
    }

    /// What the fusion makes of all embeddings of a part of the data (N x D), a batch at a time: N x D'. The embeddings
    /// themselves without a fusion.
    ///
    /// # Errors
    /// A fault of the plugin; also if all that it makes would be too large, before it is joined.
    pub fn fuse_all(
        &mut self,
        features: &Tensor,
        batch_size: i64,
        slice_count: i64,
        progress: &Progress,
    ) -> Result<Tensor, ComputeError> {
        if self.fusion.is_none() {
            return Ok(features.shallow_clone());
        }
        let images = features.size().first().copied().unwrap_or_default();
        let (mut joined, mut first) = (None, 0);
        for batch in features.f_split(batch_size, 0)? {
            let fused = tch::no_grad(|| self.fuse(batch, slice_count, progress))?;
            let (rows, columns) = fused.size2()?;
            if let (None, Some(fusion)) = (&joined, &self.fusion) {
                fusion.slot.joined(images, columns)?;
                joined = Some(Tensor::f_empty([images, columns], (fused.kind(), fused.device()))?);
            }
            if let Some(joined) = &joined {
                joined.f_narrow(0, first, rows)?.f_copy_(&fused)?;
            }
            first += rows;
        }
        joined.ok_or_else(|| ComputeError::State("there are no embeddings".into()))
    }

    /// Whether the fusion has trainable parameters that no objective trains.
    #[must_use]
    pub fn untrained_fusion(&self) -> bool {
        let trained = self.list.iter().any(|objective| objective.on != ComputedOn::Embedding);
        !trained && self.fusion.as_ref().is_some_and(|fusion| !fusion.slot.state().parameters.is_empty())
    }

    /// How many trainable parameters the slots have.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.slots().map(|Placed { slot, .. }| slot.state().parameters.len()).sum()
    }

    /// Trainable parameters of all slots, with stable names: (`objective.0.loss/proxies`, tensor, learning-rate
    /// multiplier).
    #[must_use]
    pub fn parameters(&self) -> Vec<(String, Tensor, f64)> {
        let mut parameters = Vec::new();
        for Placed { place, slot } in self.slots() {
            for (name, StateParameter { tensor, learning_rate_multiplier }) in &slot.state().parameters {
                parameters.push((format!("{place}/{name}"), tensor.shallow_clone(), *learning_rate_multiplier));
            }
        }
        parameters
    }

    /// Names of the parameters that strategies exchanged for another tensor since this was last asked, as
    /// [`parameters`](Self::parameters) has them. Who trains them must take the new tensor and start anew with it.
    pub fn take_replaced(&mut self) -> Vec<String> {
        let mut replaced = Vec::new();
        for Placed { place, slot } in self.slots_mut() {
            let names = std::mem::take(&mut slot.state_mut().replaced);
            replaced.extend(names.into_iter().map(|name| format!("{place}/{name}")));
        }
        replaced
    }

    /// Everything that the slots keep, for a checkpoint.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, ComputeError> {
        let mut state = BTreeMap::new();
        for Placed { place, slot } in self.slots() {
            state.extend(slot.state().tensors(place)?);
        }
        Ok(state)
    }

    /// Sets everything that the slots keep.
    ///
    /// # Errors
    /// A name of no slot.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<(), ComputeError> {
        let mut slots: BTreeMap<&str, &mut Slot> =
            self.slots_mut().map(|Placed { place, slot }| (place.as_str(), slot)).collect();
        for (key, tensor) in state {
            let unknown = || ComputeError::State(format!("`{key}` belongs to no slot of this experiment"));
            let mut parts = key.splitn(3, '/');
            let (Some(place), Some(kind), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(unknown());
            };
            let slot = slots.get_mut(place).ok_or_else(unknown)?;
            let state_of = slot.state_mut();
            match kind {
                "parameter" => {
                    let multiplier = state
                        .get(&format!("{place}/multiplier/{name}"))
                        .ok_or_else(|| ComputeError::State(format!("`{key}` has no learning-rate multiplier")))?;
                    let parameter = StateParameter {
                        tensor: tensor.f_detach()?.f_requires_grad_(true)?,
                        learning_rate_multiplier: multiplier.f_double_value(&[0])?,
                    };
                    state_of.parameters.insert(name.to_owned(), parameter);
                }
                "multiplier" => {}
                "buffer" => {
                    state_of.buffers.insert(name.to_owned(), tensor.shallow_clone());
                }
                _ => return Err(unknown()),
            }
        }
        Ok(())
    }

    /// What each slot keeps, by its place; the slots keep nothing then.
    pub fn take_states(&mut self) -> BTreeMap<String, State> {
        self.slots_mut().map(|Placed { place, slot }| (place.clone(), std::mem::take(slot.state_mut()))).collect()
    }

    /// Sets what the slots keep; a slot that is not named keeps nothing. What belongs to no slot is dropped.
    pub fn put_states(&mut self, mut states: BTreeMap<String, State>) {
        for Placed { place, slot } in self.slots_mut() {
            *slot.state_mut() = states.remove(place).unwrap_or_default();
        }
    }

    /// Copies of what each slot keeps, by its place.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn copy_states(&self) -> Result<BTreeMap<String, State>, ComputeError> {
        let states = self.slots().map(|Placed { place, slot }| Ok((place.clone(), slot.state().copy()?)));
        states.collect()
    }

    /// Has the plugins make the next calls, whatever was recorded.
    pub fn forget_programs(&mut self) {
        for Placed { slot, .. } in self.slots_mut() {
            slot.forget_programs();
        }
    }

    /// Tells a watch of the operations of all slots from now on.
    pub fn watch(&mut self, watch: &Watch) {
        for Placed { slot, .. } in self.slots_mut() {
            slot.probe_mut().watch = watch.clone();
        }
    }

    /// The places of the slots.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        self.slots().map(|placed| placed.place.as_str())
    }

    fn slots(&self) -> impl Iterator<Item = &Placed> {
        let objectives = self.list.iter().flat_map(|Objective { schedule, miner, term, .. }| {
            let (first, second) = match term {
                Term::Loss(loss) => (loss, None),
                Term::Transfer { transfer, balance } => (transfer, balance.as_deref()),
            };
            [schedule.as_ref(), miner.as_ref(), Some(first.as_ref()), second].into_iter().flatten()
        });
        objectives.chain(&self.fusion)
    }

    pub(super) fn slots_mut(&mut self) -> impl Iterator<Item = &mut Placed> {
        let objectives = self.list.iter_mut().flat_map(|Objective { schedule, miner, term, .. }| {
            let (first, second) = match term {
                Term::Loss(loss) => (loss, None),
                Term::Transfer { transfer, balance } => (transfer, balance.as_deref_mut()),
            };
            [schedule.as_mut(), miner.as_mut(), Some(first.as_mut()), second].into_iter().flatten()
        });
        objectives.chain(&mut self.fusion)
    }
}
