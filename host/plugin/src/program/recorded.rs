//! A recorded call.

use std::collections::BTreeSet;

use tch::{Device, Kind, Tensor};

use super::observation::{Observation, Situation, Source};
use super::returned::Returned;
use crate::operation::Op;
use crate::probe::Cost;
use crate::report::Level;

/// A value of a program: its place in [`Program::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ValueId(pub(crate) u32);

impl ValueId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    /// The value so many places behind this one.
    pub(crate) fn after(self, places: usize) -> Self {
        Self(self.0.saturating_add(u32::try_from(places).unwrap_or(u32::MAX)))
    }
}

/// What is known of a value before it is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) shape: Vec<i64>,
    pub(crate) kind: Kind,
    /// Whether autograd follows it.
    pub(crate) requires_grad: bool,
}

impl Meta {
    pub(crate) fn of(tensor: &Tensor) -> Self {
        Self { shape: tensor.size(), kind: tensor.kind(), requires_grad: tensor.requires_grad() }
    }
}

/// One operation, in the order in which they were made.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) op: Op,
    pub(crate) inputs: Vec<ValueId>,
    pub(crate) outputs: Vec<ValueId>,
}

/// What a call leaves behind besides its result, in the order of the call.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Line(Level, String),
    /// A metric by its printable name, with a value of one element.
    Metric(String, ValueId),
    Number(String, f64),
    /// A new value of a buffer.
    Buffer(String, ValueId),
}

/// The operations of a call, with what they depend on and what comes of them.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// Whether operations were differentiated.
    pub(crate) gradients: bool,
    /// All that the plugin asked for.
    pub(crate) observations: Vec<Observation>,
    /// Tensors that are given; each is a value of its own, also where the plugin asked twice for one.
    pub(crate) inputs: Vec<(Source, ValueId)>,
    /// Of inputs and results of steps.
    pub(crate) values: Vec<Meta>,
    pub(crate) steps: Vec<Step>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) returned: Returned<ValueId>,
    /// What the call cost.
    pub(crate) cost: Cost,
}

impl Program {
    /// Whether the plugin would order the same operations in this situation.
    pub(crate) fn fits(&self, situation: &Situation<'_>) -> bool {
        self.gradients == situation.gradients && self.observations.iter().all(|seen| seen.holds(situation))
    }

    /// Of what was recorded without values: it was asked for of tensors on this device.
    pub(crate) fn place_on(&mut self, device: Device) {
        self.observations.iter_mut().for_each(|observation| observation.place_on(device));
    }

    /// Bytes of a value.
    pub(crate) fn bytes(&self, value: ValueId) -> u64 {
        self.values.get(value.index()).map_or(0, |Meta { shape, kind, .. }| {
            let elements = shape.iter().map(|size| size.unsigned_abs()).fold(1, u64::saturating_mul);
            elements.saturating_mul(kind.elt_size_in_bytes() as u64)
        })
    }

    /// Values that are needed when all steps are done.
    pub(crate) fn needed(&self) -> BTreeSet<ValueId> {
        let mut needed = BTreeSet::new();
        let _ = self.returned.map(|&id| Some(needed.insert(id)));
        for effect in &self.effects {
            match effect {
                Effect::Metric(_, id) | Effect::Buffer(_, id) => drop(needed.insert(*id)),
                Effect::Line(..) | Effect::Number(..) => {}
            }
        }
        needed
    }
}
