//! With unit vectors `a` and `p`, embeddings `n` as the network gives them and `t = tan^2(degrees)`, the mean over
//! positive pairs of `log(1 + sum_n exp(4 t (a + p) . n - 2 (1 + t) a . p))`, where `n` is every image of another
//! class.
//!
//! That `n` is not normalised is the reference's; `normalize-negatives` normalises it, too. A miner chooses the
//! positive pairs only, each counts as often as it was found. The defaults are the reference's.
//!
//! One positive of each anchor at a time: O(B^2 P) time for P positives, and O(B^2) memory, as each round adds its part
//! of the derivative and keeps nothing for a backward pass. What the reducer divides by is known at the end.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{PositiveTable, Reduction, different_class};

strategy! {
    /// Angular loss, Wang et al. 2017, over all negatives of a positive pair.
    pub struct Angular as "angular" {
        /// Upper bound aimed at for the angle at the negative, in degrees.
        degrees: f64 = 40.0, range between(0.0, 90.0);
        /// Whether negatives are normalised like the positive pairs.
        normalize_negatives: bool = false;
        /// How the losses of the positive pairs become one number.
        reducer: Reducer = Reducer::mean();
    }
}

impl Loss for Angular {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let square = self.degrees.to_radians().tan().powi(2);
        let embeddings = batch.embeddings();
        let unit = embeddings.normalize(2.0, 1);
        let negatives = if self.normalize_negatives { &unit } else { &embeddings };
        let to_negatives = unit.matmul(&negatives.transpose(0, 1)) * (4.0 * square);
        let of_pairs = unit.matmul(&unit.transpose(0, 1)) * (-2.0 * (1.0 + square));
        let (products, pulls) = (to_negatives.detach(), of_pairs.detach());
        let pairs = PairWeights::of(batch);
        let different = different_class(&batch.labels());
        let positive = pairs.positive.gt(0.0);
        // A miner may have chosen fewer.
        let table = match batch.tuples() {
            Some(_) => PositiveTable::of(&positive),
            None => PositiveTable::of_width(&positive, batch.largest_class() - 1),
        };
        let all = pairs.positive.sum(ALL);
        let weights = match self.reducer.reduction {
            Reduction::PerAnchor => &pairs.positive / pairs.positive.sum(keep(1)).at_least(1.0),
            Reduction::ClassWeighted => pairs.positive * self.reducer.image_weights(batch)?.unsqueeze(1),
            _ => pairs.positive,
        };
        let mut loss = Tensor::zeros(&[], Dtype::Float);
        let mut above = Tensor::zeros(&[], Dtype::Float);
        let mut of_products = products.zeros_like();
        let mut of_pulls = pulls.zeros_like();
        for rank in 0..table.width() {
            let (positive, exists) = table.rank(rank);
            let column = positive.unsqueeze(1);
            let weight = weights.gather(1, &column) * exists.unsqueeze(1);
            let sums = &products + products.index_select(0, &positive);
            let logarithm = sums.logsumexp_where(&different, keep(1));
            let exponent = &logarithm + pulls.gather(1, &column);
            let losses = exponent.log1p_exp();
            let weight = match self.reducer.high_limit() {
                None => weight,
                Some(high) => weight * losses.gt(self.reducer.low_limit()).logical_and(&losses.lt(high)),
            };
            above = above + (losses.gt(0.0) * &weight).sum(ALL);
            loss = loss + (losses * &weight).sum(ALL);
            let slope = exponent.sigmoid() * weight;
            of_pulls = of_pulls.scatter_add(1, &column, &slope);
            let slopes = (sums - logarithm).at_most(0.0).exp() * &different * slope;
            of_products = (of_products + &slopes).index_add(0, &positive, &slopes);
        }
        let sum = loss.with_gradients(&[(&to_negatives, &of_products), (&of_pairs, &of_pulls)]);
        Ok(match self.reducer.reduction {
            Reduction::Sum => sum,
            Reduction::Divisor => sum / self.reducer.divisor,
            Reduction::PerAnchor => sum / batch.size().max(1) as f64,
            Reduction::Mean | Reduction::ClassWeighted => sum / all.at_least(1.0),
            Reduction::AverageNonZero | Reduction::Threshold => sum / above.at_least(1.0),
        })
    }
}
