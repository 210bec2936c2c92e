//! What rank 0 tells the other ranks: one message a step, and the whole state where theirs is not the same any more.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tch::{TchError, Tensor};

use super::epoch_length::Pace;
use super::state::TrainingState;
use super::training_error::TrainingError;
use crate::data::PartName;
use crate::experiment::Experiment;
use crate::objective::Bound;
use crate::ranks::RanksError;

/// What the tensors that follow a message are: bytes of a component by its hash, or what a checkpoint has by its name.
pub(super) const COMPONENT: &str = "component/";
pub(super) const STATE: &str = "state/";

/// What is done next.
#[derive(Serialize, Deserialize)]
pub(super) enum Message {
    /// The state is this, whatever it was; components and state follow. Answered by an agreement.
    State(Box<Sent>),
    /// Whether a revision could be taken, whose components follow. Answered by an agreement.
    Try(Revised),
    /// What all must have in common is compared.
    Compare,
    /// A step.
    Train(Next),
    /// Parts of the data are embedded, one after the other.
    Embed(Vec<PartName>),
    /// Nothing more.
    End,
}

/// An experiment with its components.
#[derive(Serialize, Deserialize)]
pub(super) struct Revised {
    /// TOML.
    pub(super) experiment: String,
    pub(super) components: Vec<Component>,
}

/// The component of a slot.
#[derive(Serialize, Deserialize)]
pub(super) struct Component {
    pub(super) slot: String,
    pub(super) name: String,
    pub(super) hash: String,
}

/// Where a training is, and what with.
#[derive(Serialize, Deserialize)]
pub(super) struct Sent {
    pub(super) revised: Revised,
    pub(super) run: PathBuf,
    pub(super) data: PathBuf,
    pub(super) epoch: u64,
    pub(super) step: u64,
    /// Where the epochs of the present length began: step and epoch.
    pub(super) pace: (u64, u64),
}

/// A step.
#[derive(Serialize, Deserialize)]
pub(super) struct Next {
    pub(super) epoch: u64,
    /// Its number in the epoch.
    pub(super) number: u64,
    /// The bits of the last values of metrics, which strategies can ask for, where they are others than before.
    pub(super) metrics: Option<BTreeMap<String, u64>>,
}

impl Sent {
    pub(super) fn pace(&self) -> Pace {
        Pace { step: self.pace.0, epoch: self.pace.1 }
    }
}

impl Revised {
    /// Of an experiment and what is bound for it, with the tensors that follow. Shadows are computed by rank 0 alone.
    pub(super) fn new(
        experiment: &Experiment,
        bound: &[Bound],
    ) -> Result<(Self, Vec<(String, Tensor)>), TrainingError> {
        let experiment = Experiment { shadow: Vec::new(), ..experiment.clone() };
        let bound = || bound.iter().filter(|bound| experiment.strategy(&bound.slot).is_some());
        let components = bound().map(|bound| Component {
            slot: bound.slot.clone(),
            name: bound.plugin.name.clone(),
            hash: bound.plugin.hash.clone(),
        });
        let plugins: BTreeMap<_, _> = bound().map(|bound| (&bound.plugin.hash, Arc::clone(&bound.plugin))).collect();
        let bytes = plugins
            .into_iter()
            .map(|(hash, plugin)| Ok((format!("{COMPONENT}{hash}"), Tensor::f_from_slice(plugin.bytes.as_slice())?)));
        let bytes = bytes.collect::<Result<_, TchError>>()?;
        Ok((Self { experiment: experiment.to_toml()?, components: components.collect() }, bytes))
    }
}

/// Numbers that must be the same on all ranks, with what they are of.
pub(super) fn in_common(state: &TrainingState) -> Result<[(&'static str, i64); 4], TrainingError> {
    let hashes = state.bound().iter().filter(|bound| state.experiment().strategy(&bound.slot).is_some());
    let plugins = hashes.fold(0_i64, |sum, bound| {
        let hash = bound.plugin.hash.get(..15).and_then(|hash| i64::from_str_radix(hash, 16).ok());
        sum.wrapping_mul(31).wrapping_add(hash.unwrap_or_default())
    });
    let mut parameters = 0_i64;
    let model = state.assembly().model.parameters().iter().map(|parameter| parameter.tensor.shallow_clone());
    let theirs = state.assembly().strategies.objectives.parameters().into_iter().map(|(_, tensor, _)| tensor);
    for tensor in model.chain(theirs) {
        parameters = parameters.wrapping_mul(31).wrapping_add(bits(&tensor)?);
    }
    let shape = state.batch_size() as i64 * (1 << 32) + state.steps() as i64;
    Ok([("plugins", plugins), ("parameters", parameters), ("step", state.step() as i64), ("batch", shape)])
}

/// A sum of the bits of 32-bit numbers, each times its place.
fn bits(tensor: &Tensor) -> Result<i64, TchError> {
    let bits = tensor.f_detach()?.f_reshape([-1])?.f_view_dtype(tch::Kind::Int)?.f_to_kind(tch::Kind::Int64)?;
    let places = Tensor::f_arange(bits.numel() as i64, (tch::Kind::Int64, tensor.device()))?;
    bits.f_mul(&places.f_mul_scalar(2)?.f_add_scalar(1)?)?.f_sum(tch::Kind::Int64)?.f_int64_value(&[])
}

/// What a rank cannot do that was told to do it.
pub(super) fn out_of_turn() -> RanksError {
    RanksError::Torch("rank 0 sent a step before a state".to_owned())
}
