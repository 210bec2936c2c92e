//! With squared distances `d^2`, for each image `a`, where `j` is every other image and `p` every other one of its
//! class, `-log(sum_p exp(-scale d_ap^2) / sum_j exp(-scale d_aj^2))`.
//!
//! An image that is alone in its class does not count. With a miner, an image weighs as often as it is in the tuples,
//! divided by the count of the image that is in most of them. `scale` is the reference's; the paper learns a linear map
//! instead.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{Formula, same_class};

strategy! {
    /// Neighbourhood component analysis, Goldberger et al. 2004, the logarithmic form.
    pub struct Nca as "nca" {
        /// What distances are multiplied by; higher is sharper.
        scale: f64 = 1.0, range above(0.0);
        /// How embeddings are compared.
        distance: Distance = Distance::new(Formula::SquaredEuclidean);
        /// How the losses of the images become one number.
        reducer: Reducer = Reducer::mean();
    }
}

/// Far below every logit, and finite.
const NOTHING: f64 = -1e30;
/// Between unit vectors logits differ by at most 4 scale, and `exp(-80)` is a number in 32 bits.
const LARGEST_SCALE: f64 = 20.0;

impl Loss for Nca {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let embeddings = batch.embeddings();
        let of_unit_vectors = self.distance.normalize && self.distance.formula == Formula::SquaredEuclidean;
        let logits = match of_unit_vectors {
            // d^2 is 2 - 2 cos, and the 2 is in both sums.
            true => embeddings.cosine_matrix(&embeddings) * (2.0 * self.scale),
            false => self.distance.farness(&embeddings) * -self.scale,
        };
        // Added, the image itself has no share: faster than to choose by a mask.
        let logits = logits + Tensor::eye(batch.size()) * NOTHING;
        let same = same_class(&batch.labels());
        let alone = same.any(1).logical_not();
        let logarithms = if of_unit_vectors && self.scale <= LARGEST_SCALE {
            // Half the time of the other way, at B = 1024.
            (logits.softmax(1) * same.to_float()).sum(1).masked_fill(&alone, 1.0).log()
        } else {
            logits.log_softmax(1).logsumexp_where(&same, 1).masked_fill(&alone, 0.0)
        };
        self.reducer.reduce(&(-logarithms * batch.importance()), &alone.logical_not().to_float(), batch)
    }
}
