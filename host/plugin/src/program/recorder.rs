//! Records a call.

use tch::Tensor;

use super::observation::{Observation, Source};
use super::recorded::{Effect, Meta, Program, Step, ValueId};
use super::returned::Returned;
use crate::operation::{Count, Lookup, Op, Order, Shape};
use crate::probe::Cost;

/// Bytes of the names and lists that a program keeps, at most: the lists of 32-bit constants of one batch of 1024 x 128
/// fit, and eight programs of a slot take no more than 8 MiB.
const MOST_BYTES: usize = 1 << 20;

/// The recorder of a call. What it is told of a call that it does not record, it forgets.
#[derive(Debug, Default)]
pub(crate) enum Recorder {
    /// The call is not recorded.
    #[default]
    Off,
    /// It was, until this made it impossible.
    Ended(&'static str),
    On(Box<Recording>),
}

/// What was recorded so far.
#[derive(Debug)]
pub(crate) struct Recording {
    program: Program,
    returned: Option<Returned<ValueId>>,
    /// Steps, answers, inputs and effects, of each so many at most.
    most: usize,
    /// Of names and lists so far.
    bytes: usize,
}

impl Recorder {
    /// Records a call of at most so many operations.
    pub(crate) fn start(gradients: bool, most: u32) -> Self {
        let program = Program {
            gradients,
            observations: Vec::new(),
            inputs: Vec::new(),
            values: Vec::new(),
            steps: Vec::new(),
            effects: Vec::new(),
            returned: Returned::Thresholds(Vec::new()),
            cost: Cost::default(),
        };
        Self::On(Box::new(Recording { program, returned: None, most: most as usize, bytes: 0 }))
    }

    /// Whether the call is recorded so far.
    pub(crate) fn is_on(&self) -> bool {
        matches!(self, Self::On(_))
    }

    /// The call cannot be recorded, for this reason. The first one counts.
    pub(crate) fn end(&mut self, reason: &'static str) {
        if matches!(self, Self::On(_)) {
            *self = Self::Ended(reason);
        }
    }

    /// The plugin asked for something, and was told.
    pub(crate) fn observe(&mut self, observation: impl FnOnce() -> Observation) {
        let Self::On(recording) = self else { return };
        let observation = observation();
        let known = &mut recording.program.observations;
        if known.contains(&observation) {
            return;
        }
        let bytes = observation.bytes();
        known.push(observation);
        let many = known.len() > recording.most;
        self.keep(bytes, many);
    }

    /// Something more is kept. The recording ends where that is too much.
    fn keep(&mut self, bytes: usize, many: bool) {
        let Self::On(recording) = self else { return };
        recording.bytes = recording.bytes.saturating_add(bytes);
        if many || recording.bytes > MOST_BYTES {
            self.end("it has more operations, questions or constants than a program may have");
        }
    }

    /// The plugin is given a tensor that the call began with.
    pub(crate) fn input(&mut self, source: impl FnOnce() -> Source, tensor: &Tensor) -> Option<ValueId> {
        let Self::On(recording) = self else { return None };
        let source = source();
        let observation = Observation::tensor(source.clone(), Some(tensor));
        let id = recording.value(tensor);
        recording.program.inputs.push((source, id));
        let many = recording.program.inputs.len() > recording.most;
        self.keep(0, many);
        self.observe(|| observation);
        Some(id)
    }

    /// An operation was made. The values of its results follow each other, from the one that is told.
    pub(crate) fn step(&mut self, op: Op, inputs: Inputs<'_>, results: &[&Tensor]) -> Option<ValueId> {
        let Self::On(recording) = self else { return None };
        if let Some(reason) = unrecordable(&op) {
            self.end(reason);
            return None;
        }
        let Some(inputs) = inputs.iter().copied().collect::<Option<Vec<_>>>() else {
            self.end("it uses a tensor that was not recorded");
            return None;
        };
        let outputs: Vec<_> = results.iter().map(|result| recording.value(result)).collect();
        let (first, bytes) = (outputs.first().copied(), op.bytes());
        recording.program.steps.push(Step { op, inputs, outputs });
        let many = recording.program.steps.len() > recording.most;
        self.keep(bytes, many);
        first
    }

    /// Another handle of a value that the call made itself.
    pub(crate) fn again(&mut self, value: Option<ValueId>, tensor: &Tensor) -> Option<ValueId> {
        self.step(Shape::Same.into(), &[value], &[tensor])
    }

    /// The call leaves something behind.
    pub(crate) fn effect(&mut self, effect: impl FnOnce() -> Option<Effect>) {
        let Self::On(recording) = self else { return };
        match effect() {
            Some(effect) => {
                recording.program.effects.push(effect);
                let many = recording.program.effects.len() > recording.most;
                self.keep(0, many);
            }
            None => self.end("it keeps a tensor that was not recorded"),
        }
    }

    /// The last value that the call gave a buffer.
    pub(crate) fn buffer(&self, name: &str) -> Option<ValueId> {
        let Self::On(recording) = self else { return None };
        recording.program.effects.iter().rev().find_map(|effect| match effect {
            Effect::Buffer(known, value) if known == name => Some(*value),
            Effect::Buffer(..) | Effect::Line(..) | Effect::Metric(..) | Effect::Number(..) => None,
        })
    }

    /// What the strategy returned.
    pub(crate) fn returned(&mut self, returned: &Returned<Option<ValueId>>) {
        let Self::On(recording) = self else { return };
        match returned.map(|value| *value) {
            Some(returned) => recording.returned = Some(returned),
            None => self.end("it returns a tensor that was not recorded"),
        }
    }

    /// The program of a call that ended well, or why there is none.
    pub(crate) fn finish(self, cost: Cost) -> Result<Program, Option<&'static str>> {
        let recording = match self {
            Self::Off => return Err(None),
            Self::Ended(reason) => return Err(Some(reason)),
            Self::On(recording) => *recording,
        };
        let Recording { mut program, returned, .. } = recording;
        program.returned = returned.ok_or(None)?;
        program.cost = cost;
        Ok(program)
    }
}

/// Values of the inputs of an operation, none for those that were not recorded.
pub(crate) type Inputs<'a> = &'a [Option<ValueId>];

impl Recording {
    fn value(&mut self, tensor: &Tensor) -> ValueId {
        let values = &mut self.program.values;
        // The limit of handles is far below the end of the numbers.
        let id = ValueId(u32::try_from(values.len()).unwrap_or(u32::MAX));
        values.push(Meta::of(tensor));
        id
    }
}

/// Why a call with this operation cannot be recorded.
fn unrecordable(op: &Op) -> Option<&'static str> {
    match op {
        Op::Count(Count::Nonzero) => Some("the size of `nonzero` depends on values"),
        Op::Lookup(Lookup::MaskedSelect) => Some("the size of `masked-select` depends on values"),
        Op::Order(Order::Unique) => Some("the size of `unique` depends on values"),
        Op::Count(Count::Bincount { .. })
        | Op::Lookup(Lookup::Gather { .. } | Lookup::IndexSelect { .. })
        | Op::Order(Order::Max { .. } | Order::Min { .. } | Order::Sort { .. } | Order::TopK { .. })
        | Op::Draw(_)
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Choice(_)
        | Op::Reduction(_)
        | Op::Along(_)
        | Op::Shape(_)
        | Op::Split(_)
        | Op::Join(_)
        | Op::Product(_)
        | Op::Einsum(_)
        | Op::Hinges(_)
        | Op::Places(_)
        | Op::Put(_)
        | Op::Classes(_)
        | Op::Search(_)
        | Op::Create(_)
        | Op::Stop(_)
        | Op::Backward(_)
        | Op::Given(_) => None,
    }
}
