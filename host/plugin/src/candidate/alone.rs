//! Trying out a candidate for a strategy that is called by itself: a miner, a schedule, a balance or a fusion.

use tch::{Kind, Tensor};

use super::canary::Sample;
use super::error::CandidateError;
use super::state_layout::Misfit;
use super::trial::fit;
use crate::context::PairLosses;
use crate::objective::{ComputeError, gradient_of};
use crate::{Input, Role, Slot, State, is_finite};

/// Calls a strategy that is to take over: with nothing, to see what it would keep, and twice with copies of `state`,
/// what is kept now. `pairs` is what a balance weighs. Returns the names that begin anew: those that do not fit, where
/// `may_reset` allows it. Afterwards the slot keeps nothing.
///
/// # Errors
/// Why it cannot take over.
pub fn try_alone(
    slot: &mut Slot,
    place: &str,
    sample: &Sample,
    pairs: Option<&PairLosses>,
    state: &State,
    may_reset: impl Fn(&str) -> bool,
) -> Result<Vec<String>, CandidateError> {
    let tried = call(slot, place, sample, pairs, state, may_reset);
    *slot.state_mut() = State::default();
    tried
}

fn call(
    slot: &mut Slot,
    place: &str,
    sample: &Sample,
    pairs: Option<&PairLosses>,
    state: &State,
    may_reset: impl Fn(&str) -> bool,
) -> Result<Vec<String>, CandidateError> {
    *slot.state_mut() = State::default();
    made(slot, sample, pairs)?;
    let fresh = std::mem::take(slot.state_mut());
    let (state, reset) = fit(place, state, Some(&fresh), may_reset)?;
    *slot.state_mut() = state.copy()?;
    let first = made(slot, sample, pairs).map_err(|error| match Misfit::first(place, &state, &fresh) {
        Some(misfit) => misfit.into(),
        None => error,
    })?;
    if let Some(misfit) = Misfit::first(place, slot.state(), &fresh) {
        return Err(misfit.into());
    }
    *slot.state_mut() = state;
    // A program would give the same again, whatever the plugin does.
    slot.forget_programs();
    let second = made(slot, sample, pairs)?;
    let mut same = first.len() == second.len();
    for (first, second) in first.iter().zip(&second) {
        same &= first.size() == second.size() && first.f_equal(second)?;
    }
    if same { Ok(reset) } else { Err(CandidateError::NotRepeatable) }
}

/// What it makes of the sample, as tensors. The slot itself looks whether tuples, thresholds and embeddings are right.
fn made(slot: &mut Slot, sample: &Sample, pairs: Option<&PairLosses>) -> Result<Vec<Tensor>, CandidateError> {
    let Sample { batch, progress } = sample;
    match (slot.role(), pairs) {
        (Role::Miner, _) => {
            let tuples = slot.mine(batch.input(), progress)?;
            Ok(tuples.parts().iter().map(Tensor::shallow_clone).collect())
        }
        (Role::Schedule, _) => Ok(vec![Tensor::f_from_slice(&slot.thresholds(batch.input(), progress)?)?]),
        (Role::Fusion, _) => {
            // Of any size, as the last batch of an evaluation. A fusion is not told labels.
            let images = batch.embeddings.size().first().copied().unwrap_or_default();
            let fused = [1, images].map(|size| {
                let embeddings = Some(batch.embeddings.f_narrow(0, 0, size)?);
                let input = Input { embeddings, slice_count: batch.slice_count, ..Input::default() };
                Ok::<_, CandidateError>(slot.fuse(input, progress)?)
            });
            fused.into_iter().collect()
        }
        (Role::Balance, Some(pairs)) => {
            let mut weighed = pairs.shallow_clone();
            weighed.values = pairs.values.f_detach()?.f_requires_grad_(true)?;
            let leaf = weighed.values.shallow_clone();
            let (value, _) = slot.balance(weighed, batch.leaves()?.input(), progress)?;
            let loss = value.f_double_value(&[])?;
            if !loss.is_finite() {
                return Err(CandidateError::Loss { value: loss, origin: None });
            }
            value.f_backward()?;
            let gradient = gradient_of(&leaf)?.f_to_kind(Kind::Double)?;
            if !is_finite(&gradient)? {
                return Err(CandidateError::Gradient { parameter: None, origin: None });
            }
            Ok(vec![value.f_detach()?, gradient])
        }
        (role @ (Role::Loss | Role::Transfer | Role::Balance), _) => {
            Err(ComputeError::State(format!("a {role} is not tried out by itself")).into())
        }
    }
}
