//! What the relaxed losses share.

use lossmith_sdk::off_diagonal;
use lossmith_sdk::prelude::*;

/// Below any distance that means something: identical embeddings have the row mean 0.
const SMALL: f64 = 1e-12;

/// Euclidean distances of the student, each row divided by its mean: B x B, not symmetric. The zero on the diagonal
/// counts in the mean, and the gradient flows through the mean.
pub(crate) fn relative_distances(batch: &Batch) -> Tensor {
    let student = batch.embeddings();
    let distances = student.distance_matrix(&student);
    let means = distances.mean(keep(1)).at_least(SMALL);
    distances / means
}

/// The parts `pull`, `w r^2`, and `push`, `(1 - w) [delta - r]_+^2`, and their sum, off the diagonal; for relations `w`
/// of the teacher from 0 to 1 and relative distances `r` of the student, B x B.
pub(crate) fn pair_losses(relations: &Tensor, relative: &Tensor, delta: f64, divisor: f64) -> PairLosses<'static> {
    let pairs = off_diagonal(relations.size(0));
    let attract = relations * &pairs;
    let repel = pairs - &attract;
    let pull = relative.square() * attract;
    let push = (delta - relative).relu().square() * repel;
    PairLosses::new(&(&pull + &push), divisor).with_part("pull", &pull).with_part("push", &push)
}
