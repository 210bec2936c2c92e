//! The interface `context` of the contract: a strategy reads the inputs of its call.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::lossmith::plugin::context as wit;
use crate::context::{Input, PairLosses, Progress, Tuples, largest_class};
use crate::dtype::is_float;
use crate::host::{HeldPairs, HeldTuples, Host};
use crate::host_fault::{HostFault, describe, fault, over, stale_handle};
use crate::operation::{Classes, Op, Split};
use crate::parameters::{Params, Value};
use crate::program::{Observation, Source, ValueId};

/// Parts that pair losses can have: no relation is known that needs more than two.
const PARTS: usize = 8;

impl Input {
    fn embeddings(&self) -> std::result::Result<&Tensor, HostFault> {
        self.embeddings.as_ref().ok_or_else(|| untold("batch.embeddings", "there is no batch here"))
    }

    fn labels(&self) -> std::result::Result<&Tensor, HostFault> {
        self.labels.as_ref().ok_or_else(|| untold("batch.labels", "labels are not told here"))
    }
}

fn untold(operation: &'static str, message: &str) -> HostFault {
    HostFault::Operation { operation, shapes: "this call".into(), message: message.into() }
}

impl wit::Host for Host {}

impl wit::HostParams for Host {
    fn drop(&mut self, _: Resource<Params>) -> Result<()> {
        Ok(())
    }

    fn number(&mut self, _: Resource<Params>, name: String) -> Result<f64> {
        match self.params.get(&name) {
            Some(Value::Number(number)) => Ok(*number),
            other => Err(no_parameter("params.number", &name, other)),
        }
    }

    fn integer(&mut self, _: Resource<Params>, name: String) -> Result<i64> {
        match self.params.get(&name) {
            Some(Value::Integer(integer)) => Ok(*integer),
            other => Err(no_parameter("params.integer", &name, other)),
        }
    }

    fn boolean(&mut self, _: Resource<Params>, name: String) -> Result<bool> {
        match self.params.get(&name) {
            Some(Value::Boolean(boolean)) => Ok(*boolean),
            other => Err(no_parameter("params.boolean", &name, other)),
        }
    }

    fn text(&mut self, _: Resource<Params>, name: String) -> Result<String> {
        match self.params.get(&name) {
            Some(Value::Text(text)) => Ok(text.clone()),
            other => Err(no_parameter("params.text", &name, other)),
        }
    }

    fn numbers(&mut self, _: Resource<Params>, name: String) -> Result<Vec<f64>> {
        match self.params.get(&name) {
            Some(Value::Numbers(numbers)) => Ok(numbers.clone()),
            other => Err(no_parameter("params.numbers", &name, other)),
        }
    }
}

fn no_parameter(operation: &'static str, name: &str, found: Option<&Value>) -> wasmtime::Error {
    let message = match found {
        Some(value) => format!("the parameter is {value}, of another type"),
        None => "the strategy describes no such parameter".to_owned(),
    };
    HostFault::Operation { operation, shapes: format!("`{name}`"), message }.into()
}

impl wit::HostBatch for Host {
    fn drop(&mut self, _: Resource<Input>) -> Result<()> {
        Ok(())
    }

    fn embeddings(&mut self, _: Resource<Input>) -> Result<Resource<Tensor>> {
        let embeddings = self.input.embeddings()?.shallow_clone();
        self.push_input("batch.embeddings", embeddings, || Source::Embeddings)
    }

    fn labels(&mut self, _: Resource<Input>) -> Result<Resource<Tensor>> {
        let labels = self.input.labels()?.shallow_clone();
        self.push_input("batch.labels", labels, || Source::Labels)
    }

    fn size(&mut self, _: Resource<Input>) -> Result<i64> {
        Ok(self.sizes()?.first().copied().unwrap_or_default())
    }

    fn dimension(&mut self, _: Resource<Input>) -> Result<i64> {
        Ok(self.sizes()?.get(1).copied().unwrap_or_default())
    }

    fn class_count(&mut self, _: Resource<Input>) -> Result<i64> {
        self.recorder.observe(|| Observation::ClassCount(self.input.class_count));
        match self.input.class_count {
            ..0 => Err(untold("batch.class-count", "the number of classes is not known here").into()),
            count => Ok(count),
        }
    }

    fn largest_class(&mut self, _: Resource<Input>) -> Result<i64> {
        const NAME: &str = "batch.largest-class";
        let labels = self.input.labels()?.shallow_clone();
        self.charge(labels.numel() as u64)?;
        let count = largest_class(&labels).map_err(|error| fault(NAME, &[&labels], &error))?;
        self.recorder.observe(|| Observation::LargestClass(count));
        Ok(count)
    }

    fn slice_count(&mut self, _: Resource<Input>) -> Result<i64> {
        self.recorder.observe(|| Observation::SliceCount(self.input.slice_count));
        Ok(self.input.slice_count)
    }

    fn slices(&mut self, _: Resource<Input>) -> Result<Vec<Resource<Tensor>>> {
        const NAME: &str = "batch.slices";
        let (embeddings, count) = (self.input.embeddings()?.shallow_clone(), self.input.slice_count);
        over("handles", self.limits.handles.into(), count.unsigned_abs().saturating_add(self.tensors.made() as u64))?;
        let op = Split::Slices { count, dim: 1 }.into();
        let slices = self.run_many(&op, &[&embeddings])?;
        self.recorder.observe(|| Observation::SliceCount(count));
        let whole = self.recorder.input(|| Source::Embeddings, &embeddings);
        let first = self.recorder.step(op, &[whole], &slices.iter().collect::<Vec<_>>());
        let numbered = slices.into_iter().enumerate();
        let push = |(place, slice)| self.push_value(NAME, slice, None, first.map(|first| first.after(place)));
        numbered.map(push).collect()
    }

    fn thresholds(&mut self, _: Resource<Input>) -> Result<Vec<f64>> {
        self.recorder.observe(|| Observation::thresholds(&self.input.thresholds));
        Ok(self.input.thresholds.clone())
    }

    fn teacher(&mut self, _: Resource<Input>) -> Result<Option<Resource<Tensor>>> {
        let teacher = self.input.teacher.as_ref().map(Tensor::shallow_clone);
        self.push_optional("batch.teacher", teacher, || Source::Teacher)
    }

    fn feature_map(&mut self, _: Resource<Input>) -> Result<Option<Resource<Tensor>>> {
        let map = self.input.feature_map.as_ref().map(Tensor::shallow_clone);
        self.push_optional("batch.feature-map", map, || Source::FeatureMap)
    }

    fn teacher_feature_map(&mut self, _: Resource<Input>) -> Result<Option<Resource<Tensor>>> {
        let map = self.input.teacher_feature_map.as_ref().map(Tensor::shallow_clone);
        self.push_optional("batch.teacher-feature-map", map, || Source::TeacherFeatureMap)
    }

    fn tuples(&mut self, _: Resource<Input>) -> Result<Option<Resource<Tuples>>> {
        let Some(tuples) = self.input.tuples.as_ref().map(Tuples::shallow_clone) else {
            self.recorder.observe(|| Observation::NoTuples);
            return Ok(None);
        };
        // At each step there are as many as the miner finds.
        self.recorder.end("it takes tuples");
        self.push_tuples(tuples, Vec::new()).map(Some)
    }
}

impl wit::HostProgress for Host {
    fn drop(&mut self, _: Resource<Progress>) -> Result<()> {
        Ok(())
    }

    fn epoch(&mut self, _: Resource<Progress>) -> Result<u64> {
        self.recorder.observe(|| Observation::Epoch(self.progress.epoch));
        Ok(self.progress.epoch)
    }

    fn epochs(&mut self, _: Resource<Progress>) -> Result<u64> {
        self.recorder.observe(|| Observation::Epochs(self.progress.epochs));
        match self.progress.epochs {
            0 => Err(untold("progress.epochs", "the number of epochs is not known here").into()),
            epochs => Ok(epochs),
        }
    }

    fn step(&mut self, _: Resource<Progress>) -> Result<u64> {
        self.recorder.end("it reads the number of the step");
        Ok(self.progress.step)
    }

    fn steps_per_epoch(&mut self, _: Resource<Progress>) -> Result<u64> {
        self.recorder.observe(|| Observation::StepsPerEpoch(self.progress.steps_per_epoch));
        Ok(self.progress.steps_per_epoch)
    }

    fn is_last_step_of_epoch(&mut self, _: Resource<Progress>) -> Result<bool> {
        let last = self.progress.is_last_step_of_epoch();
        self.recorder.observe(|| Observation::LastStepOfEpoch(last));
        Ok(last)
    }

    fn metric(&mut self, _: Resource<Progress>, name: String) -> Result<Option<f64>> {
        self.charge(2 * name.len() as u64)?;
        let value = self.progress.metric(&name);
        self.recorder.observe(|| Observation::Metric(name, value.map(f64::to_bits)));
        Ok(value)
    }
}

impl wit::HostTuples for Host {
    fn drop(&mut self, tuples: Resource<Tuples>) -> Result<()> {
        // A stale handle is already forgotten.
        drop(self.tuples.take(tuples.rep()));
        Ok(())
    }

    fn triplets(
        &mut self,
        anchors: Resource<Tensor>,
        positives: Resource<Tensor>,
        negatives: Resource<Tensor>,
    ) -> Result<Resource<Tuples>> {
        const NAME: &str = "tuples.triplets";
        let [a, p, n] = self.index_vectors(NAME, [&anchors, &positives, &negatives])?;
        if a.numel() != p.numel() || a.numel() != n.numel() {
            return Err(lengths_differ(NAME, &[&a, &p, &n]));
        }
        self.keep(&[&anchors, &positives, &negatives]);
        let values = [anchors, positives, negatives].map(|part| self.value_of(&part)).to_vec();
        self.push_tuples(Tuples::Triplets([a, p, n]), values)
    }

    fn pairs(
        &mut self,
        anchors: Resource<Tensor>,
        positives: Resource<Tensor>,
        negative_anchors: Resource<Tensor>,
        negatives: Resource<Tensor>,
    ) -> Result<Resource<Tuples>> {
        const NAME: &str = "tuples.pairs";
        let [a, p, b, n] = self.index_vectors(NAME, [&anchors, &positives, &negative_anchors, &negatives])?;
        if a.numel() != p.numel() || b.numel() != n.numel() {
            return Err(lengths_differ(NAME, &[&a, &p, &b, &n]));
        }
        self.keep(&[&anchors, &positives, &negative_anchors, &negatives]);
        let parts = [anchors, positives, negative_anchors, negatives];
        let values = parts.map(|part| self.value_of(&part)).to_vec();
        self.push_tuples(Tuples::Pairs([a, p, b, n]), values)
    }

    fn kind(&mut self, tuples: Resource<Tuples>) -> Result<wit::TupleKind> {
        Ok(match self.tuples_of("tuples.kind", &tuples)?.tuples {
            Tuples::Triplets(_) => wit::TupleKind::Triplets,
            Tuples::Pairs(_) => wit::TupleKind::Pairs,
        })
    }

    fn anchors(&mut self, tuples: Resource<Tuples>) -> Result<Resource<Tensor>> {
        self.push_part("tuples.anchors", &tuples, 0, 0)
    }

    fn positives(&mut self, tuples: Resource<Tuples>) -> Result<Resource<Tensor>> {
        self.push_part("tuples.positives", &tuples, 1, 1)
    }

    fn negative_anchors(&mut self, tuples: Resource<Tuples>) -> Result<Resource<Tensor>> {
        self.push_part("tuples.negative-anchors", &tuples, 0, 2)
    }

    fn negatives(&mut self, tuples: Resource<Tuples>) -> Result<Resource<Tensor>> {
        self.push_part("tuples.negatives", &tuples, 2, 3)
    }
}

impl wit::HostPairLosses for Host {
    fn drop(&mut self, pairs: Resource<PairLosses>) -> Result<()> {
        // A stale handle is already forgotten.
        drop(self.pair_losses.take(pairs.rep()));
        Ok(())
    }

    fn new(&mut self, values: Resource<Tensor>, divisor: f64) -> Result<Resource<PairLosses>> {
        const NAME: &str = "pair-losses";
        self.keep(&[&values]);
        let value = self.value_of(&values);
        let pairs = PairLosses::new(self.tensor(NAME, &values)?, divisor);
        self.push_pair_losses(HeldPairs { pairs, lent: false, value, parts: BTreeMap::new() })
    }

    fn values(&mut self, pairs: Resource<PairLosses>) -> Result<Resource<Tensor>> {
        const NAME: &str = "pair-losses.values";
        let held = self.pair_losses_of(NAME, &pairs)?;
        let (values, value, lent) = (held.pairs.values.shallow_clone(), held.value, held.lent);
        if lent {
            return self.push_input(NAME, values, || Source::PairValues);
        }
        let value = self.recorder.again(value, &values);
        self.push_value(NAME, values, None, value)
    }

    fn divisor(&mut self, pairs: Resource<PairLosses>) -> Result<f64> {
        let held = self.pair_losses_of("pair-losses.divisor", &pairs)?;
        let (divisor, lent) = (held.pairs.divisor, held.lent);
        if lent {
            self.recorder.observe(|| Observation::Divisor(Some(divisor.to_bits())));
        }
        Ok(divisor)
    }

    fn same_class(&mut self, _: Resource<PairLosses>) -> Result<Resource<Tensor>> {
        self.pair_mask(Classes::Same)
    }

    fn different_class(&mut self, _: Resource<PairLosses>) -> Result<Resource<Tensor>> {
        self.pair_mask(Classes::Different)
    }

    fn add_part(&mut self, pairs: Resource<PairLosses>, name: String, value: Resource<Tensor>) -> Result<()> {
        const NAME: &str = "pair-losses.add-part";
        self.charge_text(name.len())?;
        self.keep(&[&value]);
        let (value, place) = (self.tensor(NAME, &value)?, self.value_of(&value));
        if !is_float(value.kind()) {
            let message = format!("the part `{name}` must be float");
            return Err(HostFault::Operation { operation: NAME, shapes: describe(&[&value]), message }.into());
        }
        let held = self.pair_losses.get_mut(pairs.rep()).map_err(|stale| stale_handle(NAME, stale))?;
        if held.lent {
            self.recorder.end("it adds a part to pair losses that it is given");
        }
        let pairs = &mut held.pairs;
        let wrong =
            |message| HostFault::Operation { operation: NAME, shapes: describe(&[&pairs.values, &value]), message };
        if pairs.values.size() != value.size() {
            return Err(wrong(format!("the part `{name}` has not the shape of the values")).into());
        }
        if pairs.parts.len() == PARTS {
            return Err(wrong(format!("pair losses have at most {PARTS} parts")).into());
        }
        if pairs.parts.contains_key(&name) {
            return Err(wrong(format!("there is a part `{name}` already")).into());
        }
        pairs.parts.insert(name.clone(), value);
        held.parts.insert(name, place);
        Ok(())
    }

    fn part(&mut self, pairs: Resource<PairLosses>, name: String) -> Result<Option<Resource<Tensor>>> {
        const NAME: &str = "pair-losses.part";
        let held = self.pair_losses.get_mut(pairs.rep()).map_err(|stale| stale_handle(NAME, stale))?;
        let part = held.pairs.parts.get(&name).map(Tensor::shallow_clone);
        held.pairs.parts_given |= part.is_some();
        let (lent, value) = (held.lent, held.parts.get(&name).copied().flatten());
        match part {
            Some(part) if !lent => {
                let value = self.recorder.again(value, &part);
                self.push_value(NAME, part, None, value).map(Some)
            }
            None if !lent => Ok(None),
            part => self.push_optional(NAME, part, || Source::PairPart(name)),
        }
    }
}

impl Host {
    /// A mask of all pairs of the batch.
    fn pair_mask(&mut self, op: Classes) -> Result<Resource<Tensor>> {
        let op = Op::from(op);
        let labels = self.input.labels()?.shallow_clone();
        let size = labels.numel() as i64;
        // The mask, and one more meanwhile.
        self.room_for(op.name(), &[size, size], 2)?;
        let (operation, mask) = (op.name(), self.run_one(&op, &[&labels])?);
        let classes = self.recorder.input(|| Source::Labels, &labels);
        let value = self.recorder.step(op, &[classes], &[&mask]);
        self.push_value(operation, mask, None, value)
    }

    /// Sizes of the embeddings.
    fn sizes(&mut self) -> Result<Vec<i64>> {
        let embeddings = self.input.embeddings()?;
        self.recorder.observe(|| Observation::tensor(Source::Embeddings, Some(embeddings)));
        Ok(embeddings.size())
    }

    /// Lends pair losses to the plugin.
    pub(crate) fn lend_pair_losses(&mut self, pairs: PairLosses) -> Result<Resource<PairLosses>> {
        self.push_pair_losses(HeldPairs { pairs, lent: true, value: None, parts: BTreeMap::new() })
    }

    fn push_pair_losses(&mut self, pairs: HeldPairs) -> Result<Resource<PairLosses>> {
        over("handles", self.limits.handles.into(), self.pair_losses.made() as u64 + 1)?;
        Ok(Resource::new_own(self.pair_losses.push(pairs).ok_or_else(numbers_used_up)?))
    }

    fn push_tuples(&mut self, tuples: Tuples, values: Vec<Option<ValueId>>) -> Result<Resource<Tuples>> {
        over("handles", self.limits.handles.into(), self.tuples.made() as u64 + 1)?;
        Ok(Resource::new_own(self.tuples.push(HeldTuples { tuples, values }).ok_or_else(numbers_used_up)?))
    }

    fn push_part(
        &mut self,
        operation: &'static str,
        tuples: &Resource<Tuples>,
        of_triplets: usize,
        of_pairs: usize,
    ) -> Result<Resource<Tensor>> {
        let held = self.tuples_of(operation, tuples)?;
        let place = match &held.tuples {
            Tuples::Triplets(_) => of_triplets,
            Tuples::Pairs(_) => of_pairs,
        };
        let part = held.tuples.parts().get(place).map(Tensor::shallow_clone);
        let (part, value) =
            (part.ok_or_else(|| untold(operation, "no such part"))?, held.values.get(place).copied().flatten());
        let value = self.recorder.again(value, &part);
        self.push_value(operation, part, None, value)
    }

    /// The place of a tensor in the program that is recorded.
    fn value_of(&self, handle: &Resource<Tensor>) -> Option<ValueId> {
        self.tensors.get(handle.rep()).ok().and_then(|held| held.value)
    }

    fn tuples_of(
        &self,
        operation: &'static str,
        tuples: &Resource<Tuples>,
    ) -> std::result::Result<&HeldTuples, HostFault> {
        self.tuples.get(tuples.rep()).map_err(|stale| stale_handle(operation, stale))
    }

    fn pair_losses_of(
        &self,
        operation: &'static str,
        pairs: &Resource<PairLosses>,
    ) -> std::result::Result<&HeldPairs, HostFault> {
        self.pair_losses.get(pairs.rep()).map_err(|stale| stale_handle(operation, stale))
    }

    fn index_vectors<const N: usize>(
        &self,
        operation: &'static str,
        handles: [&Resource<Tensor>; N],
    ) -> Result<[Tensor; N]> {
        let vectors = handles.map(|handle| {
            let tensor = self.tensor(operation, handle)?;
            if tensor.dim() == 1 && tensor.kind() == Kind::Int64 {
                return Ok(tensor);
            }
            let message = "not a vector of integers".into();
            Err(HostFault::Operation { operation, shapes: describe(&[&tensor]), message })
        });
        let vectors: Vec<Tensor> = vectors.into_iter().collect::<std::result::Result<_, _>>()?;
        vectors.try_into().map_err(|_| untold(operation, "an index is missing").into())
    }
}

fn lengths_differ(operation: &'static str, parts: &[&Tensor]) -> wasmtime::Error {
    HostFault::Operation { operation, shapes: describe(parts), message: "lengths differ".into() }.into()
}

fn numbers_used_up() -> HostFault {
    HostFault::Limit { limit: "handles", value: u64::from(u32::MAX), wanted: None }
}
