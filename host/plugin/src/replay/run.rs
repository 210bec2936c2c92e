//! Runs a program.

use std::time::Instant;

use tch::{TchError, Tensor};

use crate::catch_panic::catch_panic;
use crate::fused::{Fused, Part, Plan};
use crate::operation::{Made, Streams};
use crate::program::{Effect, Program, Returned, Situation, Step, ValueId};

/// What a program made.
pub(crate) struct Replayed {
    pub(crate) returned: Returned<Tensor>,
    /// The tensors of metrics and buffers, in the order of the program's effects.
    pub(crate) kept: Vec<Tensor>,
}

/// Why a program was not run to its end: the call is made by the plugin then, which finds the fault with its place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayFault {
    #[error(transparent)]
    Operation(#[from] TchError),
    #[error("it takes too long")]
    Deadline,
    #[error("a value is not what it was when it was recorded")]
    Other,
}

/// Runs a program that fits the situation, until a time at most.
pub(crate) fn replay(
    plan: &Plan,
    situation: &Situation<'_>,
    streams: Streams,
    until: Option<Instant>,
) -> Result<Replayed, ReplayFault> {
    let Plan { program, turns } = plan;
    let mut values = Values((0..program.values.len()).map(|_| None).collect());
    for (source, id) in &program.inputs {
        let tensor = source.find(situation).ok_or(ReplayFault::Other)?;
        values.put(*id, tensor.shallow_clone())?;
    }
    for turn in turns {
        match &turn.part {
            Part::Step(place) => {
                let step = program.steps.get(*place).ok_or(ReplayFault::Other)?;
                let made = catch_panic(|| values.run(step, streams))?;
                values.keep(program, step, made)?;
            }
            Part::Fused(fused) => values.run_fused(fused)?,
        }
        values.drop(&turn.last_uses);
        if until.is_some_and(|until| Instant::now() >= until) {
            return Err(ReplayFault::Deadline);
        }
    }
    let returned = program.returned.map(|id| values.get(*id).ok().map(Tensor::shallow_clone));
    let mut kept = Vec::new();
    for effect in &program.effects {
        match effect {
            Effect::Metric(_, id) | Effect::Buffer(_, id) => kept.push(values.get(*id)?.shallow_clone()),
            Effect::Line(..) | Effect::Number(..) => {}
        }
    }
    Ok(Replayed { returned: returned.ok_or(ReplayFault::Other)?, kept })
}

/// The values that are alive.
struct Values(Vec<Option<Tensor>>);

impl Values {
    fn get(&self, id: ValueId) -> Result<&Tensor, TchError> {
        let value = self.0.get(id.index()).and_then(Option::as_ref);
        value.ok_or_else(|| TchError::Torch("a value of a program is missing".into()))
    }

    fn put(&mut self, id: ValueId, tensor: Tensor) -> Result<(), ReplayFault> {
        *self.0.get_mut(id.index()).ok_or(ReplayFault::Other)? = Some(tensor);
        Ok(())
    }

    fn run(&self, step: &Step, streams: Streams) -> Result<Made, TchError> {
        // Most take one or two: no list is made for these.
        match *step.inputs.as_slice() {
            [a] => step.op.run(&[self.get(a)?], streams),
            [a, b] => step.op.run(&[self.get(a)?, self.get(b)?], streams),
            ref inputs => {
                let inputs = inputs.iter().map(|id| self.get(*id)).collect::<Result<Vec<_>, _>>()?;
                step.op.run(&inputs, streams)
            }
        }
    }

    fn keep(&mut self, program: &Program, step: &Step, made: Made) -> Result<(), ReplayFault> {
        match made {
            Made::One(tensor) => self.made(program, step, 0, tensor)?,
            Made::Two(first, second) => {
                self.made(program, step, 0, first)?;
                self.made(program, step, 1, second)?;
            }
            Made::Many(tensors) => {
                for (place, tensor) in tensors.into_iter().enumerate() {
                    self.made(program, step, place, tensor)?;
                }
            }
        }
        Ok(())
    }

    fn run_fused(&mut self, fused: &Fused) -> Result<(), ReplayFault> {
        let inputs = fused.inputs().iter().map(|id| self.get(*id)).collect::<Result<Vec<_>, _>>()?;
        let made = fused.run(&inputs)?;
        fused.outputs().zip(made).try_for_each(|(id, tensor)| self.put(id, tensor))
    }

    fn drop(&mut self, ids: &[ValueId]) {
        for id in ids {
            if let Some(value) = self.0.get_mut(id.index()) {
                *value = None;
            }
        }
    }

    fn made(&mut self, program: &Program, step: &Step, place: usize, tensor: Tensor) -> Result<(), ReplayFault> {
        let id = *step.outputs.get(place).ok_or(ReplayFault::Other)?;
        // What libtorch makes of integers and fractions is set for the whole process, and could be another dtype now.
        match program.values.get(id.index()) {
            Some(meta) if meta.kind == tensor.kind() => self.put(id, tensor),
            _ => Err(ReplayFault::Other),
        }
    }
}
