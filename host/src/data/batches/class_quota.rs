//! Quotas of classes: how often each is drawn in an epoch, when larger classes are drawn more often.
//!
//! How often each class is drawn in the epoch is settled first, in whole numbers, and then the batches are drawn one by
//! one with the number of times that is left as the weight. All arithmetic is in whole numbers, so a quota is the
//! same everywhere.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use crate::data::ClassWeights;

/// The draws that are left of each class, and the batches that they are for.
pub(super) struct ClassQuota {
    left: Vec<u64>,
    batches: u64,
}

impl ClassQuota {
    /// A quota of `batches` batches with `per_batch` different classes each, at most as many as there are. Class `c`
    /// has `sizes[c]` images, at least one. It is drawn in proportion to its weight, up to the rounding, but at most
    /// once in a batch: what that takes from a class the others get.
    pub(super) fn draw(
        sizes: &[usize],
        weights: ClassWeights,
        per_batch: usize,
        batches: usize,
        random: &mut impl Rng,
    ) -> Self {
        let weights: Vec<u64> = sizes.iter().map(|size| weight(*size, weights)).collect();
        let batches = batches as u64;
        // Who would be in a batch more than once is in every batch.
        let mut always = vec![false; weights.len()];
        let (places, total) = loop {
            let places = (per_batch as u64).saturating_sub(always.iter().filter(|always| **always).count() as u64);
            let total: u128 = rest(&weights, &always).map(u128::from).sum();
            let mut changed = false;
            for (weight, always) in weights.iter().zip(&mut always).filter(|(_, always)| !**always) {
                *always = u128::from(*weight) * u128::from(places) > total;
                changed |= *always;
            }
            if !changed {
                break (places, total);
            }
        };
        // The classes lie side by side on a line, each as long as its share, and are counted by marks at equal
        // distances from a random start. So a class gets its share rounded up or down, and all together get exactly
        // what there is.
        let mut left = vec![batches; weights.len()];
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.shuffle(random);
        let start = if total > 0 { random.random_range(0..total) } else { 0 };
        let due = u128::from(places) * u128::from(batches);
        let mut end = 0_u128;
        for class in order {
            let (Some(weight), Some(false), Some(left)) = (weights.get(class), always.get(class), left.get_mut(class))
            else {
                continue;
            };
            let marks = |end: u128| (end * due + start) / total;
            let before = marks(end);
            end += u128::from(*weight);
            *left = (marks(end) - before) as u64;
        }
        Self { left, batches }
    }

    /// The classes of the next batch, all different.
    pub(super) fn deal(&mut self, count: usize, random: &mut impl Rng) -> Vec<usize> {
        // A class that is due in every batch that is left cannot wait.
        let mut hand: Vec<usize> =
            (0..).zip(&self.left).filter(|(_, left)| **left >= self.batches).map(|(c, _)| c).collect();
        let mut waiting: Vec<(usize, u64)> = (0..)
            .zip(&self.left)
            .filter(|(_, left)| (1..self.batches).contains(*left))
            .map(|(c, left)| (c, *left))
            .collect();
        while hand.len() < count {
            let total: u64 = waiting.iter().map(|(_, left)| left).sum();
            if total == 0 {
                break;
            }
            let mut mark = random.random_range(0..total);
            let drawn = waiting.iter().position(|(_, left)| match mark.checked_sub(*left) {
                Some(beyond) => {
                    mark = beyond;
                    false
                }
                None => true,
            });
            let Some(place) = drawn else { break };
            hand.push(waiting.remove(place).0);
        }
        for class in &hand {
            if let Some(left) = self.left.get_mut(*class) {
                *left = left.saturating_sub(1);
            }
        }
        self.batches = self.batches.saturating_sub(1);
        hand
    }
}

/// The weights of the classes that are not in every batch.
fn rest<'a>(weights: &'a [u64], always: &'a [bool]) -> impl Iterator<Item = u64> {
    weights.iter().zip(always).filter(|(_, always)| !**always).map(|(weight, _)| *weight)
}

/// The weight of a class of `size` images.
fn weight(size: usize, weights: ClassWeights) -> u64 {
    let size = size as u64;
    match weights {
        ClassWeights::Uniform => 1,
        // With 16 binary digits after the point.
        ClassWeights::SquareRoot => (size.min(u64::from(u32::MAX)) << 32).isqrt(),
        ClassWeights::Frequency => size,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use lossmith_plugin::random_streams::{Purpose, generator};

    /// How often each class is drawn in an epoch; checks every batch.
    fn counts(sizes: &[usize], weights: ClassWeights, per_batch: usize, batches: usize, seed: u64) -> Vec<usize> {
        let mut random = generator(seed, Purpose::Sampler, 0, 0);
        let mut quota = ClassQuota::draw(sizes, weights, per_batch, batches, &mut random);
        let mut counts = vec![0; sizes.len()];
        for _ in 0..batches {
            let hand = quota.deal(per_batch, &mut random);
            assert_eq!((hand.len(), hand.iter().collect::<BTreeSet<_>>().len()), (per_batch, per_batch));
            hand.into_iter().for_each(|class| counts[class] += 1);
        }
        counts
    }

    fn assert_near(found: &[usize], exact: &[f64]) {
        assert_eq!(found.len(), exact.len());
        for (found, exact) in found.iter().zip(exact) {
            assert!((*found as f64 - exact).abs() < 1.0, "{found}, expected {exact}");
        }
    }

    #[test]
    fn an_epoch_has_the_exact_proportion_up_to_the_rounding() {
        let sizes = [400, 100, 300, 200, 16, 64, 36];
        for seed in 0..20 {
            let sum = sizes.iter().sum::<usize>() as f64;
            let exact: Vec<f64> = sizes.iter().map(|size| 2.0 * 97.0 * *size as f64 / sum).collect();
            assert_near(&counts(&sizes, ClassWeights::Frequency, 2, 97, seed), &exact);
            let sum = sizes.iter().map(|size| (*size as f64).sqrt()).sum::<f64>();
            let exact: Vec<f64> = sizes.iter().map(|size| 3.0 * 97.0 * (*size as f64).sqrt() / sum).collect();
            // The largest class is due in less than every batch here.
            assert!(exact.iter().all(|count| *count < 97.0));
            assert_near(&counts(&sizes, ClassWeights::SquareRoot, 3, 97, seed), &exact);
            assert_near(&counts(&sizes, ClassWeights::Uniform, 3, 97, seed), &[3.0 * 97.0 / 7.0; 7]);
        }
    }

    #[test]
    fn a_class_is_in_a_batch_at_most_once() {
        for seed in 0..20 {
            // Of 3 places the first class would take 2.7; the others share the 2 that it leaves.
            let found = counts(&[900, 40, 30, 20, 10], ClassWeights::Frequency, 3, 50, seed);
            assert_near(&found, &[50.0, 40.0, 30.0, 20.0, 10.0]);
            assert_eq!(counts(&[900, 1, 5], ClassWeights::Frequency, 3, 10, seed), [10; 3]);
            assert_eq!(counts(&[900, 1, 5], ClassWeights::SquareRoot, 3, 10, seed), [10; 3]);
            assert_eq!(counts(&[7], ClassWeights::Frequency, 1, 4, seed), [4]);
        }
    }

    #[test]
    fn classes_meet_in_every_combination() {
        let mut random = generator(1, Purpose::Sampler, 0, 0);
        let mut quota = ClassQuota::draw(&[5; 6], ClassWeights::Frequency, 2, 300, &mut random);
        let pairs: BTreeSet<BTreeSet<usize>> =
            (0..300).map(|_| quota.deal(2, &mut random).into_iter().collect()).collect();
        assert_eq!(pairs.len(), 15);
    }

    #[test]
    fn a_small_class_is_drawn_in_some_epochs() {
        let drawn = (0..200).filter(|seed| counts(&[99, 99, 2], ClassWeights::Frequency, 1, 20, *seed)[2] > 0).count();
        // Due in every fifth epoch; four standard errors of 200 epochs are 23.
        assert!((17..=63).contains(&drawn), "{drawn}");
    }
}
