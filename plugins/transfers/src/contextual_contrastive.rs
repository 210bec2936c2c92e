//! With unit embeddings `t` of the teacher, the relation `w = (w^P + w^C) / 2` of two images is half their similarity,
//! `w^P_ij = exp(-|t_i - t_j|^2 / sigma)`, and half the likeness of their neighbourhoods:
//!
//! - `N_k(i)`: the k images nearest to `i` by the teacher. An image is its own nearest, as in the authors' code.
//! - `R_i`: the images `j` of `N_k(i)` with `i` in `N_k(j)`.
//! - `w~_ij = |R_i n R_j| / |R_i|` for `j` in `R_i`, else 0.
//! - `w^_i`: the mean of the rows `w~_h` over the k/2 images `h` nearest to `i` (at least itself; k/2 rounds down).
//! - `w^C = (w^ + w^^T) / 2`.
//!
//! Then, with `r` as in `relaxed-contrastive`, `l_ij = w_ij r_ij^2 + (1 - w_ij) [delta - r_ij]_+^2` for `i != j`,
//! divided by B (B - 1). The authors rank two views of one image as equal; a batch does not tell views here, and they
//! are ranked as any two images are.

use lossmith_sdk::gaussian_matrix;
use lossmith_sdk::prelude::*;

use crate::relaxed;
use crate::teacher::teacher;

strategy! {
    /// Contextualised relaxed contrastive loss of STML, Kim et al. 2022. Its parts are `pull` and `push`.
    pub struct ContextualContrastive as "contextual-contrastive" {
        /// Width of the teacher's relation; larger takes more pairs for similar ones.
        sigma: f64 = 3.0, range above(0.0);
        /// Relative distance beyond which a pair is not pushed.
        delta: f64 = 1.0, range above(0.0);
        /// k, the size of a neighbourhood, the image itself counted; at most the batch's size.
        neighbours: i64 = 5, range 1..;
    }
}

impl Transfer for ContextualContrastive {
    fn pair_losses(&self, batch: &Batch, _: &Progress) -> Result<PairLosses<'static>> {
        let teacher = teacher(batch)?;
        let size = batch.size();
        if self.neighbours > size {
            return Err(Error(format!("`neighbours` is {}, but a batch has {size} images", self.neighbours)));
        }
        let similarities = gaussian_matrix(&teacher, self.sigma);
        let contexts = contexts(&similarities, self.neighbours);
        let relations = (similarities + contexts) / 2.0;
        let relative = relaxed::relative_distances(batch);
        let pairs = (size * (size - 1)).max(1);
        Ok(relaxed::pair_losses(&relations, &relative, self.delta, pairs as f64))
    }
}

/// `w^C`, B x B.
fn contexts(similarities: &Tensor, neighbours: i64) -> Tensor {
    let size = similarities.size(0);
    // A sort, not a selection: equal similarities keep the order of the batch.
    let (_, ranked) = (similarities + Tensor::eye(size)).sort(1, true);
    let nearest = |count: i64| {
        let members = Tensor::ones(&[size, count], Dtype::Float);
        Tensor::zeros(&[size, size], Dtype::Float).scatter_add(1, &ranked.narrow(1, 0, count), &members)
    };
    let near = nearest(neighbours);
    let reciprocal = near.transpose(0, 1) * near;
    // Rows and columns are alike in `reciprocal`, so that the product counts common members.
    let common = reciprocal.matmul(&reciprocal) * &reciprocal / reciprocal.sum(keep(1));
    let half = (neighbours / 2).max(1);
    let expanded = nearest(half).matmul(&common) / half as f64;
    (expanded.transpose(0, 1) + expanded) / 2.0
}
