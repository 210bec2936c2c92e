//! Divides a program into parts.

use tch::{Device, Kind};

use super::lower::Lowering;
use super::part::{Fused, Part};
use crate::dtype::is_float;
use crate::operation::{Op, Shape, Split, Stop};
use crate::program::{Program, Source};

/// The parts of a program, in the order in which they run; none if nothing of it can run as one. `blocked` where large
/// matrices are not to be made as a whole.
pub(super) fn parts(program: &Program, device: Device, blocked: bool) -> Option<Vec<Part>> {
    let backward = program.steps.iter().any(|step| matches!(step.op, Op::Backward(_)));
    // `gradient` looks for the way between two values, which are one step then.
    if device != Device::Cpu || backward {
        return None;
    }
    let mut kinds = program.values.iter().map(|meta| meta.kind).filter(|&kind| is_float(kind));
    let kind = kinds.next().filter(|kind| matches!(kind, Kind::Float | Kind::Double))?;
    if kinds.all(|other| other == kind) { divide(program, kind, blocked) } else { None }
}

/// Each step in the earliest layer that it can be in: a layer is what is fused, and then what libtorch computes of it.
fn divide(program: &Program, kind: Kind, blocked: bool) -> Option<Vec<Part>> {
    let mut small = vec![false; program.values.len()];
    for (source, value) in &program.inputs {
        if *source == Source::Labels {
            *small.get_mut(value.index())? = true;
        }
    }
    let mut trial = Lowering::new(program, small.clone());
    let mut layer_of = vec![0_usize; program.values.len()];
    let mut layers: Vec<[Vec<usize>; 2]> = Vec::new();
    for (place, step) in program.steps.iter().enumerate() {
        let layer = step.inputs.iter().filter_map(|input| layer_of.get(input.index())).copied().max().unwrap_or(0);
        let fused = trial.add(step);
        if layers.len() <= layer {
            layers.resize_with(layer + 1, Default::default);
        }
        layers.get_mut(layer)?[usize::from(!fused)].push(place);
        for output in &step.outputs {
            *layer_of.get_mut(output.index())? = layer + usize::from(!fused);
        }
    }
    small = trial.small().to_vec();
    let mut needed = program.needed();
    let mut list: Vec<Part> = Vec::new();
    // From the last layer to the first, to know what is needed of each.
    for [fused, single] in layers.iter().rev() {
        let steps: Vec<_> = fused.iter().filter_map(|&place| program.steps.get(place)).collect();
        for &place in single.iter().rev() {
            list.push(Part::Step(place));
            needed.extend(&program.steps.get(place)?.inputs);
        }
        let worth = steps.iter().filter(|step| !is_view(&step.op)).count() > 1;
        let part = if worth { Fused::new(&steps, program, kind, &small, &needed, blocked) } else { None };
        match part {
            Some(part) => {
                needed.extend(part.inputs());
                list.push(Part::Fused(Box::new(part)));
            }
            None => {
                for &place in fused.iter().rev() {
                    list.push(Part::Step(place));
                    needed.extend(&program.steps.get(place)?.inputs);
                }
            }
        }
    }
    list.reverse();
    Some(list)
}

/// What costs nothing by itself.
fn is_view(op: &Op) -> bool {
    match op {
        Op::Shape(shape) => !matches!(
            shape,
            Shape::ToDtype { .. }
                | Shape::DiagEmbed
                | Shape::Tril { .. }
                | Shape::Triu { .. }
                | Shape::Flip { .. }
                | Shape::Repeat { .. }
        ),
        Op::Split(Split::Slices { .. }) | Op::Stop(Stop::Detach) | Op::Create(_) => true,
        _ => false,
    }
}
