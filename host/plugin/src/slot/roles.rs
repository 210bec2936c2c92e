//! The calls of a strategy, one for each role.

use tch::{Device, Tensor};
use wasmtime::component::Resource;

use super::result::{broken, countable, differentiable, refused, scalar, stale, take};
use super::{Outcome, Setting, Slot};
use crate::Params;
use crate::context::{Input, PairLosses, Progress, Tuples};
use crate::error::{Cause, PluginError, ResultFault};
use crate::fault::cause;

/// Largest threshold in absolute value: squares of it, and sums of them, are finite in 32 bits.
const THRESHOLD: f64 = 1e12;

impl Slot {
    /// The loss of a batch: a float scalar with gradient.
    ///
    /// # Errors
    /// A fault of the plugin.
    pub fn loss(&mut self, input: Input, progress: &Progress) -> Result<Tensor, PluginError> {
        self.call(input, progress, |store, instance, plugin, strategy| {
            let guest = load(&plugin.roles.loss, |indices| indices.load(&mut *store, instance))?;
            let (params, batch, progress) = context_handles();
            let result = guest.call_compute(&mut *store, strategy, params, batch, progress);
            scalar(store, result)
        })
    }

    /// Tuples of a batch, all positions inside it.
    ///
    /// # Errors
    /// A fault of the plugin.
    pub fn mine(&mut self, input: Input, progress: &Progress) -> Result<Tuples, PluginError> {
        let size = input.embeddings.as_ref().map_or(0, |x| x.size().first().copied().unwrap_or_default());
        let last = size - 1;
        self.call(input, progress, |store, instance, plugin, strategy| {
            let guest = load(&plugin.roles.miner, |indices| indices.load(&mut *store, instance))?;
            let (params, batch, progress) = context_handles();
            let result = guest.call_mine(&mut *store, strategy, params, batch, progress);
            let handle = refused(store, result)?;
            let tuples = store.data_mut().tuples.take(handle.rep()).map_err(stale)?;
            countable(store.data(), &tuples, size.unsigned_abs())?;
            for part in tuples.parts().iter().filter(|part| part.numel() > 0) {
                let bound = |end: Result<Tensor, tch::TchError>| end.and_then(|end| end.f_int64_value(&[]));
                let (low, high) = (bound(part.f_min()), bound(part.f_max()));
                let (low, high) = low.and_then(|low| Ok((low, high?))).map_err(|error| broken(&error))?;
                if low < 0 || high > last {
                    return Err(Cause::Result(ResultFault::OutsideBatch { low, high, last }));
                }
            }
            Ok(tuples)
        })
    }

    /// Pair losses of a batch, B x B with gradient.
    ///
    /// # Errors
    /// A fault of the plugin.
    pub fn transfer(&mut self, input: Input, progress: &Progress) -> Result<PairLosses, PluginError> {
        let size = input.embeddings.as_ref().map_or(0, |x| x.size().first().copied().unwrap_or_default());
        self.call(input, progress, |store, instance, plugin, strategy| {
            let guest = load(&plugin.roles.transfer, |indices| indices.load(&mut *store, instance))?;
            let (params, batch, progress) = context_handles();
            let result = guest.call_compute(&mut *store, strategy, params, batch, progress);
            let handle = refused(store, result)?;
            let pairs = store.data_mut().pair_losses.take(handle.rep()).map_err(stale)?;
            let found = pairs.values.size();
            if found != [size, size] {
                let fault = ResultFault::Shape { what: "pair losses", found, expected: format!("[{size}, {size}]") };
                return Err(Cause::Result(fault));
            }
            if !(pairs.divisor.is_finite() && pairs.divisor > 0.0) {
                return Err(Cause::Result(ResultFault::Divisor(pairs.divisor)));
            }
            differentiable(store.data(), &pairs.values)?;
            Ok(pairs)
        })
    }

    /// Weighs pair losses into a float scalar with gradient. True if it was made of their values alone, not of their
    /// parts.
    ///
    /// # Errors
    /// A fault of the plugin.
    pub fn balance(
        &mut self,
        pairs: PairLosses,
        input: Input,
        progress: &Progress,
    ) -> Result<(Tensor, bool), PluginError> {
        self.call(input, progress, |store, instance, plugin, strategy| {
            let guest = load(&plugin.roles.balance, |indices| indices.load(&mut *store, instance))?;
            let pairs = store.data_mut().push_pair_losses(pairs).map_err(|fault| cause(store, &fault))?;
            let lent = Resource::new_borrow(pairs.rep());
            let (params, batch, progress) = context_handles();
            let result = guest.call_weigh(&mut *store, strategy, params, lent, batch, progress);
            let value = scalar(store, result);
            // The host lent this one; it is not the plugin's to keep.
            let lent = store.data_mut().pair_losses.take(pairs.rep()).map_err(stale);
            Ok((value?, !lent?.parts_given))
        })
    }

    /// A finite threshold for each slice.
    ///
    /// # Errors
    /// A fault of the plugin.
    pub fn thresholds(&mut self, input: Input, progress: &Progress) -> Result<Vec<f64>, PluginError> {
        let expected = input.slice_count;
        self.call(input, progress, |store, instance, plugin, strategy| {
            let guest = load(&plugin.roles.schedule, |indices| indices.load(&mut *store, instance))?;
            let (params, batch, progress) = context_handles();
            let result = guest.call_thresholds(&mut *store, strategy, params, batch, progress);
            let thresholds = refused(store, result)?;
            if thresholds.len() as i64 != expected {
                return Err(Cause::Result(ResultFault::ThresholdCount { found: thresholds.len(), expected }));
            }
            match thresholds.iter().find(|threshold| !threshold.is_finite() || threshold.abs() > THRESHOLD) {
                Some(threshold) if threshold.is_finite() => Err(Cause::Result(ResultFault::Threshold(*threshold))),
                Some(threshold) => Err(Cause::Result(ResultFault::NotFinite(*threshold))),
                None => Ok(thresholds),
            }
        })
    }

    /// One embedding per image, B x D'.
    ///
    /// # Errors
    /// A fault of the plugin.
    pub fn fuse(&mut self, input: Input, progress: &Progress) -> Result<Tensor, PluginError> {
        let sizes = input.embeddings.as_ref().map_or_else(Vec::new, Tensor::size);
        let (size, dimension) = (sizes.first().copied().unwrap_or_default(), sizes.get(1).copied().unwrap_or_default());
        let like = [dimension, input.slice_count];
        let before = self.fused.filter(|(known, _)| *known == like).map(|(_, columns)| columns);
        let fused = self.call(input, progress, |store, instance, plugin, strategy| {
            let guest = load(&plugin.roles.fusion, |indices| indices.load(&mut *store, instance))?;
            let (params, batch, progress) = context_handles();
            let result = guest.call_fuse(&mut *store, strategy, params, batch, progress);
            let fused = take(store, result)?;
            let found = fused.size();
            if found.len() != 2 || found.first() != Some(&size) {
                let expected = format!("[{size}, any]");
                return Err(Cause::Result(ResultFault::Shape { what: "a fused embedding", found, expected }));
            }
            let columns = found.get(1).copied().unwrap_or_default();
            let limit = store.data().limits.fused_columns;
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
            differentiable(store.data(), &fused)?;
            if fused.device() == Device::Cpu {
                let foreign = fused.f_isfinite().and_then(|finite| fused.f_masked_select(&finite.f_logical_not()?));
                let foreign = foreign.map_err(|error| broken(&error))?;
                if foreign.numel() > 0 {
                    let number = foreign.f_double_value(&[0]).map_err(|error| broken(&error))?;
                    return Err(Cause::Result(ResultFault::NotFinite(number)));
                }
            }
            Ok(fused)
        })?;
        self.fused = Some((like, fused.size().get(1).copied().unwrap_or_default()));
        Ok(fused)
    }

    /// An error if fused embeddings of so many rows and columns are too much to hold.
    ///
    /// # Errors
    /// A fault of the plugin.
    pub fn joined(&self, rows: i64, columns: i64) -> Result<(), PluginError> {
        let Setting { float, limits, .. } = &self.setting;
        let elements = rows.unsigned_abs().saturating_mul(columns.unsigned_abs());
        let wanted = elements.saturating_mul(float.elt_size_in_bytes() as u64);
        if wanted <= limits.fused_bytes {
            return Ok(());
        }
        let limit = Cause::Limit { limit: "fused-bytes", value: limits.fused_bytes, wanted: Some(wanted), place: None };
        Err(self.blame(limit))
    }
}

/// Handles of params, batch and progress; there is one of each in a call.
fn context_handles() -> (Resource<Params>, Resource<Input>, Resource<Progress>) {
    (Resource::new_borrow(0), Resource::new_borrow(0), Resource::new_borrow(0))
}

fn load<I, G>(indices: &Option<I>, load: impl FnOnce(&I) -> wasmtime::Result<G>) -> Outcome<G> {
    let missing = || Cause::Invalid("the role is not exported".into());
    load(indices.as_ref().ok_or_else(missing)?).map_err(|fault| Cause::Invalid(format!("{fault:#}")))
}
