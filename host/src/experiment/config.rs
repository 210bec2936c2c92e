//! The keys of an experiment file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lossmith_plugin::{Limits, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::device::DeviceChoice;
use super::learning_rate::LearningRateConfig;
use super::optimizer::OptimizerConfig;
use super::session::SessionConfig;
use super::teacher::TeacherConfig;
use super::training::TrainingConfig;
use crate::data::{DataConfig, SamplerConfig};
use crate::eval::EvaluationConfig;
use crate::model::ModelConfig;
use crate::ranks::RanksConfig;
use crate::run::RunConfig;

/// An experiment: what is trained, on what, by which losses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Experiment {
    /// Name of the experiment; the run's folder begins with it.
    pub name: String,
    /// Seed of everything random. Default 0.
    #[serde(default)]
    pub seed: u64,
    /// Passes over the training images.
    pub epochs: u64,
    /// Where tensors live: `auto` (CUDA when there is a device, else the CPU), `cpu`, `cuda:0`, ... Default `auto`.
    #[serde(default)]
    pub device: DeviceChoice,
    /// Arithmetic of the network. Losses are always computed in 32 bits. Default `f32`.
    #[serde(default)]
    pub precision: Precision,
    /// Threads of one tensor operation on the CPU; results depend on it in the last bits. Default: the machine's cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// The images.
    pub data: DataConfig,
    /// How batches are drawn.
    pub sampler: SamplerConfig,
    /// The network.
    #[serde(default)]
    pub model: ModelConfig,
    /// How weights change.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// How the learning rate changes over the run.
    #[serde(default)]
    pub learning_rate: LearningRateConfig,
    /// How a step is computed.
    #[serde(default, skip_serializing_if = "TrainingConfig::is_default")]
    pub training: TrainingConfig,
    /// Several processes that train the run together.
    #[serde(default, skip_serializing_if = "RanksConfig::is_default")]
    pub ranks: RanksConfig,
    /// The network that transfers learn from. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherConfig>,
    /// What is minimised: the sum of these, each times its weight.
    pub objective: Vec<ObjectiveConfig>,
    /// How slices become one embedding, at evaluation and for objectives on it. Default: the whole embedding as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fusion: Option<StrategyConfig>,
    /// What is measured, and when.
    #[serde(default)]
    pub evaluation: EvaluationConfig,
    /// Candidates that see the batches of the training without touching it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadow: Vec<ShadowConfig>,
    /// Where the run is kept.
    #[serde(default)]
    pub run: RunConfig,
    /// How edits of the running training are taken.
    #[serde(default)]
    pub session: SessionConfig,
    /// What plugins may use.
    #[serde(default)]
    pub limits: Limits,
}

/// One term of what is minimised. It has either a `loss` or a `transfer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ObjectiveConfig {
    /// Factor of this term. Default 1.
    #[serde(default = "one")]
    pub weight: f64,
    /// What the term is computed on. Default `embedding`.
    #[serde(default, skip_serializing_if = "On::is_embedding")]
    pub on: On,
    /// A strategy of the role `loss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<StrategyConfig>,
    /// A strategy of the role `transfer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<StrategyConfig>,
    /// A strategy of the role `balance`, for a transfer. Default: the sum of pair losses over the transfer's divisor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<StrategyConfig>,
    /// A strategy of the role `miner`. Default: all tuples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub miner: Option<StrategyConfig>,
    /// A strategy of the role `schedule`: a threshold for each slice. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<StrategyConfig>,
}

/// What an objective is computed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum On {
    /// The embedding as the network gives it, with its slices.
    #[default]
    Embedding,
    /// What the `[fusion]` makes of it, as one slice. The fusion's parameters and the network learn.
    Fused,
    /// As `fused`, but the network does not learn from it: only the parameters of the fusion and of the objective do.
    /// Only `optimizer.clip-norm`, which is on all gradients together, can make the network's steps smaller by it.
    FusedOnly,
}

impl On {
    fn is_embedding(&self) -> bool {
        *self == Self::Embedding
    }
}

impl Experiment {
    /// The strategy at a place such as `objective.0.loss` or `fusion`.
    #[must_use]
    pub fn strategy(&self, place: &str) -> Option<&StrategyConfig> {
        if place == "fusion" {
            return self.fusion.as_ref();
        }
        let (objective, role) = place.rsplit_once('.')?;
        let objective = self.objective.get(objective.strip_prefix("objective.")?.parse::<usize>().ok()?)?;
        let strategy = match role {
            "loss" => &objective.loss,
            "transfer" => &objective.transfer,
            "balance" => &objective.balance,
            "miner" => &objective.miner,
            "schedule" => &objective.schedule,
            _ => return None,
        };
        strategy.as_ref()
    }

    /// The experiment as TOML, every default written out.
    ///
    /// # Errors
    /// A value that TOML cannot say, such as an integer above 2^63.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

fn one() -> f64 {
    1.0
}

/// A strategy of a plugin with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StrategyConfig {
    /// The component: a path beside the experiment file, the bare name of a standard plugin, for instance `losses`, or
    /// a Rust crate that is built, `{ crate = "../my-loss" }`.
    pub plugin: PluginSource,
    /// The strategy's name. `lossmith plugin inspect` lists them.
    pub strategy: String,
    /// Parameters of the strategy. What is left out has the default of its description.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
    /// Names of parameters and buffers that begin anew if this strategy, swapped into a running training, needs another
    /// shape of them than what is kept. Default: none, and such a swap is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reset: Vec<String>,
}

/// Where a component comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a plugin is a path, a bare name, or { crate = \"DIRECTORY\" }")]
pub enum PluginSource {
    /// A file, or the bare name of a standard plugin.
    Component(PathBuf),
    /// A folder that `lossmith plugin build` builds: a Rust crate, or one with a plugin.toml.
    Crate {
        /// The folder.
        #[serde(rename = "crate")]
        directory: PathBuf,
    },
}

impl PluginSource {
    /// The path as it is given.
    #[must_use]
    pub fn path(&self) -> &PathBuf {
        let (Self::Component(path) | Self::Crate { directory: path }) = self;
        path
    }

    /// Whether it is the bare name of a standard plugin.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        matches!(self, Self::Component(path) if is_bare(path))
    }
}

/// A candidate beside an objective: it is computed on the same batches, and what it would have done is recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ShadowConfig {
    /// Its name in the record and for `lossmith session promote`.
    pub name: String,
    /// The number of the objective that it would replace, from 0. Default 0.
    #[serde(default)]
    pub replaces: usize,
    /// What it computes.
    pub objective: ObjectiveConfig,
}

/// Arithmetic of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits (bfloat16) where libtorch's autocast finds that safe, 32 bits elsewhere.
    Bf16,
}

/// Whether a plugin is given by the bare name of a standard one, not by a path.
#[must_use]
pub fn is_bare(plugin: &Path) -> bool {
    plugin.components().count() == 1 && plugin.extension().is_none()
}
