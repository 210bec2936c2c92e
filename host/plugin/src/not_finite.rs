//! Finds the operation of a plugin that made the first NaN or infinity of a value or a gradient.
//!
//! The calls are made again with their operations recorded. A third time they end at the operation that was found,
//! which says where it stands in the plugin's source.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tch::{Kind, TchError, Tensor};

use crate::error::{Cause, SourceLine};
use crate::host_fault::{HostFault, describe};

/// Recorded tensors are kept alive; beyond so many bytes nothing more is recorded, and nothing is found.
const MOST_BYTES: usize = 1 << 30;
/// Operations that are looked through for the one whose backward pass is wrong, at most.
const MOST_STEPS: usize = 2000;

/// They write what the plugin gave them: an infinity there is meant, as in a mask before a maximum.
const FILLS: [&str; 2] = ["full", "masked-fill"];

/// A recorder of the operations of some slots. Handles of one watch count their operations together.
#[derive(Clone, Debug, Default)]
pub struct Watch(Option<Arc<Mutex<Watched>>>);

#[derive(Debug, Default)]
struct Watched {
    steps: Vec<Step>,
    bytes: usize,
    count: usize,
    /// The operation at which a call is to end.
    end: Option<usize>,
    /// Where that was, and whose call it was.
    place: Option<SourceLine>,
    call: Option<String>,
}

#[derive(Debug)]
struct Step {
    operation: &'static str,
    tensor: Tensor,
}

/// The operation that made something that is not finite first.
#[derive(Debug)]
struct FirstFault {
    step: usize,
    operation: &'static str,
    shape: String,
    pass: FaultyPass,
}

#[derive(Debug)]
enum FaultyPass {
    /// Its result is the first NaN, or the first infinity where there is no NaN; before it, results of these were
    /// infinite.
    Forward { infinite_before: Option<String> },
    /// Its backward pass is the first that gives something that is not finite.
    Backward,
}

impl Watch {
    fn recording() -> Self {
        Self(Some(Arc::default()))
    }

    fn ending(step: usize) -> Self {
        Self(Some(Arc::new(Mutex::new(Watched { end: Some(step), ..Watched::default() }))))
    }

    /// Whether anything is recorded or looked for.
    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    fn lock(&self) -> Option<MutexGuard<'_, Watched>> {
        self.0.as_ref().map(|watched| watched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Told of each result that a plugin is given.
    pub(super) fn note(&self, operation: &'static str, tensor: &Tensor) -> Result<(), HostFault> {
        let Some(mut watched) = self.lock() else { return Ok(()) };
        let step = watched.count;
        watched.count += 1;
        if watched.end == Some(step) {
            let message = "the call was made to find this operation".into();
            return Err(HostFault::Operation { operation, shapes: describe(&[tensor]), message });
        }
        if watched.end.is_none() {
            watched.bytes = watched.bytes.saturating_add(tensor.numel().saturating_mul(8));
            if watched.bytes <= MOST_BYTES {
                watched.steps.push(Step { operation, tensor: tensor.shallow_clone() });
            }
        }
        Ok(())
    }

    /// Told how a call ended; `call` says whose it was.
    pub(super) fn ended(&self, cause: &Cause, call: impl FnOnce() -> String) {
        let Some(mut watched) = self.lock() else { return };
        if let (Some(end), Cause::Operation { place, .. }) = (watched.end, cause)
            && watched.count == end + 1
        {
            watched.place.clone_from(place);
            watched.call = Some(call());
        }
    }
}

/// A computed value, and the leaves that it was differentiated with respect to.
pub struct Computed {
    /// A scalar with gradient.
    pub value: Tensor,
    /// Embeddings and trainable tensors.
    pub leaves: Vec<Tensor>,
}

/// Says which operation made something that is not finite first. `run` makes the same calls each time, with their slots
/// watched; none where they end with a fault. None if it cannot be told.
///
/// # Errors
/// What libtorch says.
pub fn explain(mut run: impl FnMut(&Watch) -> Option<Computed>) -> Result<Option<String>, TchError> {
    let watch = Watch::recording();
    let computed = run(&watch);
    let found = match watch.lock() {
        Some(watched) if watched.bytes <= MOST_BYTES => origin(&watched.steps, computed.as_ref())?,
        _ => None,
    };
    let Some(origin) = found else { return Ok(None) };
    drop((computed, watch));
    let ending = Watch::ending(origin.step);
    drop(run(&ending));
    let (place, call) =
        ending.lock().map(|mut watched| (watched.place.take(), watched.call.take())).unwrap_or_default();
    Ok(Some(text(&origin, place.as_ref(), call.as_deref())))
}

fn origin(steps: &[Step], computed: Option<&Computed>) -> Result<Option<FirstFault>, TchError> {
    let (step, pass) = match computed {
        Some(computed) if is_finite(&computed.value)? => match backward(steps, computed)? {
            Some(step) => (step, FaultyPass::Backward),
            None => return Ok(None),
        },
        _ => match forward(steps)? {
            Some(found) => found,
            None => return Ok(None),
        },
    };
    let Some(Step { operation, tensor }) = steps.get(step) else { return Ok(None) };
    Ok(Some(FirstFault { step, operation, shape: describe(&[tensor]), pass }))
}

/// Whether all elements are finite; of no elements, yes.
///
/// # Errors
/// What libtorch says.
pub fn is_finite(tensor: &Tensor) -> Result<bool, TchError> {
    Ok(tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0)
}

fn forward(steps: &[Step]) -> Result<Option<(usize, FaultyPass)>, TchError> {
    let mut infinite: Option<(usize, &Step)> = None;
    for (number, step) in steps.iter().enumerate() {
        if FILLS.contains(&step.operation) || is_finite(&step.tensor)? {
            continue;
        }
        if step.tensor.f_isnan()?.f_any()?.f_int64_value(&[])? != 0 {
            let infinite_before =
                infinite.map(|(_, step)| format!("`{}` ({})", step.operation, describe(&[&step.tensor])));
            return Ok(Some((number, FaultyPass::Forward { infinite_before })));
        }
        infinite = infinite.or(Some((number, step)));
    }
    Ok(infinite.map(|(number, _)| (number, FaultyPass::Forward { infinite_before: None })))
}

/// The operation that is given a finite gradient and passes on one that is not.
fn backward(steps: &[Step], Computed { value, leaves }: &Computed) -> Result<Option<usize>, TchError> {
    if !value.requires_grad() {
        return Ok(None);
    }
    let flowing: Vec<(usize, &Tensor)> = steps
        .iter()
        .enumerate()
        .map(|(number, step)| (number, &step.tensor))
        .filter(|(_, tensor)| tensor.requires_grad())
        .collect();
    let leaves: Vec<&Tensor> = leaves.iter().filter(|leaf| leaf.requires_grad()).collect();
    let inputs: Vec<&Tensor> = leaves.iter().copied().chain(flowing.iter().map(|(_, tensor)| *tensor)).collect();
    let gradients = Tensor::f_run_backward(&[value], &inputs, true, false)?;
    let arrives = |gradient: &Tensor| if gradient.defined() { is_finite(gradient).map(Some) } else { Ok(None) };
    let finite = gradients.iter().map(arrives).collect::<Result<Vec<_>, _>>()?;
    // What is made last is passed first by the backward pass.
    let Some(receiver) = finite.iter().rposition(|finite| *finite == Some(false)) else { return Ok(None) };
    let Some(receiver) = inputs.get(receiver) else { return Ok(None) };
    let of_steps = finite.iter().zip(&gradients).skip(leaves.len()).zip(&flowing);
    for ((finite, gradient), (number, tensor)) in of_steps.take(MOST_STEPS) {
        if *finite != Some(true) {
            continue;
        }
        let given = tensor.f_mul(&gradient.f_detach()?)?.f_sum(None::<Kind>)?;
        let passed = Tensor::f_run_backward(&[given], &[*receiver], true, false)?;
        if let [passed] = passed.as_slice()
            && passed.defined()
            && !is_finite(passed)?
        {
            return Ok(Some(*number));
        }
    }
    Ok(None)
}

fn text(origin: &FirstFault, place: Option<&SourceLine>, call: Option<&str>) -> String {
    let FirstFault { operation, shape, pass, .. } = origin;
    let of = call.map(|call| format!(" of {call}")).unwrap_or_default();
    let place = place.map(|place| format!(", {place}")).unwrap_or_default();
    match pass {
        FaultyPass::Forward { infinite_before } => {
            let before =
                infinite_before.as_ref().map(|step| format!("; infinite before it: {step}")).unwrap_or_default();
            format!("operation `{operation}` ({shape}){of} is the first whose result is not finite{before}{place}")
        }
        FaultyPass::Backward => format!(
            "the backward pass of operation `{operation}` ({shape}){of} is the first that is not finite{place}; {}",
            advice(operation)
        ),
    }
}

/// The usual reason why the slope of an operation is infinite.
fn advice(operation: &str) -> &'static str {
    match operation {
        "sqrt" | "rsqrt" => "a square root has an infinite slope at 0: `safe-sqrt` and `distance-matrix` have 0 there",
        "norm" | "pow" | "pow-scalar" => "a power below 1 has an infinite slope at 0",
        "log" | "reciprocal" | "div" | "rdiv-scalar" => "look for a 0 there: add a small number, or `clamp`",
        _ => "look for a square root or a logarithm at zero, or a division by zero",
    }
}
