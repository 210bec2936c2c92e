//! A graph with its gradient, ready to run.

use std::collections::BTreeSet;

use crate::gradient::gradient;
use crate::graph::{Graph, Id, Node, Op, Unary, elements, space};
use crate::kernels::Kernels;
use crate::plan::{Assigned, Plan};
use crate::run::{Backend, Ready};

/// What a run forward keeps for the gradient.
#[derive(Debug)]
pub struct Saved<T>(Vec<Vec<T>>);

/// A graph with its gradient, ready to run on numbers of one type.
#[derive(Debug)]
pub struct Program<T> {
    forward: Ready<T>,
    backward: Option<Ready<T>>,
    /// Elements of each output.
    outputs: Vec<usize>,
    /// Elements of what is kept.
    saved: Vec<usize>,
    /// The inputs that have a gradient, in the order of their results.
    differentiated: Vec<usize>,
    /// Of each of these, which of the gradients that are computed it is: two inputs may have the same.
    computed: Vec<usize>,
}

/// What a program is to do.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The inputs of the graph, in their order.
    pub inputs: &'a [Id],
    /// The outputs.
    pub outputs: &'a [Id],
    /// The inputs whose gradient is wanted, by their places.
    pub differentiated: &'a [usize],
    /// Matrix products are computed a few rows at a time wherever they are needed, again for the gradient, instead of
    /// being kept as a whole.
    pub blocked: bool,
}

impl<T: Kernels> Program<T> {
    /// Plans a graph.
    #[must_use]
    pub fn new(mut graph: Graph, wanted: Wanted<'_>) -> Self {
        let Wanted { inputs, outputs, differentiated, blocked } = wanted;
        let lengths = outputs.iter().map(|&id| elements(graph.shape(id))).collect();
        let mut own: Vec<Id> = Vec::new();
        for &id in outputs {
            let mut copy = graph.unary(Unary::Copy, id);
            // Each has memory of its own, also where two are one node.
            while own.contains(&copy) {
                copy = graph.unary(Unary::Copy, copy);
            }
            own.push(copy);
        }
        let forward_nodes = graph.len();
        let in_memory = Assigned::new(&graph, inputs, &own, blocked).written;
        let of: Vec<Id> = differentiated.iter().map(|&place| inputs[place]).collect();
        let shapes: Vec<Vec<usize>> = own.iter().map(|&id| graph.shape(id).to_vec()).collect();
        let seeds: Vec<Id> = shapes.iter().map(|shape| graph.input(shape)).collect();
        let pairs: Vec<(Id, Id)> = own.iter().copied().zip(seeds.iter().copied()).collect();
        let gradients = gradient(&mut graph, &pairs, &of);
        let found: Vec<(usize, Id)> = differentiated
            .iter()
            .zip(&gradients)
            .filter_map(|(&place, gradient)| gradient.map(|gradient| (place, gradient)))
            .collect();
        let mut wanted: Vec<Id> = Vec::new();
        let mut computed = Vec::new();
        for &(_, gradient) in &found {
            let copy = graph.unary(Unary::Copy, gradient);
            computed.push(wanted.iter().position(|&known| known == copy).unwrap_or(wanted.len()));
            if computed.last() == Some(&wanted.len()) {
                wanted.push(copy);
            }
        }
        let saved = saved(&graph, &wanted, forward_nodes, blocked, &in_memory);
        let all: Vec<Id> = own.iter().chain(&saved).copied().collect();
        let forward = Ready::new(Plan::new(&graph, inputs, &all, blocked));
        let given: Vec<Id> = inputs.iter().chain(&saved).chain(&seeds).copied().collect();
        let backward = (!wanted.is_empty()).then(|| Ready::new(Plan::new(&graph, &given, &wanted, blocked)));
        Self {
            forward,
            backward,
            outputs: lengths,
            saved: saved.iter().map(|&id| elements(graph.shape(id))).collect(),
            differentiated: found.into_iter().map(|(place, _)| place).collect(),
            computed,
        }
    }

    /// The inputs, by their places, that an output depends on and whose gradient is wanted.
    #[must_use]
    pub fn differentiated(&self) -> &[usize] {
        &self.differentiated
    }

    /// Elements that a run forward keeps for the gradient.
    #[must_use]
    pub fn saved(&self) -> usize {
        self.saved.iter().sum()
    }

    /// Elements that a run forward and one backward take at a time, besides what is given and wanted.
    #[must_use]
    pub fn elements(&self) -> usize {
        let backward = self.backward.as_ref().map_or(0, Ready::elements);
        // What is between the runs of a pass is kept for the next one.
        self.saved() + self.forward.elements() + backward
    }

    /// Computes the outputs; each slice has as many elements as its shape.
    pub fn forward(&self, backend: &dyn Backend<T>, inputs: &[&[T]], outputs: &mut [&mut [T]]) -> Saved<T> {
        debug_assert!(outputs.iter().zip(&self.outputs).all(|(slice, &length)| slice.len() == length));
        let mut saved: Vec<Vec<T>> = self.saved.iter().map(|&length| vec![T::ZERO; length]).collect();
        let outputs = outputs.iter_mut().map(|slice| &mut **slice);
        let mut wanted: Vec<&mut [T]> = outputs.chain(saved.iter_mut().map(Vec::as_mut_slice)).collect();
        self.forward.run(backend, inputs, &mut wanted);
        Saved(saved)
    }

    /// Computes the gradients of [`differentiated`](Self::differentiated), in that order, of those of all outputs.
    pub fn backward(
        &self,
        backend: &dyn Backend<T>,
        inputs: &[&[T]],
        saved: &Saved<T>,
        gradients: &[&[T]],
        results: &mut [&mut [T]],
    ) {
        let Some(backward) = &self.backward else { return };
        let saved = saved.0.iter().map(Vec::as_slice);
        let given: Vec<&[T]> = inputs.iter().copied().chain(saved).chain(gradients.iter().copied()).collect();
        let mut first: Vec<&mut [T]> = Vec::new();
        let mut again = Vec::new();
        for (&number, result) in self.computed.iter().zip(results.iter_mut()) {
            match number == first.len() {
                true => first.push(result),
                false => again.push((number, result)),
            }
        }
        backward.run(backend, &given, &mut first);
        for (number, result) in again {
            result.copy_from_slice(first[number]);
        }
    }
}

/// The nodes of the forward run that the gradient begins with: what lies in memory anyway, what has an element for each
/// row, and matrix products if they are kept. The rest is computed again.
fn saved(graph: &Graph, wanted: &[Id], forward: usize, blocked: bool, in_memory: &BTreeSet<Id>) -> Vec<Id> {
    let (mut saved, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut open = wanted.to_vec();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let Node { op, inputs, shape } = graph.node(id);
        let of_forward = id.index() < forward;
        let kept = match op {
            Op::Input(_) | Op::Constant(_) | Op::Positions => continue,
            Op::View(_) | Op::Unary(Unary::Stop) => false,
            Op::Product { .. } => !blocked || (in_memory.contains(&id) && space(shape).1 <= 1),
            Op::Reduce(_) => true,
            Op::Unary(_) | Op::Binary(_) | Op::Choose | Op::Embed(_) => space(shape).1 <= 1 || in_memory.contains(&id),
        };
        if of_forward && kept {
            saved.insert(id);
        } else {
            open.extend(inputs);
        }
    }
    saved.into_iter().collect()
}
