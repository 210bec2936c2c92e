//! `lossmith plugin eval`: runs one strategy on given data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tch::{Device, Kind, TchError, Tensor};

use super::error::CliError;
use crate::check::{BalanceCase, Case};
use crate::files;
use crate::plugin::{
    Input, Limits, Metric, Params, Progress, Role, Runtime, Setting, Slot, StateParameter, Value,
};
use crate::printable::harmless_json;
use crate::standard::Standard;

/// Run one strategy on given data and write its value, gradients, indices and metrics.
#[derive(Args, Debug)]
pub(super) struct PluginEvalArgs {
    /// The component: a path, or the bare name of a plugin (`lossmith plugin inspect --help` says where it is looked for).
    plugin: PathBuf,
    /// What the strategy does.
    #[arg(long, value_enum)]
    role: Role,
    /// Its name.
    #[arg(long)]
    strategy: String,
    /// Its parameters as JSON; what is left out has its default.
    #[arg(long, default_value = "{}")]
    params: String,
    /// The data as JSON: embeddings, labels, and optionally teacher, thresholds, tuples, parameters, class-count, balance.
    #[arg(long)]
    input: PathBuf,
    /// What the contract calls float.
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    dtype: Dtype,
    /// Seed of what the strategy draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the result goes; standard output when left out.
    #[arg(long)]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Dtype {
    F32,
    F64,
}

#[derive(Debug, Default, Serialize)]
struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gradient: Option<Vec<Vec<f64>>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    parameter_gradients: BTreeMap<String, Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    indices: Option<Vec<Vec<i64>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thresholds: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<Vec<Vec<f64>>>,
    metrics: BTreeMap<String, f64>,
}

pub(super) fn run(args: &PluginEvalArgs) -> Result<(), CliError> {
    let runtime = Arc::new(Runtime::new().map_err(CliError::engine)?);
    let text = files::read_text(&args.input, files::LIST).map_err(|source| CliError::file(&args.input, source))?;
    let case: Case = json(&text, &args.input.display().to_string())?;
    let given: BTreeMap<String, Value> = json(&args.params, "--params")?;
    let float = match args.dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
    };
    let setting =
        |slot| Setting { device: Device::Cpu, float, seed: args.seed, slot, limits: Arc::new(Limits::default()) };
    let mut slot = slot(&runtime, &args.plugin, args.role, &args.strategy, &given, setting(0))?;
    let input = case.input(float).map_err(CliError::Usage)?;
    *slot.state_mut() = case.state(float).map_err(CliError::Usage)?;
    let embeddings = input.embeddings.as_ref().map(Tensor::shallow_clone);
    let progress = Progress { epochs: 1, steps_per_epoch: 1, ..Progress::default() };
    let mut outcome = Outcome::default();
    let scalar = match args.role {
        Role::Loss => Some(slot.loss(input, &progress)?),
        Role::Miner => {
            let parts = slot.mine(input, &progress)?;
            let parts = parts.parts().iter().map(Vec::<i64>::try_from);
            outcome.indices =
                Some(parts.collect::<Result<_, _>>().map_err(|error| CliError::input("indices", &error))?);
            None
        }
        Role::Transfer => {
            let pairs = slot.transfer(input.shallow_clone(), &progress)?;
            Some(match &case.balance {
                None => pairs.total().map_err(|error| CliError::input("pair losses", &error))?,
                Some(BalanceCase { plugin, strategy, params }) => {
                    let mut balance = self::slot(&runtime, plugin, Role::Balance, strategy, params, setting(1))?;
                    balance.balance(pairs, input, &progress)?.0
                }
            })
        }
        Role::Balance => {
            return Err(CliError::Usage(
                "a balance weighs the pair losses of a transfer: evaluate the transfer with `balance` in the input"
                    .into(),
            ));
        }
        Role::Schedule => {
            outcome.thresholds = Some(slot.thresholds(input, &progress)?);
            None
        }
        Role::Fusion => {
            let fused = slot.fuse(Input { labels: None, ..input }, &progress)?;
            outcome.embedding = Some(rows(&fused).map_err(|error| CliError::input("embedding", &error))?);
            None
        }
    };
    if let (Some(value), Some(embeddings)) = (scalar, embeddings) {
        let filled = differentiate(&value, &embeddings, &slot, &mut outcome);
        filled.map_err(|error| CliError::input("gradients", &error))?;
    }
    for (name, metric) in slot.take_report().metrics {
        let number = match metric {
            Metric::Number(number) => number,
            Metric::Tensor(value) => value.f_double_value(&[]).map_err(|error| CliError::input(&name, &error))?,
        };
        outcome.metrics.insert(name, number);
    }
    let text = serde_json::to_string_pretty(&outcome).map_err(CliError::json)?;
    match &args.output {
        Some(path) => std::fs::write(path, text + "\n").map_err(|source| CliError::file(path, source)),
        None => super::output::line(&harmless_json(&text)),
    }
}

pub(super) fn json<T: serde::de::DeserializeOwned>(text: &str, what: &str) -> Result<T, CliError> {
    serde_json::from_str(text).map_err(|error| CliError::Usage(format!("{what} is not what is expected: {error}")))
}

fn slot(
    runtime: &Arc<Runtime>,
    path: &Path,
    role: Role,
    strategy: &str,
    given: &BTreeMap<String, Value>,
    setting: Setting,
) -> Result<Slot, CliError> {
    let plugin = Standard::from_environment().load(runtime, path, Path::new(""), &setting.limits, &[])?;
    let params = Params::new(plugin.strategy(role, strategy)?, given)
        .map_err(|error| CliError::Parameter { plugin: plugin.name.clone(), error })?;
    Ok(Slot::new(Arc::clone(runtime), plugin, role, strategy, params, setting)?)
}

fn differentiate(value: &Tensor, embeddings: &Tensor, slot: &Slot, outcome: &mut Outcome) -> Result<(), TchError> {
    outcome.value = Some(value.f_double_value(&[])?);
    value.f_backward()?;
    outcome.gradient = Some(rows(&gradient(embeddings)?)?);
    for (name, StateParameter { tensor, .. }) in &slot.state().parameters {
        let flat = gradient(tensor)?.f_reshape([-1])?.f_to_kind(Kind::Double)?;
        outcome.parameter_gradients.insert(name.clone(), Vec::try_from(&flat)?);
    }
    Ok(())
}

/// The gradient of a leaf; zeros when the value does not depend on it.
fn gradient(leaf: &Tensor) -> Result<Tensor, TchError> {
    let gradient = leaf.f_grad()?;
    if gradient.defined() { Ok(gradient) } else { leaf.f_zeros_like() }
}

fn rows(matrix: &Tensor) -> Result<Vec<Vec<f64>>, TchError> {
    Vec::<Vec<f64>>::try_from(&matrix.f_detach()?.f_to_kind(Kind::Double)?)
}
