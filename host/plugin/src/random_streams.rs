//! Seeded generators: the only source of randomness in the host.
//!
//! Every generator is a ChaCha8 stream whose 256-bit key is (seed, purpose, a, b). So the numbers of one purpose, epoch
//! and position do not depend on how many numbers anybody else drew, on threads, or on where a run was resumed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream of random numbers is for. Two purposes never share a stream. The numbers are part of every seeded
/// result, so none ever changes or is used again; 8 is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Initial weights of the network; `a` counts the tensors.
    Weights = 1,
    /// Which images belong to which part of the data.
    Split = 2,
    /// Order of classes and images; `a` is the epoch.
    Sampler = 3,
    /// Crops and flips; `a` is the epoch, `b` the position in it.
    Augmentation = 4,
    /// What plugins draw; `a` is the step of the run, `b` the slot.
    Plugin = 5,
    /// Initial centres of k-means.
    Clustering = 6,
    /// What libtorch's generator starts from before a TorchScript module is called; `a` counts the calls of a kind, `b`
    /// says which kind, and from its bit 32 on which part of a batch.
    Module = 7,
    /// Which images are drawn as queries in a picture of retrievals.
    Queries = 9,
    /// Batches that plugins are checked on.
    Check = 10,
    /// Values that a random search of a sweep tries.
    Search = 20,
}

/// A generator that depends on its four arguments and on nothing else.
#[must_use]
pub fn generator(seed: u64, purpose: Purpose, a: u64, b: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip([seed, purpose as u64, a, b]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// A standard normal number, by the method of Box and Muller; takes 128 bits of the stream.
pub fn normal(random: &mut impl Rng) -> f64 {
    // 53 bits in (0, 1]: the logarithm is finite.
    let mut unit = || ((random.next_u64() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
    (-2.0 * unit().ln()).sqrt() * (std::f64::consts::TAU * unit()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_argument_changes_the_stream() {
        let mut first = [
            (0, Purpose::Sampler, 0, 0),
            (1, Purpose::Sampler, 0, 0),
            (0, Purpose::Split, 0, 0),
            (0, Purpose::Sampler, 1, 0),
            (0, Purpose::Sampler, 0, 1),
        ]
        .map(|(seed, purpose, a, b)| generator(seed, purpose, a, b).next_u64());
        first.sort_unstable();
        assert!(first.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn the_same_arguments_give_the_same_stream() {
        let draw = || generator(7, Purpose::Plugin, 3, 2).next_u64();
        assert_eq!(draw(), draw());
    }

    #[test]
    fn normal_numbers_have_mean_0_and_variance_1() {
        let mut random = generator(1, Purpose::Weights, 0, 0);
        let draws: Vec<f64> = (0..100_000).map(|_| normal(&mut random)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        // Four standard errors of each estimate.
        assert!(mean.abs() < 4.0 / (draws.len() as f64).sqrt(), "{mean}");
        assert!((variance - 1.0).abs() < 4.0 * (2.0 / draws.len() as f64).sqrt(), "{variance}");
    }
}
