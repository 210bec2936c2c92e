//! How a program is run.

use std::collections::BTreeSet;

use tch::Device;

use super::part::Part;
use super::parts::parts;
use crate::program::{Program, ValueId};

/// A part, in the order in which they run.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) part: Part,
    /// Values that nothing needs after it.
    pub(crate) last_uses: Vec<ValueId>,
}

/// A program, and the parts in which it is run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) program: Program,
    pub(crate) turns: Vec<Turn>,
}

/// What a program is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Operations that were recorded.
    pub operations: usize,
    /// Those of them that run with others as one.
    pub fused: usize,
    /// The names of the others, in their order.
    pub alone: Vec<&'static str>,
    /// Bytes that it takes besides what the call begins with.
    pub bytes: u64,
}

impl Plan {
    /// Runs the operations one by one.
    pub(crate) fn single(program: Program) -> Self {
        let parts = (0..program.steps.len()).map(Part::Step).collect();
        Self::of(program, parts)
    }

    /// Runs as one what can be on this device, in blocks of rows where a value has more bytes than `matrix_bytes`.
    pub(crate) fn fused(program: Program, device: Device, matrix_bytes: u64) -> Self {
        let places = 0..u32::try_from(program.values.len()).unwrap_or(u32::MAX);
        let blocked = places.map(ValueId).any(|value| program.bytes(value) > matrix_bytes);
        match parts(&program, device, blocked) {
            Some(parts) => Self::of(program, parts),
            None => Self::single(program),
        }
    }

    /// What is returned or kept is needed to the end.
    fn of(program: Program, parts: Vec<Part>) -> Self {
        let mut needed: BTreeSet<ValueId> = program.needed();
        let mut turns: Vec<Turn> = Vec::with_capacity(parts.len());
        for part in parts.into_iter().rev() {
            let values: Vec<ValueId> = match &part {
                Part::Step(place) => program
                    .steps
                    .get(*place)
                    .map_or_else(Vec::new, |step| step.inputs.iter().chain(&step.outputs).copied().collect()),
                Part::Fused(fused) => fused.inputs().iter().copied().chain(fused.outputs()).collect(),
            };
            let last_uses = values.into_iter().filter(|&id| needed.insert(id)).collect();
            turns.push(Turn { part, last_uses });
        }
        turns.reverse();
        Self { program, turns }
    }

    /// Whether operations run as one, so that their results have other last bits.
    pub(crate) fn is_fused(&self) -> bool {
        self.turns.iter().any(|turn| matches!(turn.part, Part::Fused(_)))
    }

    /// Bytes that its values and what runs as one take at a time, besides what the call begins with.
    pub(crate) fn bytes(&self) -> u64 {
        let Self { program, turns } = self;
        let (mut alive, mut most) = (0_u64, 0);
        for Turn { part, last_uses } in turns {
            let (made, own) = match part {
                Part::Step(place) => {
                    let outputs = program.steps.get(*place).map_or(&[][..], |step| step.outputs.as_slice());
                    (outputs.iter().map(|value| program.bytes(*value)).sum::<u64>(), 0)
                }
                Part::Fused(fused) => (fused.outputs().map(|value| program.bytes(value)).sum(), fused.bytes()),
            };
            // What it keeps for the gradient stays.
            alive = alive.saturating_add(made).saturating_add(own);
            most = most.max(alive);
            let begun = |value: &&ValueId| program.inputs.iter().all(|(_, input)| input != *value);
            let freed = last_uses.iter().filter(begun).map(|value| program.bytes(*value)).sum();
            alive = alive.saturating_sub(if program.gradients { 0 } else { freed });
        }
        most
    }

    /// What it is made of.
    pub(crate) fn outline(&self) -> Outline {
        let steps = &self.program.steps;
        let alone = self.turns.iter().filter_map(|turn| match turn.part {
            Part::Step(place) => steps.get(place).map(|step| step.op.name()),
            Part::Fused(_) => None,
        });
        let alone: Vec<_> = alone.collect();
        Outline { operations: steps.len(), fused: steps.len() - alone.len(), alone, bytes: self.bytes() }
    }
}
