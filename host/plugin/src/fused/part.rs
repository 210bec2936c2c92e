//! Parts of a program: an operation, or several as one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use lossmith_program::{Id, Kernels, Program as Compiled, Saved, Wanted};
use lossmith_torch_shim::{Gradient, elements, elements_mut, set_gradient};
use tch::{Device, Kind, TchError, Tensor};

use super::lower::Lowering;
use super::torch::{Number, Torch};
use crate::catch_panic::catch_panic;
use crate::program::{Program, Step, ValueId};

/// A part of a program.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// An operation of libtorch, by its place among the steps.
    Step(usize),
    /// Several operations as one.
    Fused(Box<Fused>),
}

/// Several operations as one.
#[derive(Clone, Debug)]
pub(crate) struct Fused {
    inputs: Vec<ValueId>,
    /// What is computed, each once.
    outputs: Vec<Output>,
    /// The values that others need, each with the place of its output.
    values: Vec<(ValueId, usize)>,
    /// Whether it is differentiated.
    gradients: bool,
    numbers: Numbers,
}

#[derive(Clone, Debug)]
enum Numbers {
    Single(Arc<Compiled<f32>>),
    Double(Arc<Compiled<f64>>),
}

/// What is computed.
#[derive(Clone, Debug, PartialEq)]
struct Output {
    shape: Vec<i64>,
    kind: Kind,
    requires_grad: bool,
}

impl Fused {
    /// Steps of a program whose floats are all of one kind, in their order; none if one of them cannot be fused, or
    /// nothing of them is `needed`.
    pub(super) fn new(
        steps: &[&Step],
        program: &Program,
        kind: Kind,
        small: &[bool],
        needed: &BTreeSet<ValueId>,
        blocked: bool,
    ) -> Option<Self> {
        let mut lowering = Lowering::new(program, small.to_vec());
        if !steps.iter().all(|step| lowering.add(step)) {
            return None;
        }
        let made = steps.iter().flat_map(|step| &step.outputs).filter(|output| needed.contains(output));
        let (mut outputs, mut ids, mut values): (Vec<Output>, Vec<Id>, _) = (Vec::new(), Vec::new(), Vec::new());
        for &value in made {
            let (id, meta) = (lowering.get(value)?, program.values.get(value.index())?);
            let output = Output { shape: meta.shape.clone(), kind: meta.kind, requires_grad: meta.requires_grad };
            // Two steps may have come to the same.
            let known = ids.iter().zip(&outputs).position(|(other, known)| *other == id && *known == output);
            values.push((value, known.unwrap_or(outputs.len())));
            if known.is_none() {
                ids.push(id);
                outputs.push(output);
            }
        }
        let (inputs, nodes): (Vec<ValueId>, Vec<Id>) = lowering.inputs.iter().copied().unzip();
        if outputs.is_empty() || inputs.is_empty() {
            return None;
        }
        let differentiated: Vec<usize> = inputs
            .iter()
            .enumerate()
            .filter(|(_, value)| program.values.get(value.index()).is_some_and(|meta| meta.requires_grad))
            .map(|(place, _)| place)
            .collect();
        let gradients = program.gradients && outputs.iter().any(|output| output.requires_grad);
        let differentiated = if gradients { differentiated } else { Vec::new() };
        let wanted = Wanted { inputs: &nodes, outputs: &ids, differentiated: &differentiated, blocked };
        let graph = lowering.graph;
        let numbers = match kind {
            Kind::Double => Numbers::Double(Arc::new(Compiled::new(graph, wanted))),
            _ => Numbers::Single(Arc::new(Compiled::new(graph, wanted))),
        };
        Some(Self { inputs, outputs, values, gradients, numbers })
    }

    /// The values that it needs.
    pub(crate) fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }

    /// The values that it makes.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = ValueId> {
        self.values.iter().map(|(value, _)| *value)
    }

    /// Bytes that it takes besides its inputs and outputs.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.numbers {
            Numbers::Single(compiled) => compiled.elements() as u64 * 4,
            Numbers::Double(compiled) => compiled.elements() as u64 * 8,
        }
    }

    /// Computes its outputs, in their order, of its inputs.
    ///
    /// # Errors
    /// What libtorch says.
    pub(crate) fn run(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, TchError> {
        catch_panic(|| match &self.numbers {
            Numbers::Single(compiled) => self.run_as::<f32>(compiled, inputs),
            Numbers::Double(compiled) => self.run_as::<f64>(compiled, inputs),
        })
    }

    fn run_as<T: Number>(&self, compiled: &Arc<Compiled<T>>, inputs: &[&Tensor]) -> Result<Vec<Tensor>, TchError> {
        let inputs = inputs
            .iter()
            .map(|x| if x.kind() == T::KIND { x.f_contiguous() } else { x.f_to_kind(T::KIND)?.f_contiguous() });
        let inputs: Vec<Tensor> = inputs.collect::<Result<_, _>>()?;
        let mut made: Vec<Tensor> = self
            .outputs
            .iter()
            .map(|output| Tensor::f_empty(&output.shape, (T::KIND, Device::Cpu)))
            .collect::<Result<_, _>>()?;
        let mut slices: Vec<&mut [T]> =
            made.iter_mut().map(|tensor| elements_mut(tensor).ok_or_else(elsewhere)).collect::<Result<_, _>>()?;
        let saved = compiled.forward(&Torch, &slices_of(&inputs)?, &mut slices);
        let tracked: Vec<usize> = match self.gradients && !compiled.differentiated().is_empty() {
            true => (0..self.outputs.len()).filter(|&place| self.outputs[place].requires_grad).collect(),
            false => Vec::new(),
        };
        if !tracked.is_empty() {
            let lengths = made.iter().map(Tensor::numel).collect();
            let backward = Backward {
                compiled: Arc::clone(compiled),
                saved: Mutex::new(Some(saved)),
                tracked: tracked.clone(),
                lengths,
            };
            let inputs: Vec<&Tensor> = inputs.iter().collect();
            let outputs: Vec<&Tensor> = tracked.iter().map(|&place| &made[place]).collect();
            set_gradient(&inputs, &outputs, Box::new(backward))?;
        }
        let results = self.values.iter().map(|&(_, place)| match self.outputs[place].kind {
            kind if kind == T::KIND => Ok(made[place].shallow_clone()),
            kind => made[place].f_to_kind(kind),
        });
        results.collect()
    }
}

fn elsewhere() -> TchError {
    TchError::Torch("a tensor of a program is not in the CPU's memory".into())
}

fn slices_of<T: Number>(tensors: &[Tensor]) -> Result<Vec<&[T]>, TchError> {
    tensors.iter().map(|tensor| elements(tensor).ok_or_else(elsewhere)).collect()
}

struct Backward<T> {
    compiled: Arc<Compiled<T>>,
    saved: Mutex<Option<Saved<T>>>,
    /// The outputs that have a gradient, by their places.
    tracked: Vec<usize>,
    /// Elements of each output.
    lengths: Vec<usize>,
}

impl<T: Number + Kernels> Gradient for Backward<T> {
    fn gradients(&self, inputs: &[Tensor], given: &[Option<Tensor>]) -> Result<Vec<(usize, Tensor)>, TchError> {
        let saved = self.saved.lock().map_err(|_| elsewhere())?;
        let saved = saved.as_ref().ok_or_else(elsewhere)?;
        let given: Vec<Option<Tensor>> =
            given.iter().map(|x| x.as_ref().map(Tensor::f_contiguous).transpose()).collect::<Result<_, _>>()?;
        let longest = self.lengths.iter().copied().max().unwrap_or_default();
        let whole = self.tracked.len() == self.lengths.len() && given.iter().all(Option::is_some);
        let zeros = vec![T::default(); if whole { 0 } else { longest }];
        let mut gradients: Vec<&[T]> = self.lengths.iter().map(|&length| &zeros[..length.min(zeros.len())]).collect();
        for (&place, tensor) in self.tracked.iter().zip(&given) {
            if let Some(tensor) = tensor {
                gradients[place] = elements(tensor).ok_or_else(elsewhere)?;
            }
        }
        let differentiated = self.compiled.differentiated();
        let mut results: Vec<Tensor> =
            differentiated.iter().map(|&place| inputs[place].f_empty_like()).collect::<Result<_, _>>()?;
        let mut slices: Vec<&mut [T]> =
            results.iter_mut().map(|tensor| elements_mut(tensor).ok_or_else(elsewhere)).collect::<Result<_, _>>()?;
        self.compiled.backward(&Torch, &slices_of(inputs)?, saved, &gradients, &mut slices);
        Ok(differentiated.iter().copied().zip(results).collect())
    }

    fn release(&self) {
        if let Ok(mut saved) = self.saved.lock() {
            *saved = None;
        }
    }
}
