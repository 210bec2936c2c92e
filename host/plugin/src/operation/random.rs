//! Random tensors: made on the CPU, of streams that depend on the run's seed, the step, the slot and the draw.

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tch::kind::Element;
use tch::{Device, Kind, TchError, Tensor};

use super::creation::of_list;
use crate::random_streams::{Purpose, generator, normal};

/// What the streams of a call's random numbers depend on, besides the number of the draw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Streams {
    /// Seed of the run.
    pub(crate) seed: u64,
    /// Number of the slot in the run.
    pub(crate) slot: u64,
    /// Step of the run.
    pub(crate) step: u64,
}

/// What the numbers of a draw are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Distribution {
    /// Floats in [0, 1).
    Uniform,
    /// Standard normal floats.
    Normal,
    /// Integers from `low` to below `high`.
    Integers { low: i64, high: i64 },
    /// 0 to below the only size of the shape, in random order.
    Permutation,
}

/// A draw of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draw {
    /// How many draws of the call came before it.
    pub(crate) number: u64,
    pub(crate) distribution: Distribution,
    pub(crate) shape: Vec<i64>,
    /// Dtype and device.
    pub(crate) options: (Kind, Device),
}

impl Draw {
    /// Its name in the contract.
    pub(crate) fn name(&self) -> &'static str {
        match self.distribution {
            Distribution::Uniform => "random.uniform",
            Distribution::Normal => "random.normal",
            Distribution::Integers { .. } => "random.integers",
            Distribution::Permutation => "random.permutation",
        }
    }

    /// Draws the numbers.
    pub(crate) fn run(&self, streams: Streams) -> Result<Tensor, TchError> {
        let Streams { seed, slot, step } = streams;
        let mut random = generator(seed, Purpose::Plugin, step, slot);
        random.set_stream(self.number);
        match self.distribution {
            // 24 bits, so that the numbers are the same in 32 and 64 bits.
            Distribution::Uniform => self.each(|| f64::from(random.next_u32() >> 8) / f64::from(1 << 24)),
            Distribution::Normal => self.each(|| normal(&mut random)),
            Distribution::Integers { low, high } => {
                let span = u128::from(high.abs_diff(low));
                // The high word of a 128-bit product: uniform up to 2^-64 of the span.
                self.each(|| low.wrapping_add_unsigned(((u128::from(random.next_u64()) * span) >> 64) as u64))
            }
            Distribution::Permutation => self.order(&mut random),
        }
    }

    fn each<T: Element>(&self, mut one: impl FnMut() -> T) -> Result<Tensor, TchError> {
        let elements = self.shape.iter().map(|size| size.unsigned_abs()).product::<u64>();
        let data: Vec<T> = (0..elements).map(|_| one()).collect();
        of_list(&data, &self.shape, self.options)
    }

    fn order(&self, random: &mut ChaCha8Rng) -> Result<Tensor, TchError> {
        let mut order: Vec<i64> = (0..self.shape.iter().product()).collect();
        order.shuffle(random);
        of_list(&order, &self.shape, self.options)
    }
}
