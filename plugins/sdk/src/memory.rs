//! A cross-batch memory: embeddings of earlier batches as further references.

use std::ops::RangeBounds;

use crate::bindings::exports::lossmith::plugin::describe;
use crate::{Batch, Dtype, Pairs, Parameter, Params, Progress, Result, Tensor, state};

/// The last embeddings of earlier batches, Wang et al. 2020 (cross-batch memory): the parameters `memory-size` and
/// `memory-warm-up` of a strategy.
///
/// `memory: CrossBatchMemory = CrossBatchMemory::none();` in [`strategy!`](crate::strategy!) declares both. The host
/// keeps the memory in the buffers `memory-embeddings` (M x D), `memory-labels` (M) and `memory-position`, so that it
/// is in checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrossBatchMemory {
    /// M, the number of embeddings it keeps; 0 for no memory.
    pub size: i64,
    /// Steps of the run before it begins to fill.
    pub warm_up: i64,
}

/// The label of a place that is still empty.
const EMPTY: f64 = -1.0;

impl CrossBatchMemory {
    /// No memory.
    pub fn none() -> Self {
        Self { size: 0, warm_up: 0 }
    }

    /// `loss` of the pairs of the batch, plus `loss` of the pairs of the batch with the memory, when that holds
    /// anything. Then the batch replaces the oldest embeddings. A miner chooses among the pairs of the batch only.
    /// Error: that of `loss`, or the batch is larger than the memory.
    pub fn add(&self, batch: &Batch, progress: &Progress, loss: impl Fn(&Pairs) -> Result<Tensor>) -> Result<Tensor> {
        let (size, dimension) = (batch.size(), batch.dimension());
        // In the first step already, not when the warm-up is over.
        if self.size > 0 && size > self.size {
            return Err(format!("`memory-size` is {}, less than the {size} images of a batch", self.size).into());
        }
        let of_batch = loss(&Pairs::of(batch))?;
        // Who asks for the step makes another call each time; without a warm-up it need not.
        if self.size == 0 || (self.warm_up > 0 && progress.step() < self.warm_up.unsigned_abs()) {
            return Ok(of_batch);
        }
        // An edit of the size, or another network, starts the memory anew.
        let shape = [self.size, dimension];
        let fits = state::buffer("memory-embeddings").map(|kept| kept.shape() == shape);
        let kept = || {
            let buffers = state::buffer("memory-embeddings").zip(state::buffer("memory-labels"));
            buffers.filter(|_| fits == Some(true))
        };
        let total = match kept() {
            None => of_batch,
            Some((embeddings, labels)) => of_batch + loss(&Pairs::with_memory(batch, embeddings, &labels))?,
        };
        let (embeddings, labels) = kept().unwrap_or_else(|| {
            let labels = Tensor::full(&[self.size], EMPTY).to_dtype(Dtype::Integer);
            (Tensor::zeros(&shape, Dtype::Float), labels)
        });
        let keep = if fits == Some(false) { state::replace_buffer } else { state::set_buffer };
        let position = state::buffer("memory-position").filter(|_| fits == Some(true));
        let position = position.unwrap_or_else(|| Tensor::arange(0, 1));
        // Places from `position` on, round the end.
        let places = Tensor::arange(0, size) + &position;
        let places = &places - places.ge(self.size as f64) * self.size as f64;
        let places = places.to_dtype(Dtype::Integer);
        keep("memory-embeddings", &embeddings.index_copy(0, &places, &batch.embeddings().detach()));
        keep("memory-labels", &labels.index_copy(0, &places, &batch.labels()));
        let next = places.narrow(0, size - 1, 1) + 1.0;
        let next = &next - next.ge(self.size as f64) * self.size as f64;
        keep("memory-position", &next.to_dtype(Dtype::Integer));
        Ok(total)
    }
}

impl Parameter for CrossBatchMemory {
    type Element = ();

    fn describe(name: &str, summary: &str, default: Self, _: impl RangeBounds<()>) -> Vec<describe::Parameter> {
        let mut all = i64::describe(&format!("{name}-size"), summary, default.size, 0..);
        let warm_up = "Steps of the run before the memory begins to fill.";
        all.extend(i64::describe(&format!("{name}-warm-up"), warm_up, default.warm_up, 0..));
        all
    }

    fn read(params: &Params, name: &str) -> Result<Self> {
        let read = |part| i64::read(params, &format!("{name}-{part}"));
        Ok(Self { size: read("size")?, warm_up: read("warm-up")? })
    }
}
