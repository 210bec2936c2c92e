//! The sum that is minimised.

use std::collections::BTreeMap;

use tch::Tensor;

use super::blame;
use super::error::ObjectiveError;
use super::imbalance::{self, Imbalance};
use super::load::Loader;
use super::placed::Placed;
use super::thresholds::Thresholds;
use crate::experiment::{ObjectiveConfig, On, StrategyConfig};
use crate::plugin::{Cause, Input, Level, Metric, Progress, ResultFault, Role, Slot, State, StateParameter, Watch};

/// What the objectives see of a batch.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// B x D, 32-bit, with gradient into the network.
    pub embeddings: &'a Tensor,
    /// B, from 0 to `class_count` - 1.
    pub labels: &'a Tensor,
    /// Number of training classes.
    pub class_count: i64,
    /// Number of equal slices.
    pub slice_count: i64,
    /// The backbone's last feature map.
    pub feature_map: Option<&'a Tensor>,
    /// The teacher's embeddings, B x D'.
    pub teacher: Option<&'a Tensor>,
    /// The teacher's last feature map.
    pub teacher_feature_map: Option<&'a Tensor>,
    /// Whether the imbalance of transfers is measured in this step: it costs four more backward passes through the pair
    /// losses.
    pub measured: bool,
}

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

pub(super) struct Objective {
    place: String,
    weight: f64,
    pub(super) on: On,
    schedule: Option<Placed>,
    miner: Option<Placed>,
    pub(super) term: Term,
    /// What the schedule said last.
    thresholds: Thresholds,
}

pub(super) enum Term {
    Loss(Box<Placed>),
    Transfer { transfer: Box<Placed>, balance: Option<Box<Placed>> },
}

/// Random streams of an objective: one for each slot that it can have. They depend on its place alone, so that an edit
/// of one objective does not change what others draw.
const STREAMS: u64 = 8;

/// The number of the fusion's random stream: an objective has no fusion, so the first one leaves it free.
const FUSION: u64 = 5;

/// All objectives of an experiment, and the fusion.
pub struct Objectives {
    pub(super) list: Vec<Objective>,
    pub(super) fusion: Option<Placed>,
}

impl Objectives {
    /// Binds every strategy of the objectives.
    ///
    /// # Errors
    /// See [`Loader::slot`].
    pub fn load(
        configs: &[ObjectiveConfig],
        fusion: Option<&StrategyConfig>,
        loader: &mut Loader<'_>,
    ) -> Result<Self, ObjectiveError> {
        let objectives = configs
            .iter()
            .zip(0..)
            .map(|(config, index)| Objective::load(format!("objective.{index}"), index * STREAMS, config, loader));
        let list = objectives.collect::<Result<_, _>>()?;
        let fusion = fusion.map(|config| loader.slot("fusion", FUSION, Role::Fusion, config)).transpose()?;
        Ok(Self { list, fusion: fusion.map(|slot| Placed { place: "fusion".to_owned(), slot }) })
    }

    /// Binds the strategies of a shadow, the `index`-th.
    ///
    /// # Errors
    /// See [`Loader::slot`].
    pub fn shadow(index: u64, config: &ObjectiveConfig, loader: &mut Loader<'_>) -> Result<Self, ObjectiveError> {
        let first = (1 << 32) + index * STREAMS;
        let objective = Objective::load(format!("shadow.{index}.objective"), first, config, loader)?;
        Ok(Self { list: vec![objective], fusion: None })
    }

    /// Computes every objective of a batch and adds them up.
    ///
    /// # Errors
    /// A fault of a plugin.
    pub fn compute(&mut self, batch: &Batch<'_>, progress: &Progress) -> Result<Outcome, ObjectiveError> {
        let mut total: Option<Tensor> = None;
        let (mut metrics, mut lines) = (Vec::new(), Vec::new());
        let fused = self.fused(batch, On::Fused, progress)?;
        let fused_only = self.fused(batch, On::FusedOnly, progress)?;
        for objective in &mut self.list {
            let fused = match objective.on {
                On::Embedding => None,
                On::Fused => fused.as_ref(),
                On::FusedOnly => fused_only.as_ref(),
            };
            let batch = &fused.map_or(*batch, |fused| Batch { embeddings: fused, slice_count: 1, ..*batch });
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
        let total = total.ok_or_else(|| ObjectiveError::State("there are no objectives".into()))?;
        if batch.embeddings.requires_grad() && !total.requires_grad() {
            return Err(ObjectiveError::NoGradient);
        }
        Ok(Outcome { total, metrics, lines })
    }

    /// The fused embedding for objectives on it; none where there are none.
    pub(super) fn fused(
        &mut self,
        batch: &Batch<'_>,
        on: On,
        progress: &Progress,
    ) -> Result<Option<Tensor>, ObjectiveError> {
        if !self.list.iter().any(|objective| objective.on == on) {
            return Ok(None);
        }
        let embeddings = match on {
            On::FusedOnly => batch.embeddings.f_detach()?,
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
    pub fn fuse(
        &mut self,
        embeddings: Tensor,
        slice_count: i64,
        progress: &Progress,
    ) -> Result<Tensor, ObjectiveError> {
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
    ) -> Result<Tensor, ObjectiveError> {
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
        joined.ok_or_else(|| ObjectiveError::State("there are no embeddings".into()))
    }

    /// Whether the fusion has trainable parameters that no objective trains.
    #[must_use]
    pub fn untrained_fusion(&self) -> bool {
        let trained = self.list.iter().any(|objective| objective.on != On::Embedding);
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
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, ObjectiveError> {
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
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<(), ObjectiveError> {
        let mut slots: BTreeMap<&str, &mut Slot> =
            self.slots_mut().map(|Placed { place, slot }| (place.as_str(), slot)).collect();
        for (key, tensor) in state {
            let unknown = || ObjectiveError::State(format!("`{key}` belongs to no slot of this experiment"));
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
                        .ok_or_else(|| ObjectiveError::State(format!("`{key}` has no learning-rate multiplier")))?;
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
    pub fn copy_states(&self) -> Result<BTreeMap<String, State>, ObjectiveError> {
        let states = self.slots().map(|Placed { place, slot }| Ok((place.clone(), slot.state().copy()?)));
        states.collect()
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

impl Objective {
    /// Binds the strategies of an objective. `first` is the number of its first random stream.
    fn load(
        place: String,
        first: u64,
        config: &ObjectiveConfig,
        loader: &mut Loader<'_>,
    ) -> Result<Self, ObjectiveError> {
        let mut bind = |number: u64, role: Role, strategy: &Option<_>| {
            let Some(strategy) = strategy else { return Ok(None) };
            let place = format!("{place}.{role}");
            let slot = loader.slot(&place, first + number, role, strategy)?;
            Ok::<_, ObjectiveError>(Some(Placed { place, slot }))
        };
        let schedule = bind(1, Role::Schedule, &config.schedule)?;
        let miner = bind(2, Role::Miner, &config.miner)?;
        let term = match (bind(0, Role::Loss, &config.loss)?, bind(0, Role::Transfer, &config.transfer)?) {
            (Some(loss), None) => Term::Loss(Box::new(loss)),
            (None, Some(transfer)) => {
                let balance = bind(3, Role::Balance, &config.balance)?.map(Box::new);
                Term::Transfer { transfer: Box::new(transfer), balance }
            }
            _ => return Err(ObjectiveError::State(format!("{place} needs a loss or a transfer"))),
        };
        let thresholds = Thresholds::default();
        Ok(Self { place, weight: config.weight, on: config.on, schedule, miner, term, thresholds })
    }

    /// Adds the thresholds of the schedule to the metrics, and to the lines what is to be said of them.
    fn tell(&mut self, metrics: &mut Vec<(String, Metric)>, lines: &mut Vec<(String, Level, String)>, classes: i64) {
        let Some(Placed { place, .. }) = &self.schedule else { return };
        let named = |(slice, value): (usize, &f64)| (format!("{place}/threshold.{slice}"), Metric::Number(*value));
        metrics.extend(self.thresholds.values.iter().enumerate().map(named));
        lines.extend(self.thresholds.warning(classes).map(|text| (place.clone(), Level::Warn, text)));
    }

    /// What the strategies see of a batch, without thresholds and tuples.
    pub(super) fn input(batch: &Batch<'_>) -> Input {
        Input {
            embeddings: Some(batch.embeddings.shallow_clone()),
            labels: Some(batch.labels.shallow_clone()),
            class_count: batch.class_count,
            slice_count: batch.slice_count,
            feature_map: batch.feature_map.map(Tensor::shallow_clone),
            teacher: batch.teacher.map(Tensor::shallow_clone),
            teacher_feature_map: batch.teacher_feature_map.map(Tensor::shallow_clone),
            ..Input::default()
        }
    }

    /// The value of a batch, and how unequal the halves of a transfer are if that is measured.
    pub(super) fn compute(
        &mut self,
        batch: &Batch<'_>,
        progress: &Progress,
    ) -> Result<(Tensor, Imbalance), ObjectiveError> {
        let progress = &Progress { place: self.place.clone(), ..progress.clone() };
        let mut input = Self::input(batch);
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
            imbalance::measure(&pairs, by_values.then_some(&value), batch.embeddings, batch.labels)
                .map_err(|error| blame::of_halves(transfer, balance.as_deref(), &pairs, batch.embeddings, &error))?
        } else {
            Vec::new()
        };
        Ok((value, imbalance))
    }
}
