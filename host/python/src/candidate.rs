//! Candidates: strategies that are to take over in a session, tried out on a batch of its loop.

use std::collections::BTreeMap;

use lossmith::session::Refusal;
use lossmith_plugin::PairLosses;
use lossmith_plugin::candidate::{CandidateError, Misfit, Sample, cosine, measure, try_alone};
use lossmith_plugin::objective::Batch as Tensors;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tch::Tensor;

use crate::batch::Batch;
use crate::error;
use crate::objective::{AllKept, Objective};
use crate::progress::Progress;
use crate::runtime::not_forked;
use crate::state::{Kept, state};
use crate::strategy::Strategy;
use crate::tensor::tensor;

/// What a candidate made of a batch.
#[pyclass(frozen, module = "lossmith._lossmith")]
pub(crate) struct TriedOut {
    #[pyo3(get)]
    loss: f64,
    /// The loss of what is at work; None if it fails on this batch.
    #[pyo3(get)]
    live_loss: Option<f64>,
    /// Cosine of their gradients with respect to the embeddings; None if one of them is 0.
    #[pyo3(get)]
    cosine: Option<f64>,
    /// Time of the candidate's forward and backward pass.
    #[pyo3(get)]
    milliseconds: f64,
    /// What begins anew with it, as `PLACE/NAME`.
    #[pyo3(get)]
    reset: Vec<String>,
}

/// What each strategy of a balance weighs: pair losses B x B, the divisor of their sum, and their parts.
type Pairs<'a> = (Bound<'a, PyAny>, f64, BTreeMap<String, Bound<'a, PyAny>>);

/// Tries out an objective on a detached batch with copies of `kept`, and computes the `live` one with copies of
/// `live_kept` to compare. `reset` has the names of each strategy that may begin anew.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the candidate and what is at work, each with what it keeps")]
pub(crate) fn try_out(
    python: Python<'_>,
    candidate: &Objective,
    kept: AllKept<'_>,
    live: &Objective,
    live_kept: AllKept<'_>,
    batch: &Batch,
    progress: &Progress,
    reset: Vec<Vec<String>>,
) -> PyResult<TriedOut> {
    not_forked()?;
    let (device, float) = (batch.device, batch.float);
    let (states, _) = candidate.states(python, &kept, device, float)?;
    let (live_states, _) = live.states(python, &live_kept, device, float)?;
    let may_reset: BTreeMap<String, Vec<String>> = candidate.places(python).zip(reset).collect();
    let mut objectives = candidate.objectives(device, float)?.map_err(|error| error::plugin(python, error))?;
    let mut live = live.objectives(device, float)?.map_err(|error| error::plugin(python, error))?;
    let sample = sample(batch, progress);
    let tried = python.detach(move || {
        let may_reset =
            |place: &str, name: &str| may_reset.get(place).is_some_and(|names| names.iter().any(|reset| reset == name));
        let tried = lossmith_plugin::candidate::try_out(&mut objectives, &sample, &states, may_reset)?;
        let live = measure(&mut live, &sample, &live_states).ok();
        let cosine = live.as_ref().map(|live| cosine(&tried.measured.gradient, &live.gradient)).transpose()?;
        Ok(TriedOut {
            loss: tried.measured.loss,
            live_loss: live.map(|live| live.loss),
            cosine: cosine.flatten(),
            milliseconds: tried.measured.milliseconds,
            reset: tried.reset,
        })
    });
    tried.map_err(|error| refused(python, error))
}

/// Tries out a miner, a schedule, a balance or a fusion by itself. `place` names it in errors, `reset` are the names
/// that may begin anew; those that do are returned.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "a strategy, what it keeps, and what it is called with")]
pub(crate) fn try_out_alone(
    python: Python<'_>,
    candidate: &Strategy,
    kept: Vec<Kept<Bound<'_, PyAny>>>,
    place: &str,
    batch: &Batch,
    progress: &Progress,
    reset: Vec<String>,
    pairs: Option<Pairs<'_>>,
) -> PyResult<Vec<String>> {
    not_forked()?;
    let (state, _) = state(&kept, batch.device, batch.float)?;
    let pairs = pairs.map(pair_losses).transpose()?;
    let mut slot = candidate.slot(batch.device, batch.float)?.map_err(|error| error::plugin(python, error))?;
    let sample = sample(batch, progress);
    let tried = python.detach(move || {
        try_alone(&mut slot, place, &sample, pairs.as_ref(), &state, |name| reset.iter().any(|reset| reset == name))
    });
    tried.map_err(|error| refused(python, error))
}

/// Why something that was rolled back is not taken: a `component` of this slot and hash, the `parameters`, or the
/// `base` that a candidate was compared to. A sentence, and what to do.
#[pyfunction]
#[pyo3(signature = (cause, slot="", hash=""))]
pub(crate) fn refusal(cause: &str, slot: &str, hash: &str) -> PyResult<(String, Option<String>)> {
    let Refusal { reason, help } = match cause {
        "component" => Refusal::of_component(slot, hash),
        "parameters" => Refusal::of_parameters(),
        "base" => Refusal::of_another_base(),
        other => return Err(PyValueError::new_err(format!("no refusal `{other}`"))),
    };
    Ok((reason, help))
}

fn sample(batch: &Batch, progress: &Progress) -> Sample {
    Sample { batch: batch.tensors(Tensors::shallow_clone), progress: progress.0.clone() }
}

fn pair_losses((values, divisor, parts): Pairs<'_>) -> PyResult<PairLosses> {
    let mut pairs = PairLosses::new(tensor(&values, "pair losses")?, divisor);
    for (name, part) in parts {
        let part: Tensor = tensor(&part, "a part of pair losses")?;
        pairs.parts.insert(name, part);
    }
    Ok(pairs)
}

/// The exception for a candidate that is not taken.
fn refused(python: Python<'_>, error: CandidateError) -> PyErr {
    let misfit = match &error {
        CandidateError::Misfit(Misfit { name, .. }) => Some(name.clone()),
        _ => None,
    };
    let Refusal { reason, help } = error.into();
    let help = match misfit {
        Some(name) => Some(format!(
            "`reset=[\"{name}\"]` of Session.replace and Session.set lets it begin anew; code that calls \
             `replace-parameter` or `replace-buffer` carries it over"
        )),
        None => help,
    };
    error::session(python, &reason, help)
}
