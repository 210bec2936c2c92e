//! With unit embeddings `f` of the student, the scores `S_ij = -alpha |f_i - f_j|^beta`, and `pi_1, .., pi_n` the n
//! images nearest to `i` by the teacher, nearest first and without `i` itself:
//! `-mean_i sum_{r=1..n} (S_{i pi_r} - log sum_{q=r..n} exp(S_{i pi_q}))`, the likelihood of the teacher's order.
//!
//! This is the hard variant: one order instead of a distribution over orders. The authors add a triplet loss, an
//! objective of its own here.

use lossmith_sdk::prelude::*;

use crate::teacher::teacher;

strategy! {
    /// DarkRank, Chen, Wang and Zhang 2018, the hard variant: likelihood of the teacher's ranking.
    pub struct DarkRank as "dark-rank" {
        /// Scale of a score.
        alpha: f64 = 3.0, range above(0.0);
        /// Exponent of a distance.
        beta: f64 = 3.0, range above(0.0);
        /// n, the length of a ranking; below the batch's size.
        length: i64 = 4, range 1..;
    }
}

impl Loss for DarkRank {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let teacher = teacher(batch)?;
        let size = batch.size();
        if self.length >= size {
            let others = size - 1;
            return Err(Error(format!(
                "`length` is {}, but an image has {others} others in a batch of {size}",
                self.length
            )));
        }
        let itself = Tensor::eye(size).gt(0.0);
        let cosines = teacher.cosine_matrix(&teacher).masked_fill(&itself, f64::NEG_INFINITY);
        // A sort, not a selection: equal similarities keep the order of the batch.
        let (_, ranked) = cosines.sort(1, true);
        let distances = Distance::euclidean().matrix(&batch.embeddings());
        let scores = distances.gather(1, &ranked.narrow(1, 0, self.length)).pow(self.beta) * -self.alpha;
        // The last of a ranking is certain.
        let tails: Vec<_> =
            (0..self.length - 1).map(|rank| scores.narrow(1, rank, self.length - rank).logsumexp(1)).collect();
        let mut total = scores.narrow(1, self.length - 1, 1).sum(1) - scores.sum(1);
        for tail in tails {
            total = total + tail;
        }
        Ok(total.mean(ALL))
    }
}
