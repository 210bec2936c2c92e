//! What a strategy is told.

use crate::bindings::lossmith::plugin::context as host;
use crate::{ALL, Dtype, Tensor};

/// One batch of B images with embeddings of dimension D.
#[derive(Debug)]
pub struct Batch<'a>(pub(crate) &'a host::Batch);

impl Batch<'_> {
    /// Embeddings, B x D, as the network gives them (not normalised). The gradient flows into the network.
    pub fn embeddings(&self) -> Tensor {
        Tensor::from(self.0.embeddings())
    }

    /// Class of each image, B, integers from 0 to [`class_count`](Self::class_count) - 1. A fault in a fusion.
    pub fn labels(&self) -> Tensor {
        Tensor::from(self.0.labels())
    }

    /// B.
    pub fn size(&self) -> i64 {
        self.0.size()
    }

    /// D.
    pub fn dimension(&self) -> i64 {
        self.0.dimension()
    }

    /// Number of training classes.
    pub fn class_count(&self) -> i64 {
        self.0.class_count()
    }

    /// Images of the class that has most of them in this batch: an image has fewer positives. Waits for the device. A
    /// fault in a fusion.
    pub fn largest_class(&self) -> i64 {
        self.0.largest_class()
    }

    /// K, the number of equal slices of the embedding; 1 for a plain head.
    pub fn slice_count(&self) -> i64 {
        self.0.slice_count()
    }

    /// The K slices, each B x D/K.
    pub fn slices(&self) -> Vec<Tensor> {
        self.0.slices().into_iter().map(Tensor::from).collect()
    }

    /// The schedule's threshold for each slice; empty when the objective has no schedule.
    pub fn thresholds(&self) -> Vec<f64> {
        self.0.thresholds()
    }

    /// The teacher's embeddings, B x D', without gradient; none without a teacher.
    pub fn teacher(&self) -> Option<Tensor> {
        self.0.teacher().map(Tensor::from)
    }

    /// The backbone's last feature map, B x C x H x W; none where it gives none. The gradient flows into the network.
    pub fn feature_map(&self) -> Option<Tensor> {
        self.0.feature_map().map(Tensor::from)
    }

    /// The teacher's last feature map, B x C' x H' x W', without gradient; none without a teacher or where its
    /// embeddings come from the cache.
    pub fn teacher_feature_map(&self) -> Option<Tensor> {
        self.0.teacher_feature_map().map(Tensor::from)
    }

    /// What the objective's miner found; none without a miner.
    pub fn tuples(&self) -> Option<Tuples> {
        self.0.tuples().map(Tuples)
    }

    /// For each image how often it is in the tuples, divided by the largest count: B, float. All 1 without a miner, and
    /// where it found nothing.
    pub fn importance(&self) -> Tensor {
        self.share_of_largest(|tuples| {
            let mut lists = tuples.anchor_lists();
            lists.extend([tuples.positives(), tuples.negatives()]);
            lists
        })
    }

    /// As [`importance`](Self::importance), where an image counts as often as it is an anchor.
    pub fn anchor_importance(&self) -> Tensor {
        self.share_of_largest(Tuples::anchor_lists)
    }

    /// How often each image is in these lists of the tuples, divided by the largest count.
    fn share_of_largest(&self, lists: impl Fn(&Tuples) -> Vec<Tensor>) -> Tensor {
        let Some(tuples) = self.tuples() else {
            return Tensor::ones(&[self.size()], Dtype::Float);
        };
        let lists = lists(&tuples);
        let lists: Vec<_> = lists.iter().collect();
        let counts = Tensor::cat(&lists, 0).bincount(self.size()).to_float();
        let largest = counts.amax(ALL);
        (&counts + largest.eq(0.0)) / largest.at_least(1.0)
    }
}

/// Where the training is.
#[derive(Debug)]
pub struct Progress<'a>(pub(crate) &'a host::Progress);

impl Progress<'_> {
    /// Epoch, from 0.
    pub fn epoch(&self) -> u64 {
        self.0.epoch()
    }

    /// Epochs that the run is set to take.
    pub fn epochs(&self) -> u64 {
        self.0.epochs()
    }

    /// Step of the whole run, from 0.
    pub fn step(&self) -> u64 {
        self.0.step()
    }

    /// Steps in an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.0.steps_per_epoch()
    }

    /// Whether this is the last step of an epoch.
    pub fn is_last_step_of_epoch(&self) -> bool {
        self.0.is_last_step_of_epoch()
    }

    /// Last value of a metric of this run, for instance `validation/map-at-r`; none if there is none yet. `loss/active`
    /// is what the loss of this objective reported as `active`.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.0.metric(name)
    }
}

/// Tuples of positions in the batch: vectors of integers from 0 to B - 1.
#[derive(Debug)]
pub struct Tuples(pub(crate) host::Tuples);

impl Tuples {
    /// Triplets: `anchors[i]`, `positives[i]` and `negatives[i]` belong together.
    pub fn triplets(anchors: &Tensor, positives: &Tensor, negatives: &Tensor) -> Self {
        Self(host::Tuples::triplets(anchors.handle(), positives.handle(), negatives.handle()))
    }

    /// Positive pairs (`anchors[i]`, `positives[i]`) and negative pairs (`negative_anchors[j]`, `negatives[j]`).
    pub fn pairs(anchors: &Tensor, positives: &Tensor, negative_anchors: &Tensor, negatives: &Tensor) -> Self {
        Self(host::Tuples::pairs(anchors.handle(), positives.handle(), negative_anchors.handle(), negatives.handle()))
    }

    /// Whether these are triplets; else positive and negative pairs.
    pub fn are_triplets(&self) -> bool {
        self.0.kind() == host::TupleKind::Triplets
    }

    /// First image of each triplet or positive pair.
    pub fn anchors(&self) -> Tensor {
        Tensor::from(self.0.anchors())
    }

    /// The image of the same class.
    pub fn positives(&self) -> Tensor {
        Tensor::from(self.0.positives())
    }

    /// First image of each triplet or negative pair.
    pub fn negative_anchors(&self) -> Tensor {
        Tensor::from(self.0.negative_anchors())
    }

    /// The image of another class.
    pub fn negatives(&self) -> Tensor {
        Tensor::from(self.0.negatives())
    }

    /// The anchors of triplets, or of positive pairs and of negative pairs.
    fn anchor_lists(&self) -> Vec<Tensor> {
        if self.are_triplets() { vec![self.anchors()] } else { vec![self.anchors(), self.negative_anchors()] }
    }
}

/// Pair losses of an embedding transfer: made by a transfer, weighed by a balance.
#[derive(Debug)]
pub struct PairLosses<'a>(Held<'a>);

/// A transfer's own, or lent to a balance.
#[derive(Debug)]
enum Held<'a> {
    Own(host::PairLosses),
    Lent(&'a host::PairLosses),
}

impl PairLosses<'static> {
    /// The loss of each ordered pair, `values`, B x B, 0 on the diagonal if that does not count. The unbalanced loss is
    /// the sum of `values` divided by `divisor`. A fault: not a square matrix, or `divisor` not above 0.
    pub fn new(values: &Tensor, divisor: f64) -> Self {
        Self(Held::Own(host::PairLosses::new(values.handle(), divisor)))
    }

    /// Adds a matrix, B x B, that the values were made of, for balances that need to know it. `pull` and `push` add up
    /// to the values; `teacher-rows` and `student-rows` are distributions t and s of which the values are
    /// `t log(t / s)`. A fault: another shape, or a part of this name is there.
    pub fn with_part(self, name: &str, value: &Tensor) -> Self {
        self.host().add_part(name, value.handle());
        self
    }

    /// The handle of pair losses that were made here; none of lent ones.
    pub(crate) fn into_handle(self) -> Option<host::PairLosses> {
        match self.0 {
            Held::Own(own) => Some(own),
            Held::Lent(_) => None,
        }
    }
}

impl<'a> PairLosses<'a> {
    pub(crate) fn lent(pairs: &'a host::PairLosses) -> Self {
        Self(Held::Lent(pairs))
    }

    fn host(&self) -> &host::PairLosses {
        match &self.0 {
            Held::Own(own) => own,
            Held::Lent(lent) => lent,
        }
    }

    /// The loss of each ordered pair, B x B. Differentiable.
    pub fn values(&self) -> Tensor {
        Tensor::from(self.host().values())
    }

    /// The unbalanced loss is the sum of the values divided by this.
    pub fn divisor(&self) -> f64 {
        self.host().divisor()
    }

    /// A matrix that the values were made of, see [`with_part`](PairLosses::with_part); none if the transfer gave none
    /// of this name.
    pub fn part(&self, name: &str) -> Option<Tensor> {
        self.host().part(name).map(Tensor::from)
    }

    /// B x B mask of pairs of one class, without the diagonal.
    pub fn same_class(&self) -> Tensor {
        Tensor::from(self.host().same_class())
    }

    /// B x B mask of pairs of two classes.
    pub fn different_class(&self) -> Tensor {
        Tensor::from(self.host().different_class())
    }
}
