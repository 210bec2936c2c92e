//! What a plugin asked for in a call, and what it was told.

use std::cell::OnceCell;

use tch::{Device, Kind, Tensor};

use crate::context::{Input, PairLosses, Progress, largest_class};
use crate::state::State;

/// All that the answers of a call come from.
pub(crate) struct Situation<'a> {
    pub(crate) input: &'a Input,
    /// The pair losses that a balance is lent.
    pub(crate) pairs: Option<&'a PairLosses>,
    pub(crate) progress: &'a Progress,
    pub(crate) state: &'a State,
    /// Whether operations are differentiated.
    pub(crate) gradients: bool,
    /// Of the labels, counted when it is first asked for: on a device that waits. None without labels.
    largest_class: OnceCell<Option<i64>>,
}

impl<'a> Situation<'a> {
    pub(crate) fn new(
        input: &'a Input,
        pairs: Option<&'a PairLosses>,
        progress: &'a Progress,
        state: &'a State,
        gradients: bool,
    ) -> Self {
        Self { input, pairs, progress, state, gradients, largest_class: OnceCell::new() }
    }

    fn largest_class(&self) -> Option<i64> {
        // An error is the plugin's to meet.
        *self.largest_class.get_or_init(|| self.input.labels.as_ref().and_then(|labels| largest_class(labels).ok()))
    }
}

/// Where a tensor comes from that a plugin is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Embeddings,
    Labels,
    Teacher,
    FeatureMap,
    TeacherFeatureMap,
    PairValues,
    PairPart(String),
    Parameter(String),
    /// A buffer as it was before the call.
    Buffer(String),
}

impl Source {
    /// The tensor, if there is one.
    pub(crate) fn find<'a>(&self, situation: &Situation<'a>) -> Option<&'a Tensor> {
        let &Situation { input, pairs, state, .. } = situation;
        match self {
            Self::Embeddings => input.embeddings.as_ref(),
            Self::Labels => input.labels.as_ref(),
            Self::Teacher => input.teacher.as_ref(),
            Self::FeatureMap => input.feature_map.as_ref(),
            Self::TeacherFeatureMap => input.teacher_feature_map.as_ref(),
            Self::PairValues => pairs.map(|pairs| &pairs.values),
            Self::PairPart(name) => pairs.and_then(|pairs| pairs.parts.get(name)),
            Self::Parameter(name) => state.parameter(name).map(|parameter| &parameter.tensor),
            Self::Buffer(name) => state.buffer(name),
        }
    }
}

/// What can be told of a tensor without reading its values. Strides decide what is a view, and so what is charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    shape: Vec<i64>,
    strides: Vec<i64>,
    kind: Kind,
    device: Device,
    requires_grad: bool,
}

impl Seen {
    fn of(tensor: &Tensor) -> Self {
        Self {
            shape: tensor.size(),
            strides: tensor.stride(),
            kind: tensor.kind(),
            device: tensor.device(),
            requires_grad: tensor.requires_grad(),
        }
    }
}

/// Something that was asked for, with the answer. Numbers are compared by their bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Observation {
    Tensor(Source, Option<Seen>),
    ClassCount(i64),
    LargestClass(i64),
    SliceCount(i64),
    Thresholds(Vec<u64>),
    /// That there are no tuples.
    NoTuples,
    Divisor(Option<u64>),
    Epoch(u64),
    Epochs(u64),
    StepsPerEpoch(u64),
    LastStepOfEpoch(bool),
    Metric(String, Option<u64>),
}

impl Observation {
    /// What there is of a tensor.
    pub(crate) fn tensor(source: Source, found: Option<&Tensor>) -> Self {
        Self::Tensor(source, found.map(Seen::of))
    }

    /// That a tensor is on this device.
    pub(super) fn place_on(&mut self, of_all: Device) {
        if let Self::Tensor(_, Some(Seen { device, .. })) = self {
            *device = of_all;
        }
    }

    /// These thresholds.
    pub(crate) fn thresholds(thresholds: &[f64]) -> Self {
        Self::Thresholds(thresholds.iter().map(|threshold| threshold.to_bits()).collect())
    }

    /// Bytes of names and lists that a plugin can make long.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Tensor(Source::PairPart(name) | Source::Parameter(name) | Source::Buffer(name), _)
            | Self::Metric(name, _) => name.len(),
            Self::Thresholds(thresholds) => thresholds.len() * size_of::<u64>(),
            Self::Tensor(..)
            | Self::ClassCount(_)
            | Self::LargestClass(_)
            | Self::SliceCount(_)
            | Self::NoTuples
            | Self::Divisor(_)
            | Self::Epoch(_)
            | Self::Epochs(_)
            | Self::StepsPerEpoch(_)
            | Self::LastStepOfEpoch(_) => 0,
        }
    }

    /// Whether the answer would be the same.
    pub(crate) fn holds(&self, situation: &Situation<'_>) -> bool {
        let Situation { input, pairs, progress, .. } = situation;
        match self {
            Self::Tensor(source, seen) => source.find(situation).map(Seen::of) == *seen,
            Self::ClassCount(count) => input.class_count == *count,
            Self::LargestClass(count) => situation.largest_class() == Some(*count),
            Self::SliceCount(count) => input.slice_count == *count,
            Self::Thresholds(thresholds) => {
                thresholds.iter().copied().eq(input.thresholds.iter().map(|threshold| threshold.to_bits()))
            }
            Self::NoTuples => input.tuples.is_none(),
            Self::Divisor(divisor) => pairs.map(|pairs| pairs.divisor.to_bits()) == *divisor,
            Self::Epoch(epoch) => progress.epoch == *epoch,
            Self::Epochs(epochs) => progress.epochs == *epochs,
            Self::StepsPerEpoch(steps) => progress.steps_per_epoch == *steps,
            Self::LastStepOfEpoch(last) => progress.is_last_step_of_epoch() == *last,
            Self::Metric(name, value) => progress.metric(name).map(f64::to_bits) == *value,
        }
    }
}
