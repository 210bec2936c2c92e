//! `lossmith plugin eval`: runs one strategy on given data.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use lossmith_plugin::objective::gradient_of;
use lossmith_plugin::printable::harmless_json;
use lossmith_plugin::{
    Cause, Computed, Input, Limits, Metric, Params, Plugin, Progress, ResultFault, Role, Runtime, Setting, Slot,
    StateParameter, Strategy, Value, Watch, explain,
};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, TchError, Tensor};

use super::strategy::meant;
use crate::check::{BalanceCase, Case};
use crate::cli::device::DeviceArgs;
use crate::cli::error::CliError;
use crate::cli::output;
use crate::cli::role::role;

/// Run one strategy on given data and write its value, gradients, indices and metrics.
#[derive(Args, Debug)]
pub(in crate::cli) struct PluginEvalArgs {
    /// The component: a path, or the bare name of a plugin (`lossmith plugin inspect --help` says where it is looked
    /// for).
    plugin: PathBuf,
    /// What the strategy does; can be left out if its name says which one is meant, or if there is only one.
    #[arg(long, value_parser = role())]
    role: Option<Role>,
    /// Its name; can be left out if the plugin has only one strategy, or only one of that role.
    #[arg(long)]
    strategy: Option<String>,
    /// Its parameters as JSON; what is left out has its default.
    #[arg(long, default_value = "{}")]
    params: String,
    /// The data as JSON: embeddings, labels, and optionally teacher, thresholds, tuples, parameters, class-count,
    /// balance.
    #[arg(long)]
    input: PathBuf,
    /// What the contract calls float.
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    dtype: Dtype,
    /// Seed of what the strategy draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    device: DeviceArgs,
    /// Where the result goes; standard output when left out.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// What the contract calls float.
#[derive(Clone, Copy, Debug, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Dtype {
    #[default]
    F32,
    F64,
}

impl Dtype {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::F64 => Kind::Double,
        }
    }
}

/// What a call came to.
#[derive(Debug, Default, Serialize)]
pub(super) struct EvalResult {
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
    /// JSON has no word for numbers that are not finite: they are the strings "NaN", "inf" and "-inf".
    metrics: BTreeMap<String, serde_json::Value>,
}

pub(super) fn run(args: &PluginEvalArgs) -> Result<(), CliError> {
    let device = args.device.find()?;
    let runtime = Arc::new(Runtime::new().map_err(CliError::engine)?);
    let plugin = super::component::load(&runtime, &args.plugin)?;
    let text = lossmith_files::read_text(&args.input, lossmith_files::LIST)
        .map_err(|source| CliError::file(&args.input, source))?;
    let case: Case = json(&text, &args.input.display().to_string())?;
    let evaluation = Evaluation {
        runtime: &runtime,
        plugin: &plugin,
        role: args.role,
        strategy: args.strategy.as_deref(),
        given: given(&args.params)?,
        case,
        float: args.dtype.kind(),
        seed: args.seed,
        device,
    };
    let text = serde_json::to_string_pretty(&evaluation.result()?).map_err(CliError::json)?;
    match &args.output {
        Some(path) => std::fs::write(path, text + "\n").map_err(|source| CliError::file(path, source)),
        None => output::line(&harmless_json(&text)),
    }
}

pub(super) fn json<T: serde::de::DeserializeOwned>(text: &str, what: &str) -> Result<T, CliError> {
    serde_json::from_str(text).map_err(|error| not_expected(what, &error))
}

fn not_expected(what: &str, error: &serde_json::Error) -> CliError {
    CliError::Usage(format!("{what} is not what is expected: {error}"))
}

/// The value of --params.
pub(super) fn given(params: &str) -> Result<BTreeMap<String, Value>, CliError> {
    let mut reader = serde_json::Deserializer::from_str(params);
    let given = crate::unique::map(&mut reader).and_then(|given| reader.end().map(|()| given));
    given.map_err(|error| not_expected("--params", &error))
}

/// A call that somebody asks for.
pub(super) struct Evaluation<'a> {
    pub(super) runtime: &'a Arc<Runtime>,
    pub(super) plugin: &'a Arc<Plugin>,
    /// Can be left out as on the command line.
    pub(super) role: Option<Role>,
    /// Can be left out as on the command line.
    pub(super) strategy: Option<&'a str>,
    pub(super) given: BTreeMap<String, Value>,
    pub(super) case: Case,
    pub(super) float: Kind,
    pub(super) seed: u64,
    pub(super) device: Device,
}

impl Evaluation<'_> {
    /// Makes the call. What is not finite is an error that says which operation made it, if that can be told.
    pub(super) fn result(self) -> Result<EvalResult, CliError> {
        let Self { runtime, plugin, role, strategy, given, case, float, seed, device } = self;
        let Strategy { role, name: strategy, .. } = meant(plugin, role, strategy)?;
        let call = EvalCall { runtime, plugin, role: *role, strategy, given, case, float, seed, device };
        let mut evaluated = match call.run(&Watch::default()) {
            Err(CliError::Plugin(error)) if matches!(*error.cause, Cause::Result(ResultFault::NotFinite(_))) => {
                return Err(match call.origin()? {
                    Some(origin) => CliError::NotFinite(format!("{error}; {origin}")),
                    None => CliError::Plugin(error),
                });
            }
            evaluated => evaluated?,
        };
        if let Some(text) = evaluated.differentiate().map_err(|error| CliError::input("gradients", &error))? {
            let origin = call.origin()?.map(|origin| format!(": {origin}")).unwrap_or_default();
            return Err(CliError::NotFinite(format!("plugin `{}`, {role} `{strategy}`: {text}{origin}", plugin.name)));
        }
        evaluated.read_metrics()?;
        Ok(evaluated.result)
    }
}

/// A call of one strategy with a case.
struct EvalCall<'a> {
    runtime: &'a Arc<Runtime>,
    plugin: &'a Arc<Plugin>,
    role: Role,
    strategy: &'a str,
    given: BTreeMap<String, Value>,
    case: Case,
    float: Kind,
    seed: u64,
    device: Device,
}

/// The output of the call, before its gradients are computed.
struct EvalOutput {
    result: EvalResult,
    value: Option<Tensor>,
    embeddings: Option<Tensor>,
    slot: Slot,
}

impl EvalCall<'_> {
    fn slot(
        &self,
        plugin: &Arc<Plugin>,
        (role, strategy): (Role, &str),
        given: &BTreeMap<String, Value>,
        number: u64,
        watch: &Watch,
    ) -> Result<Slot, CliError> {
        let limits = Arc::new(Limits::default());
        let setting = Setting { device: self.device, float: self.float, seed: self.seed, slot: number, limits };
        let params = Params::new(plugin.strategy(role, strategy)?, given)
            .map_err(|error| CliError::Parameter { plugin: plugin.name.clone(), error })?;
        let mut slot = Slot::new(Arc::clone(self.runtime), Arc::clone(plugin), role, strategy, params, setting)?;
        slot.probe_mut().watch = watch.clone();
        Ok(slot)
    }

    fn run(&self, watch: &Watch) -> Result<EvalOutput, CliError> {
        let Self { case, float, role, device, .. } = self;
        let mut slot = self.slot(self.plugin, (*role, self.strategy), &self.given, 0, watch)?;
        let input = case.input(*float, *device).map_err(CliError::Usage)?;
        *slot.state_mut() = case.state(*float, *device).map_err(CliError::Usage)?;
        let embeddings = input.embeddings.as_ref().map(Tensor::shallow_clone);
        let progress = Progress { epochs: 1, steps_per_epoch: 1, ..Progress::default() };
        let mut result = EvalResult::default();
        let value = match role {
            Role::Loss => Some(slot.loss(input, &progress)?),
            Role::Miner => {
                let parts = slot.mine(input, &progress)?;
                let parts = parts.parts().iter().map(Vec::<i64>::try_from);
                result.indices =
                    Some(parts.collect::<Result<_, _>>().map_err(|error| CliError::input("indices", &error))?);
                None
            }
            Role::Transfer => {
                let pairs = slot.transfer(input.shallow_clone(), &progress)?;
                Some(match &case.balance {
                    None => pairs.total().map_err(|error| CliError::input("pair losses", &error))?,
                    Some(BalanceCase { plugin, strategy, params }) => {
                        let plugin = super::component::load(self.runtime, plugin)?;
                        let mut balance = self.slot(&plugin, (Role::Balance, strategy), params, 1, watch)?;
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
                result.thresholds = Some(slot.thresholds(input, &progress)?);
                None
            }
            Role::Fusion => {
                let fused = slot.fuse(Input { labels: None, ..input }, &progress)?;
                result.embedding = Some(rows(&fused).map_err(|error| CliError::input("embedding", &error))?);
                None
            }
        };
        Ok(EvalOutput { result, value, embeddings, slot })
    }

    /// The operation that made something that is not finite first, if it can be told.
    fn origin(&self) -> Result<Option<String>, CliError> {
        let origin = explain(|watch| {
            let EvalOutput { value, embeddings, slot, .. } = self.run(watch).ok()?;
            let parameters = slot.state().parameters.values().map(|parameter| parameter.tensor.shallow_clone());
            Some(Computed { value: value?, leaves: parameters.chain(embeddings).collect() })
        });
        origin.map_err(|error| CliError::input("gradients", &error))
    }
}

impl EvalOutput {
    /// Fills in the value with its gradients. A text if one of them is not finite.
    fn differentiate(&mut self) -> Result<Option<String>, TchError> {
        let (Some(value), Some(embeddings)) = (&self.value, &self.embeddings) else { return Ok(None) };
        let number = value.f_double_value(&[])?;
        if !number.is_finite() {
            return Ok(Some(format!("its value is {number}, which is not finite")));
        }
        self.result.value = Some(number);
        value.f_backward()?;
        let of_embeddings = gradient_of(embeddings)?;
        let mut gradients = vec![("the embeddings".to_owned(), of_embeddings.shallow_clone())];
        self.result.gradient = Some(rows(&of_embeddings)?);
        for (name, StateParameter { tensor, .. }) in &self.slot.state().parameters {
            let gradient = gradient_of(tensor)?;
            let flat = gradient.f_reshape([-1])?.f_to_kind(Kind::Double)?;
            self.result.parameter_gradients.insert(name.clone(), Vec::try_from(&flat)?);
            gradients.push((format!("`{name}`"), gradient));
        }
        for (of, gradient) in gradients {
            let foreign = gradient.f_isfinite()?.f_logical_not()?;
            let count = foreign.f_sum(Kind::Int64)?.f_int64_value(&[])?;
            if count > 0 {
                let place = Vec::<i64>::try_from(&foreign.f_nonzero()?.f_select(0, 0)?)?;
                let number = gradient.f_double_value(&place)?;
                return Ok(Some(format!(
                    "{count} of {} derivatives with respect to {of} are not finite, the first, {number}, at {place:?}",
                    gradient.numel()
                )));
            }
        }
        Ok(None)
    }

    fn read_metrics(&mut self) -> Result<(), CliError> {
        for (name, metric) in self.slot.take_report().metrics {
            let number = match metric {
                Metric::Number(number) => number,
                Metric::Tensor(value) => value.f_double_value(&[]).map_err(|error| CliError::input(&name, &error))?,
            };
            let number = if number.is_finite() { number.into() } else { number.to_string().into() };
            self.result.metrics.insert(name, number);
        }
        Ok(())
    }
}

fn rows(matrix: &Tensor) -> Result<Vec<Vec<f64>>, TchError> {
    Vec::<Vec<f64>>::try_from(&matrix.f_detach()?.f_to_kind(Kind::Double)?)
}
