//! Trying out a candidate: with nothing, with what the run keeps, and once more.

use std::collections::BTreeMap;

use super::canary::{Measured, Sample, States, measure};
use super::error::CandidateError;
use super::state_layout::Misfit;
use crate::State;
use crate::objective::Objectives;

/// What a candidate made of a batch.
pub struct TriedOut {
    /// Loss and gradient.
    pub measured: Measured,
    /// What begins anew with it, as `PLACE/NAME`.
    pub reset: Vec<String>,
}

/// Computes a sample with objectives that are to take over: with nothing, to see what they would keep, and twice with
/// copies of `states`, what is kept now. Names of a place that do not fit begin anew where `may_reset` allows it.
/// Afterwards the objectives keep nothing.
///
/// # Errors
/// Why they cannot take over.
pub fn try_out(
    objectives: &mut Objectives,
    sample: &Sample,
    states: &States,
    may_reset: impl Fn(&str, &str) -> bool,
) -> Result<TriedOut, CandidateError> {
    let tried = compute(objectives, sample, states, may_reset);
    objectives.put_states(BTreeMap::new());
    tried
}

fn compute(
    objectives: &mut Objectives,
    sample: &Sample,
    states: &States,
    may_reset: impl Fn(&str, &str) -> bool,
) -> Result<TriedOut, CandidateError> {
    measure(objectives, sample, &BTreeMap::new())?;
    let fresh = objectives.take_states();
    let misfit =
        |states: &States| states.iter().find_map(|(place, state)| Misfit::first(place, state, fresh.get(place)?));
    let Fitting { states, reset } = fitting(states, &fresh, may_reset)?;
    let first = measure(objectives, sample, &states).map_err(|error| match misfit(&states) {
        Some(misfit) => misfit.into(),
        None => error,
    })?;
    if let Some(misfit) = misfit(&objectives.take_states()) {
        return Err(misfit.into());
    }
    // A program would give the same again, whatever the plugin does.
    objectives.forget_programs();
    let second = measure(objectives, sample, &states)?;
    if first.loss.to_bits() != second.loss.to_bits() || !first.gradient.f_equal(&second.gradient)? {
        return Err(CandidateError::NotRepeatable);
    }
    // The last batch of an evaluation has any size.
    let images = sample.batch.embeddings.size().first().copied().unwrap_or_default();
    for size in [images, images - 1, images / 2, 1] {
        let some = sample.batch.embeddings.f_narrow(0, 0, size.max(1))?;
        drop(objectives.fuse(some, sample.batch.slice_count, &sample.progress)?);
    }
    Ok(TriedOut { measured: first, reset })
}

/// What candidates begin with.
struct Fitting {
    states: States,
    /// Names that do not fit and are left out.
    reset: Vec<String>,
}

fn fitting(states: &States, fresh: &States, may_reset: impl Fn(&str, &str) -> bool) -> Result<Fitting, CandidateError> {
    let mut fitting = Fitting { states: BTreeMap::new(), reset: Vec::new() };
    for (place, state) in states {
        let (state, reset) = fit(place, state, fresh.get(place), |name| may_reset(place, name))?;
        fitting.reset.extend(reset.into_iter().map(|name| format!("{place}/{name}")));
        fitting.states.insert(place.clone(), state);
    }
    Ok(fitting)
}

/// A copy of what a slot keeps without the names that do not fit what new code makes, where they may begin anew; and
/// these names.
pub(super) fn fit(
    place: &str,
    state: &State,
    fresh: Option<&State>,
    may_reset: impl Fn(&str) -> bool,
) -> Result<(State, Vec<String>), CandidateError> {
    let (mut state, mut reset) = (state.copy()?, Vec::new());
    while let Some(Misfit { name, .. }) = fresh.and_then(|fresh| Misfit::first(place, &state, fresh)) {
        if !may_reset(&name) {
            break;
        }
        state.parameters.remove(&name);
        state.buffers.remove(&name);
        reset.push(name);
    }
    Ok((state, reset))
}
