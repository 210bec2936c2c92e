//! Random numbers that depend on the run's seed, the epoch, the step and the objective, and on nothing else.

use crate::Tensor;
use crate::bindings::lossmith::plugin::random as host;

/// Uniform floats in [0, 1).
pub fn uniform(shape: &[i64]) -> Tensor {
    Tensor::from(host::uniform(shape))
}

/// Standard normal floats.
pub fn normal(shape: &[i64]) -> Tensor {
    Tensor::from(host::normal(shape))
}

/// Uniform integers from `low` to `high - 1`. A fault: `high` is not above `low`.
pub fn integers(shape: &[i64], low: i64, high: i64) -> Tensor {
    Tensor::from(host::integers(shape, low, high))
}

/// 0 to `count - 1` in random order.
pub fn permutation(count: i64) -> Tensor {
    Tensor::from(host::permutation(count))
}
