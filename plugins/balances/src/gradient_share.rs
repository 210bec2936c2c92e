//! As `sum`, with `alpha = rho / (1 - rho) * |g_E| / |g_I|`, where `g_I` and `g_E` are the gradients of the two halves,
//! without weights, with respect to the batch's embeddings: the intra half gets the share rho of `alpha |g_I| + |g_E|`,
//! whatever the transfer, the batch and the stage of training. Our reading of BET; the idea of balancing norms is that
//! of GradNorm, Chen et al. 2018.
//!
//! The norms are running averages. The first call measures both halves, each later one a half in turns, so that a step
//! takes one more backward pass through the transfer. A norm that is 0 (an empty half, identical embeddings) or not
//! finite is left out. While one of them is unknown, alpha is 1. Nothing waits for the device.
//!
//! Buffers: `norms` (of I and of E, 0 while unknown) and `turn` (1 for the half that is measured next, 0 for the
//! other).

use lossmith_sdk::prelude::*;

use crate::split::{Split, inter, weighted};

strategy! {
    /// The intra half gets the share rho of the gradient; our reading of BET, Yu 2024, after GradNorm, Chen et al.
    /// 2018.
    pub struct GradientShare as "gradient-share" {
        /// Share of the intra half.
        rho: f64 = 0.5, range between(0.0, 1.0);
        /// How much of an average norm stays when it is measured again.
        momentum: f64 = 0.9, range 0.0..1.0;
        /// Alpha is kept between 1 / bound and bound.
        bound: f64 = 1000.0, range 1.0..;
        /// What splits the pairs into halves.
        split: Split = Split::Label;
        /// Width of the teacher's relation, for `split = "teacher"`.
        sigma: f64 = 1.0, range above(0.0);
    }
}

impl Balance for GradientShare {
    fn weigh(&self, pairs: &PairLosses, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let intra = self.split.intra(pairs, batch, self.sigma)?;
        let norms = self.norms(pairs, batch, &intra);
        let (norm_intra, norm_inter) = (norms.select(0, 0), norms.select(0, 1));
        let ratio = norm_inter / norm_intra * (self.rho / (1.0 - self.rho));
        let known = norms.gt(0.0).all(0);
        let alpha = known.where_(&ratio.clamp(1.0 / self.bound, self.bound), &ratio.ones_like());
        report::metric("weight", &alpha);
        Ok(weighted(pairs, &(intra * (alpha - 1.0))))
    }
}

impl GradientShare {
    /// The average norms of the two halves, with what this call measures.
    fn norms(&self, pairs: &PairLosses, batch: &Batch, intra: &Tensor) -> Tensor {
        let inter = inter(intra);
        let embeddings = batch.embeddings();
        let measure = |half: &Tensor| (pairs.values() * half).gradient(&[&embeddings])[0].norm(2.0, ALL);
        let norms = match (state::buffer("norms"), state::buffer("turn")) {
            (Some(before), Some(turn)) => {
                let half = intra * turn.select(0, 0) + inter * turn.select(0, 1);
                let now = measure(&half).expand(&[2]);
                let average = before.gt(0.0).where_(&(&before * self.momentum + &now * (1.0 - self.momentum)), &now);
                state::set_buffer("turn", &turn.flip(&[0]));
                usable(&now).logical_and(&turn.gt(0.0)).where_(&average, &before)
            }
            _ => {
                let now = Tensor::stack(&[&measure(intra), &measure(&inter)], 0);
                state::set_buffer("turn", &Tensor::from_doubles(&[1.0, 0.0], &[2]));
                usable(&now).where_(&now, &now.zeros_like())
            }
        };
        state::set_buffer("norms", &norms);
        norms
    }
}

/// Where a norm can be averaged.
fn usable(norms: &Tensor) -> Tensor {
    norms.is_finite().logical_and(&norms.gt(0.0))
}
