//! With distances `d` and a boundary `b`, over all triplets
//! `sum ([d_ap - b + margin]_+ + [b - d_an + margin]_+) / (number of hinges above 0)`.
//!
//! What `reducer` reduces are the hinges, two of each triplet and both of its anchor, not their sums: the mean, for
//! instance, is over twice as many as there are triplets.
//!
//! `b` is a number, or the trainable parameter `beta` with one element (`learn-beta = "one"`) or one for each class (C,
//! `"per-class"`, that of the anchor's class); it begins at `beta`. Where it learns, `nu b` is added: with one boundary
//! once (and once more with a memory), with one for each class as another term of each triplet in the sum above,
//! whatever the reducer. Triplets are all there are or those that the miner found; they are counted in B x B matrices
//! and never listed. `beta` and `margin` are the paper's, `nu` is the reference's.

use lossmith_sdk::Reduction;
use lossmith_sdk::prelude::*;

choices! {
    /// Whether the boundary learns.
    pub enum Learning {
        /// It stays.
        No = "no",
        /// One for all classes.
        One = "one",
        /// One for each class.
        PerClass = "per-class",
    }
}

strategy! {
    /// Margin loss, Wu et al. 2017.
    pub struct Margin as "margin" {
        /// Boundary between the distances of positive and of negative pairs; with cosines, between cosines.
        beta: f64 = 1.2;
        /// How far from the boundary both should be.
        margin: f64 = 0.2;
        /// Whether the boundary is trained: no, one, per-class.
        learn_beta: Learning = Learning::No;
        /// Weight of a boundary that learns, in the loss.
        nu: f64 = 0.0;
        /// The boundary learns with the run's learning rate times this.
        learning_rate_multiplier: f64 = 1.0, range 0.0..;
        /// How embeddings are compared.
        distance: Distance = Distance::euclidean();
        /// How the hinges, two of each triplet, become one number.
        reducer: Reducer = Reducer::average_non_zero();
        /// Embeddings of earlier batches that the batch is compared with, too; 0 for none.
        memory: CrossBatchMemory = CrossBatchMemory::none();
    }
}

impl Loss for Margin {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        let beta = match self.learn_beta {
            Learning::No => Tensor::full(&[1], self.beta),
            Learning::One => self.parameter(1),
            Learning::PerClass => self.parameter(batch.class_count()),
        };
        let of_anchors = match self.learn_beta {
            Learning::PerClass => beta.index_select(0, &batch.labels()).unsqueeze(1),
            _ => beta,
        };
        // What a miner found as triplets is counted already.
        let counted = batch.tuples().is_some_and(|tuples| tuples.are_triplets());
        self.memory.add(batch, progress, |pairs| {
            // In how many triplets each pair is.
            let times = |others: &Tensor| match counted && !pairs.are_with_memory() {
                true => Tensor::full(&[1], 1.0),
                false => others.sum(keep(1)),
            };
            let (positive, negative) =
                (&pairs.positive * times(&pairs.negative), &pairs.negative * times(&pairs.positive));
            let matrix = self.distance.between(&pairs.anchors, pairs.references());
            let excess = if self.distance.is_similarity() { &of_anchors - matrix } else { matrix - &of_anchors };
            let (pull, push) = ((&excess + self.margin).relu(), (self.margin - excess).relu());
            let active = (pull.gt(0.0) * &positive + push.gt(0.0) * &negative).sum(ALL);
            let loss = match self.reducer.reduction {
                // As below, without the copies.
                Reduction::AverageNonZero => (pull * &positive + push * negative).sum(ALL) / active.at_least(1.0),
                _ => {
                    let (hinges, weights) = (Tensor::cat(&[&pull, &push], 1), Tensor::cat(&[&positive, &negative], 1));
                    self.reducer.reduce(&hinges, &weights, batch)?
                }
            };
            Ok(match self.learn_beta {
                Learning::No => loss,
                Learning::One => loss + (&of_anchors * self.nu).sum(ALL) * positive.any(ALL),
                Learning::PerClass => {
                    let of_triplets = (positive.sum(keep(1)) * &of_anchors).sum(ALL) * self.nu;
                    loss + of_triplets * active.gt(0.0) / active.at_least(1.0)
                }
            })
        })
    }
}

impl Margin {
    /// The trainable boundaries. An edit of their number starts them anew.
    fn parameter(&self, count: i64) -> Tensor {
        let initial = || Tensor::full(&[count], self.beta);
        let kept = state::parameter("beta", self.learning_rate_multiplier, initial);
        if kept.size(0) == count { kept } else { state::replace_parameter("beta", &initial()) }
    }
}
