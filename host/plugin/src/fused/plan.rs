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
}

impl Plan {
    /// Runs the operations one by one.
    pub(crate) fn single(program: Program) -> Self {
        let parts = (0..program.steps.len()).map(Part::Step).collect();
        Self::of(program, parts)
    }

    /// Runs as one what can be on this device.
    pub(crate) fn fused(program: Program, device: Device) -> Self {
        match parts(&program, device) {
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

    /// What it is made of.
    pub(crate) fn outline(&self) -> Outline {
        let steps = &self.program.steps;
        let alone = self.turns.iter().filter_map(|turn| match turn.part {
            Part::Step(place) => steps.get(place).map(|step| step.op.name()),
            Part::Fused(_) => None,
        });
        let alone: Vec<_> = alone.collect();
        Outline { operations: steps.len(), fused: steps.len() - alone.len(), alone }
    }
}
