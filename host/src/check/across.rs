//! Whether a strategy on several ranks is what it is in one process: value, gradients, and what it keeps.

use std::collections::BTreeMap;
use std::sync::Arc;

use lossmith_plugin::{Input, Plugin, Runtime, State, Strategy, Value};
use tch::{Kind, TchError, Tensor};

use super::batch::{Extras, TrialBatch, classes};
use super::description;
use super::error::CheckError;
use super::report::{CheckReport, CheckVerdict, StrategyReport};
use super::run::{CheckOptions, computable, each};
use super::subject::{NotComputed, Output, Subject, refusal};
use crate::ranks::{Ranks, RanksError, Wish};

/// The largest difference allowed, of numbers above 1 relative to them.
const TOLERANCE: f64 = 1e-9;
const WHAT: &str = "ranks";

/// Images of each class in a row of steps: batches that two, three or four ranks do not divide, in which ranks have no
/// image of a class twice.
const STEPS: [&[usize]; 3] = [&[3, 3, 3, 2, 1, 1], &[5, 4, 1, 1, 1, 1], &[4, 3, 2, 2, 2, 0]];

/// Checks every strategy that is meant, as one of the ranks: all must call it alike. Each has its rows of a batch,
/// computed by a network of one layer.
///
/// # Errors
/// When the options do not fit the component, libtorch fails, or a rank is lost.
pub fn across(
    runtime: &Arc<Runtime>,
    plugin: &Arc<Plugin>,
    options: &CheckOptions,
    ranks: &Ranks,
) -> Result<CheckReport, CheckError> {
    each(plugin, options, |strategy| of_strategy(runtime, plugin, strategy, options, ranks))
}

fn of_strategy(
    runtime: &Arc<Runtime>,
    plugin: &Arc<Plugin>,
    strategy: &Strategy,
    options: &CheckOptions,
    ranks: &Ranks,
) -> Result<StrategyReport, CheckError> {
    let mut report =
        StrategyReport { role: strategy.role, name: strategy.name.clone(), findings: Vec::new(), cost: Vec::new() };
    let subject = |given: &BTreeMap<String, Value>| Subject::new(runtime, plugin, strategy.role, &strategy.name, given);
    let Some((extras, _)) = computable(&mut subject(&options.params)?, &mut report)? else { return Ok(report) };
    let choices = description::choices(strategy);
    let variants = choices
        .iter()
        .map(|choice| (format!("with {} = {}: ", choice.parameter, choice.value), choice.given(&options.params)));
    let (mut wrong, mut computed) = (Vec::new(), 0);
    for (text, given) in std::iter::once((String::new(), options.params.clone())).chain(variants) {
        let found = compare([subject(&given)?, subject(&given)?], extras, ranks);
        // What one rank refuses, all do; a fault of one alone must not leave the others waiting.
        let failure = match &found {
            Err(error) => Some(error.to_string()),
            Ok(_) => None,
        };
        ranks.agree(failure.as_deref(), Wish::default())?;
        match found {
            Ok(differences) => {
                computed += 1;
                wrong.extend(differences.into_iter().map(|difference| format!("{text}{difference}")));
            }
            Err(error) => match refusal(error)? {
                // The checks of one process say what that means.
                NotComputed::Told(_) => {}
                NotComputed::Fault(fault) => wrong.push(format!("{text}{fault}")),
            },
        }
    }
    let good = format!(
        "{} ranks give the value, the gradients and the state of one process to {TOLERANCE:e}, with {computed} choices \
         of parameters",
        ranks.share().size()
    );
    if computed == 0 && wrong.is_empty() {
        report.add(WHAT, CheckVerdict::Skipped, "it refuses every batch");
    } else {
        report.judge(WHAT, good, &wrong);
    }
    Ok(report)
}

/// The differences over a few steps in a row.
fn compare([mut alone, mut together]: [Subject; 2], extras: Extras, ranks: &Ranks) -> Result<Vec<String>, CheckError> {
    let mut differences = Vec::new();
    let mut states = [State::default(), State::default()];
    for (sizes, seed) in STEPS.into_iter().zip(40..) {
        let batch = classes(seed, sizes, 8, extras)?;
        let count = batch.labels.len();
        let [of_one, of_many] = states;
        let one = Layer::new(batch.embeddings.size().get(1).copied().unwrap_or_default())?;
        let all = one.rows(&batch, 0, count)?;
        let (output, gradients, state_of_one) = alone.through(all, of_one)?;
        let many = one.copy()?;
        let rows = ranks.share().rows(count);
        let own = many.rows(&batch, rows.start, rows.len())?;
        let whole = shared(own, ranks, count)?;
        let (shared_output, shared_gradients, state_of_many) = together.through(whole, of_many)?;
        for ((what, expected), (_, found)) in one.gradients()?.iter().zip(many.gradients()?) {
            ranks.sum(&found)?;
            differences.extend(off(&format!("the gradient of the network's {what}"), &found, expected)?);
        }
        for (name, expected) in &gradients {
            if let Some(found) = shared_gradients.get(name) {
                differences.extend(off(&format!("the gradient of `{name}`"), found, expected)?);
            }
        }
        for (name, expected) in &state_of_one.buffers {
            if let Some(found) = state_of_many.buffers.get(name) {
                differences.extend(off(&format!("the buffer `{name}`"), found, expected)?);
            }
        }
        let (names, shared_names) = (names(&state_of_one), names(&state_of_many));
        if names != shared_names {
            differences.push(format!("it keeps {shared_names:?}, and in one process {names:?}"));
        }
        match (&shared_output, &output) {
            (Output::Value(found), Output::Value(expected)) => {
                differences.extend(off("the value", &Tensor::from(*found), &Tensor::from(*expected))?);
            }
            (found, expected) if found == expected => {}
            (found, expected) => differences.push(format!("it gives {found:?}, and in one process {expected:?}")),
        }
        // Each goes on from its own.
        states = [state_of_one, state_of_many];
    }
    Ok(differences)
}

/// How far a tensor is off what it is in one process, if it is.
fn off(what: &str, found: &Tensor, expected: &Tensor) -> Result<Option<String>, TchError> {
    if found.size() != expected.size() {
        return Ok(Some(format!("{what} has the shape {:?}, in one process {:?}", found.size(), expected.size())));
    }
    if found.numel() == 0 {
        return Ok(None);
    }
    let [found, expected] = [found, expected].map(|tensor| tensor.f_to_kind(Kind::Double));
    let expected = expected?;
    let most = found?.f_sub(&expected)?.f_abs()?.f_max()?.f_double_value(&[])?;
    let scale = expected.f_abs()?.f_max()?.f_double_value(&[])?.max(1.0);
    let is_near = most <= TOLERANCE * scale;
    Ok((!is_near).then(|| format!("{what} is off by {most:.1e}, of numbers up to {scale:.1e}")))
}

fn names(state: &State) -> Vec<String> {
    state.parameters.keys().chain(state.buffers.keys()).cloned().collect()
}

/// The network: a matrix for embeddings, and a factor for feature maps.
struct Layer {
    matrix: Tensor,
    factor: Tensor,
}

impl Layer {
    fn new(columns: i64) -> Result<Self, TchError> {
        let numbers = Tensor::f_arange(columns * columns, (Kind::Double, tch::Device::Cpu))?.f_sin()?;
        let one = Tensor::f_eye(columns, (Kind::Double, tch::Device::Cpu))?;
        let matrix = numbers.f_reshape([columns, columns])?.f_mul_scalar(0.3)?.f_add(&one)?.f_requires_grad_(true)?;
        Ok(Self { matrix, factor: Tensor::from(1.5).f_requires_grad_(true)? })
    }

    fn copy(&self) -> Result<Self, TchError> {
        let leaf = |tensor: &Tensor| tensor.f_detach()?.f_to_dtype(Kind::Double, false, true)?.f_requires_grad_(true);
        Ok(Self { matrix: leaf(&self.matrix)?, factor: leaf(&self.factor)? })
    }

    /// What a strategy is given of some rows of a batch.
    fn rows(&self, batch: &TrialBatch, first: usize, count: usize) -> Result<Input, TchError> {
        let input = batch.input(Kind::Double)?;
        let rows = |tensor: Option<Tensor>| {
            tensor.map(|tensor| tensor.f_detach()?.f_narrow(0, first as i64, count as i64)).transpose()
        };
        let embeddings = rows(input.embeddings)?.map(|rows| rows.f_matmul(&self.matrix)).transpose()?;
        let feature_map = rows(input.feature_map)?.map(|rows| rows.f_mul(&self.factor)).transpose()?;
        let (labels, teacher) = (rows(input.labels)?, rows(input.teacher)?);
        let teacher_feature_map = rows(input.teacher_feature_map)?;
        Ok(Input { embeddings, feature_map, labels, teacher, teacher_feature_map, ..input })
    }

    fn gradients(&self) -> Result<[(&'static str, Tensor); 2], TchError> {
        let of = |tensor: &Tensor| lossmith_plugin::objective::gradient_of(tensor)?.f_contiguous();
        Ok([("embeddings", of(&self.matrix)?), ("feature maps", of(&self.factor)?)])
    }
}

/// The rows of all ranks, of which own ones stay in the graph.
fn shared(own: Input, ranks: &Ranks, count: usize) -> Result<Input, RanksError> {
    let whole = |tensor: Option<Tensor>| tensor.map(|tensor| ranks.whole(&tensor, count)).transpose();
    Ok(Input {
        embeddings: whole(own.embeddings)?,
        feature_map: whole(own.feature_map)?,
        labels: whole(own.labels)?,
        teacher: whole(own.teacher)?,
        teacher_feature_map: whole(own.teacher_feature_map)?,
        ..own
    })
}
