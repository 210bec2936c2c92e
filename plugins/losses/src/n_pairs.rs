//! One positive pair (a_i, p_i) of each class, with similarities `s`: the mean over them of
//! `-log(exp(s(a_i, p_i)) / sum_j exp(s(a_i, p_j)))`.
//!
//! The pair of a class is the first that the miner found; without a miner its first two images in the batch. A distance
//! counts negative. The paper compares by inner products of embeddings that are not normalised (`normalize = false`)
//! and keeps them short by a penalty; the defaults are the reference's.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{Formula, same_class};

strategy! {
    /// N-pair loss, Sohn 2016.
    pub struct NPairs as "n-pairs" {
        /// How embeddings are compared.
        distance: Distance = Distance::new(Formula::Dot);
        /// How the losses of the pairs become one number.
        reducer: Reducer = Reducer::mean();
    }
}

impl Loss for NPairs {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let (embeddings, labels) = (batch.embeddings(), batch.labels());
        let (anchors, positives) = match batch.tuples() {
            Some(tuples) => (tuples.anchors(), tuples.positives()),
            None => {
                let pairs = same_class(&labels).nonzero();
                (pairs.select(1, 0), pairs.select(1, 1))
            }
        };
        let count = anchors.size(0);
        if count == 0 {
            return Ok(embeddings.sum(ALL) * 0.0);
        }
        // Equal labels keep their order: the first of each run is the first pair of its class.
        let (sorted, order) = labels.index_select(0, &anchors).sort(0, false);
        let changes = sorted.narrow(0, 1, count - 1).ne(&sorted.narrow(0, 0, count - 1)).nonzero().select(1, 0) + 1.0;
        let runs = Tensor::cat(&[&Tensor::arange(0, 1), &changes.to_dtype(Dtype::Integer)], 0);
        let chosen = order.index_select(0, &runs);
        let (anchors, positives) = (anchors.index_select(0, &chosen), positives.index_select(0, &chosen));
        let (queries, references) = (embeddings.index_select(0, &anchors), embeddings.index_select(0, &positives));
        let logits = -self.distance.signed(self.distance.between(&queries, &references));
        self.reducer.reduce_listed(&-logits.log_softmax(1).diagonal(), &anchors, batch)
    }
}
