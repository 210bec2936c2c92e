//! Checks that results have the dtype, shape and size that the contract asks for.

use std::sync::Arc;

use lossmith_torch_shim::is_free_to_read;
use tch::{Device, Kind, TchError, Tensor};

use crate::context::{Input, PairLosses, Tuples};
use crate::dtype::dtype_name;
use crate::error::{Cause, ResultFault};
use crate::limits::Limits;

/// Largest threshold in absolute value: squares of it, and sums of them, are finite in 32 bits.
const THRESHOLD: f64 = 1e12;
/// A miner of a small batch may draw a tuple again and again, up to so many.
const DRAWN: u64 = 1 << 20;

/// What a call comes to.
pub(super) type Outcome<T> = Result<T, Cause>;

/// What results of a call must be.
pub(super) struct Expected {
    /// The dtype that the contract calls float.
    float: Kind,
    /// Whether a gradient must flow through them.
    gradient: bool,
    limits: Arc<Limits>,
}

impl Expected {
    pub(super) fn new(input: &Input, float: Kind, limits: &Arc<Limits>) -> Self {
        let gradient = input.embeddings.as_ref().is_some_and(Tensor::requires_grad);
        Self { float, gradient, limits: Arc::clone(limits) }
    }

    /// A float scalar, finite as far as can be told without waiting for a device, with gradient.
    pub(super) fn scalar(&self, value: Tensor) -> Outcome<Tensor> {
        if value.numel() != 1 {
            return Err(Cause::Result(ResultFault::NotScalar(value.size())));
        }
        self.differentiable(&value)?;
        let value =
            if value.dim() == 0 { value } else { value.f_reshape([0_i64; 0]).map_err(|error| broken(&error))? };
        // On another device this would wait for it; there the trainer looks once per logging interval.
        if is_free_to_read(&value) {
            let number = value.f_double_value(&[]).map_err(|error| broken(&error))?;
            if !number.is_finite() {
                return Err(Cause::Result(ResultFault::NotFinite(number)));
            }
        }
        Ok(value)
    }

    pub(super) fn differentiable(&self, value: &Tensor) -> Outcome<()> {
        let found = value.kind();
        if found != self.float {
            return Err(Cause::Result(ResultFault::Dtype { found: dtype_name(found).to_owned(), expected: "float" }));
        }
        if self.gradient && !value.requires_grad() {
            return Err(Cause::Result(ResultFault::NoGradient));
        }
        Ok(())
    }

    /// One embedding of so many images, with so many columns if these are known; finite as a scalar is.
    pub(super) fn fused(&self, fused: Tensor, size: i64, before: Option<i64>) -> Outcome<Tensor> {
        let found = fused.size();
        if found.len() != 2 || found.first() != Some(&size) {
            let expected = format!("[{size}, any]");
            return Err(Cause::Result(ResultFault::Shape { what: "a fused embedding", found, expected }));
        }
        let columns = found.get(1).copied().unwrap_or_default();
        let limit = self.limits.fused_columns;
        if columns.unsigned_abs() > limit {
            let wanted = Some(columns.unsigned_abs());
            return Err(Cause::Limit { limit: "fused-columns", value: limit, wanted, place: None });
        }
        if columns == 0 {
            let expected = format!("[{size}, 1 or more]");
            return Err(Cause::Result(ResultFault::Shape { what: "a fused embedding", found, expected }));
        }
        if let Some(before) = before.filter(|before| *before != columns) {
            return Err(Cause::Result(ResultFault::Columns { found: columns, before }));
        }
        self.differentiable(&fused)?;
        if is_free_to_read(&fused) {
            let foreign = fused.f_isfinite().and_then(|finite| fused.f_masked_select(&finite.f_logical_not()?));
            let foreign = foreign.map_err(|error| broken(&error))?;
            if foreign.numel() > 0 {
                let number = foreign.f_double_value(&[0]).map_err(|error| broken(&error))?;
                return Err(Cause::Result(ResultFault::NotFinite(number)));
            }
        }
        Ok(fused)
    }

    /// Pair losses of so many images, with gradient.
    pub(super) fn pair_losses(&self, pairs: PairLosses, size: i64) -> Outcome<PairLosses> {
        let found = pairs.values.size();
        if found != [size, size] {
            let fault = ResultFault::Shape { what: "pair losses", found, expected: format!("[{size}, {size}]") };
            return Err(Cause::Result(fault));
        }
        if !(pairs.divisor.is_finite() && pairs.divisor > 0.0) {
            return Err(Cause::Result(ResultFault::Divisor(pairs.divisor)));
        }
        self.differentiable(&pairs.values)?;
        Ok(pairs)
    }

    /// Tuples of positions among so many images.
    pub(super) fn tuples(&self, tuples: Tuples, size: i64) -> Outcome<Tuples> {
        countable(self.limits.tuples, &tuples, size.unsigned_abs())?;
        let last = size - 1;
        let ends = ends(&tuples).map_err(|error| broken(&error))?;
        match ends.into_iter().find(|&(low, high)| low < 0 || high > last) {
            Some((low, high)) => Err(Cause::Result(ResultFault::OutsideBatch { low, high, last })),
            None => Ok(tuples),
        }
    }

    /// A finite threshold for each of so many slices.
    pub(super) fn thresholds(&self, thresholds: Vec<f64>, expected: i64) -> Outcome<Vec<f64>> {
        if thresholds.len() as i64 != expected {
            return Err(Cause::Result(ResultFault::ThresholdCount { found: thresholds.len(), expected }));
        }
        match thresholds.iter().find(|threshold| !threshold.is_finite() || threshold.abs() > THRESHOLD) {
            Some(threshold) if threshold.is_finite() => Err(Cause::Result(ResultFault::Threshold(*threshold))),
            Some(threshold) => Err(Cause::Result(ResultFault::NotFinite(*threshold))),
            None => Ok(thresholds),
        }
    }
}

/// Whether tuples are as many as the limit and the batch allow.
fn countable(limit: u64, tuples: &Tuples, size: u64) -> Outcome<()> {
    let (what, power) = match tuples {
        Tuples::Triplets(_) => ("triplets", 3),
        Tuples::Pairs(_) => ("pairs of a kind", 2),
    };
    let different = size.saturating_pow(power);
    let found = tuples.parts().iter().map(|part| part.numel() as u64).max().unwrap_or_default();
    if found > limit {
        return Err(Cause::Limit { limit: "tuples", value: limit, wanted: Some(found), place: None });
    }
    if found > different.max(DRAWN) {
        return Err(Cause::Result(ResultFault::Tuples { what, found, different }));
    }
    Ok(())
}

/// The smallest and the largest position of each part that has any. A device is waited for once, not once for each.
fn ends(tuples: &Tuples) -> Result<Vec<(i64, i64)>, TchError> {
    let mut ends = Vec::new();
    for part in tuples.parts().iter().filter(|part| part.numel() > 0) {
        ends.extend([part.f_min()?, part.f_max()?]);
    }
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    let numbers = Vec::<i64>::try_from(&Tensor::f_stack(&ends, 0)?.f_to_device(Device::Cpu)?)?;
    Ok(numbers.chunks_exact(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?))).collect())
}

fn broken(error: &TchError) -> Cause {
    Cause::Operation { operation: "result", shapes: "the result".into(), message: error.to_string(), place: None }
}
