//! The interface `context` of the contract: a strategy reads the inputs of its call.

use tch::{Kind, Tensor};
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::lossmith::plugin::context as wit;
use crate::context::{Input, PairLosses, Progress, Tuples};
use crate::dtype::is_float;
use crate::host::Host;
use crate::host_fault::{HostFault, describe, fault, over, stale_handle};
use crate::parameters::{Params, Value};

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
        self.push("batch.embeddings", embeddings)
    }

    fn labels(&mut self, _: Resource<Input>) -> Result<Resource<Tensor>> {
        let labels = self.input.labels()?.shallow_clone();
        self.push("batch.labels", labels)
    }

    fn size(&mut self, _: Resource<Input>) -> Result<i64> {
        Ok(self.input.embeddings()?.size().first().copied().unwrap_or_default())
    }

    fn dimension(&mut self, _: Resource<Input>) -> Result<i64> {
        Ok(self.input.embeddings()?.size().get(1).copied().unwrap_or_default())
    }

    fn class_count(&mut self, _: Resource<Input>) -> Result<i64> {
        match self.input.class_count {
            ..0 => Err(untold("batch.class-count", "the number of classes is not known here").into()),
            count => Ok(count),
        }
    }

    fn slice_count(&mut self, _: Resource<Input>) -> Result<i64> {
        Ok(self.input.slice_count)
    }

    fn slices(&mut self, _: Resource<Input>) -> Result<Vec<Resource<Tensor>>> {
        let (embeddings, count) = (self.input.embeddings()?, self.input.slice_count.unsigned_abs());
        over("handles", self.limits.handles.into(), count.saturating_add(self.tensors.made() as u64))?;
        let slices = embeddings
            .f_chunk(self.input.slice_count, 1)
            .map_err(|error| fault("batch.slices", &[embeddings], &error))?;
        slices.into_iter().map(|slice| self.push("batch.slices", slice)).collect()
    }

    fn thresholds(&mut self, _: Resource<Input>) -> Result<Vec<f64>> {
        Ok(self.input.thresholds.clone())
    }

    fn teacher(&mut self, _: Resource<Input>) -> Result<Option<Resource<Tensor>>> {
        let teacher = self.input.teacher.as_ref().map(Tensor::shallow_clone);
        teacher.map(|teacher| self.push("batch.teacher", teacher)).transpose()
    }

    fn feature_map(&mut self, _: Resource<Input>) -> Result<Option<Resource<Tensor>>> {
        let map = self.input.feature_map.as_ref().map(Tensor::shallow_clone);
        map.map(|map| self.push_map("batch.feature-map", map)).transpose()
    }

    fn teacher_feature_map(&mut self, _: Resource<Input>) -> Result<Option<Resource<Tensor>>> {
        let map = self.input.teacher_feature_map.as_ref().map(Tensor::shallow_clone);
        map.map(|map| self.push_map("batch.teacher-feature-map", map)).transpose()
    }

    fn tuples(&mut self, _: Resource<Input>) -> Result<Option<Resource<Tuples>>> {
        let tuples = self.input.tuples.as_ref().map(Tuples::shallow_clone);
        tuples.map(|tuples| self.push_tuples(tuples)).transpose()
    }
}

impl wit::HostProgress for Host {
    fn drop(&mut self, _: Resource<Progress>) -> Result<()> {
        Ok(())
    }

    fn epoch(&mut self, _: Resource<Progress>) -> Result<u64> {
        Ok(self.progress.epoch)
    }

    fn epochs(&mut self, _: Resource<Progress>) -> Result<u64> {
        match self.progress.epochs {
            0 => Err(untold("progress.epochs", "the number of epochs is not known here").into()),
            epochs => Ok(epochs),
        }
    }

    fn step(&mut self, _: Resource<Progress>) -> Result<u64> {
        Ok(self.progress.step)
    }

    fn steps_per_epoch(&mut self, _: Resource<Progress>) -> Result<u64> {
        Ok(self.progress.steps_per_epoch)
    }

    fn metric(&mut self, _: Resource<Progress>, name: String) -> Result<Option<f64>> {
        self.charge(2 * name.len() as u64)?;
        let Progress { metrics, place, .. } = &self.progress;
        Ok(metrics.get(&name).or_else(|| metrics.get(&format!("{place}.{name}"))).copied())
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
        self.push_tuples(Tuples::Triplets([a, p, n]))
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
        self.push_tuples(Tuples::Pairs([a, p, b, n]))
    }

    fn kind(&mut self, tuples: Resource<Tuples>) -> Result<wit::TupleKind> {
        Ok(match self.tuples_of("tuples.kind", &tuples)? {
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
        self.keep(&[&values]);
        let values = self.tensor("pair-losses", &values)?;
        self.push_pair_losses(PairLosses::new(values, divisor))
    }

    fn values(&mut self, pairs: Resource<PairLosses>) -> Result<Resource<Tensor>> {
        let values = self.pair_losses_of("pair-losses.values", &pairs)?.values.shallow_clone();
        self.push("pair-losses.values", values)
    }

    fn divisor(&mut self, pairs: Resource<PairLosses>) -> Result<f64> {
        Ok(self.pair_losses_of("pair-losses.divisor", &pairs)?.divisor)
    }

    fn same_class(&mut self, _: Resource<PairLosses>) -> Result<Resource<Tensor>> {
        self.square("pair-losses.same-class")?;
        let labels = self.input.labels()?;
        let mask = labels.f_unsqueeze(1).and_then(|column| {
            let same = column.f_eq_tensor(&labels.f_unsqueeze(0)?)?;
            // The diagonal is a pair of an image with itself.
            same.f_logical_xor(&Tensor::f_eye(labels.numel() as i64, (Kind::Bool, labels.device()))?)
        });
        let mask = mask.map_err(|error| fault("pair-losses.same-class", &[labels], &error))?;
        self.push("pair-losses.same-class", mask)
    }

    fn different_class(&mut self, _: Resource<PairLosses>) -> Result<Resource<Tensor>> {
        self.square("pair-losses.different-class")?;
        let labels = self.input.labels()?;
        let mask = labels.f_unsqueeze(1).and_then(|column| column.f_ne_tensor(&labels.f_unsqueeze(0)?));
        let mask = mask.map_err(|error| fault("pair-losses.different-class", &[labels], &error))?;
        self.push("pair-losses.different-class", mask)
    }

    fn add_part(&mut self, pairs: Resource<PairLosses>, name: String, value: Resource<Tensor>) -> Result<()> {
        const NAME: &str = "pair-losses.add-part";
        self.charge_text(name.len())?;
        self.keep(&[&value]);
        let value = self.tensor(NAME, &value)?;
        if !is_float(value.kind()) {
            let message = format!("the part `{name}` must be float");
            return Err(HostFault::Operation { operation: NAME, shapes: describe(&[&value]), message }.into());
        }
        let pairs = self.pair_losses.get_mut(pairs.rep()).map_err(|stale| stale_handle(NAME, stale))?;
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
        pairs.parts.insert(name, value);
        Ok(())
    }

    fn part(&mut self, pairs: Resource<PairLosses>, name: String) -> Result<Option<Resource<Tensor>>> {
        const NAME: &str = "pair-losses.part";
        let pairs = self.pair_losses.get_mut(pairs.rep()).map_err(|stale| stale_handle(NAME, stale))?;
        let part = pairs.parts.get(&name).map(Tensor::shallow_clone);
        pairs.parts_given |= part.is_some();
        part.map(|part| self.push(NAME, part)).transpose()
    }
}

impl Host {
    /// Room for a mask of all pairs of the batch, and for one more meanwhile.
    fn square(&self, operation: &'static str) -> Result<()> {
        let size = self.input.labels()?.numel() as i64;
        self.room_for(operation, &[size, size], 2).map(drop).map_err(Into::into)
    }

    pub(crate) fn push_pair_losses(&mut self, pairs: PairLosses) -> Result<Resource<PairLosses>> {
        over("handles", self.limits.handles.into(), self.pair_losses.made() as u64 + 1)?;
        Ok(Resource::new_own(self.pair_losses.push(pairs).ok_or_else(numbers_used_up)?))
    }

    /// Under autocasting a map may be of 16 bits.
    fn push_map(&mut self, operation: &'static str, map: Tensor) -> Result<Resource<Tensor>> {
        let map = map.f_to_kind(self.float).map_err(|error| fault(operation, &[&map], &error))?;
        self.push(operation, map)
    }

    fn push_tuples(&mut self, tuples: Tuples) -> Result<Resource<Tuples>> {
        over("handles", self.limits.handles.into(), self.tuples.made() as u64 + 1)?;
        Ok(Resource::new_own(self.tuples.push(tuples).ok_or_else(numbers_used_up)?))
    }

    fn push_part(
        &mut self,
        operation: &'static str,
        tuples: &Resource<Tuples>,
        of_triplets: usize,
        of_pairs: usize,
    ) -> Result<Resource<Tensor>> {
        let part = match self.tuples_of(operation, tuples)? {
            Tuples::Triplets(parts) => parts.get(of_triplets),
            Tuples::Pairs(parts) => parts.get(of_pairs),
        };
        let part = part.map(Tensor::shallow_clone).ok_or_else(|| untold(operation, "no such part"))?;
        self.push(operation, part)
    }

    fn tuples_of(&self, operation: &'static str, tuples: &Resource<Tuples>) -> std::result::Result<&Tuples, HostFault> {
        self.tuples.get(tuples.rep()).map_err(|stale| stale_handle(operation, stale))
    }

    fn pair_losses_of(
        &self,
        operation: &'static str,
        pairs: &Resource<PairLosses>,
    ) -> std::result::Result<&PairLosses, HostFault> {
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
