//! The calls of a strategy, one for each role.

use tch::Tensor;
use wasmtime::component::Resource;

use super::guest::context_handles;
use super::{Call, Setting, Slot};
use crate::context::{Input, PairLosses, Progress, Tuples};
use crate::error::{Cause, PluginError};
use crate::program::Returned;

impl Slot {
    /// The loss of a batch: a float scalar with gradient.
    ///
    /// # Errors
    /// A fault of the plugin.
    pub fn loss(&mut self, input: Input, progress: &Progress) -> Result<Tensor, PluginError> {
        self.call(
            Call::new(input, progress),
            |mut guest, _| {
                let role = guest
                    .load(|plugin| &plugin.roles.loss, |indices, store, instance| indices.load(store, instance))?;
                let (params, batch, progress) = context_handles();
                let answer = role.call_compute(&mut *guest.store, guest.strategy, params, batch, progress);
                guest.value(answer)
            },
            |expected, returned| match returned {
                Returned::Value(value) => expected.scalar(value),
                _ => Err(another_role()),
            },
        )
    }

    /// Tuples of a batch, all positions inside it.
    ///
    /// # Errors
    /// A fault of the plugin.
    pub fn mine(&mut self, input: Input, progress: &Progress) -> Result<Tuples, PluginError> {
        let size = batch_size(&input);
        self.call(
            Call::new(input, progress),
            |mut guest, _| {
                let role = guest
                    .load(|plugin| &plugin.roles.miner, |indices, store, instance| indices.load(store, instance))?;
                let (params, batch, progress) = context_handles();
                let answer = role.call_mine(&mut *guest.store, guest.strategy, params, batch, progress);
                guest.tuples(answer)
            },
            |expected, returned| match returned {
                Returned::Triplets(parts) => expected.tuples(Tuples::Triplets(parts), size),
                Returned::Pairs(parts) => expected.tuples(Tuples::Pairs(parts), size),
                _ => Err(another_role()),
            },
        )
    }

    /// Pair losses of a batch, B x B with gradient.
    ///
    /// # Errors
    /// A fault of the plugin.
    pub fn transfer(&mut self, input: Input, progress: &Progress) -> Result<PairLosses, PluginError> {
        let size = batch_size(&input);
        self.call(
            Call::new(input, progress),
            |mut guest, _| {
                let role = guest
                    .load(|plugin| &plugin.roles.transfer, |indices, store, instance| indices.load(store, instance))?;
                let (params, batch, progress) = context_handles();
                let answer = role.call_compute(&mut *guest.store, guest.strategy, params, batch, progress);
                guest.pair_losses(answer)
            },
            |expected, returned| match returned {
                Returned::PairLosses { values, divisor, parts } => {
                    expected.pair_losses(PairLosses { parts, ..PairLosses::new(values, divisor) }, size)
                }
                _ => Err(another_role()),
            },
        )
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
        self.call(
            Call { pairs: Some(pairs), ..Call::new(input, progress) },
            |mut guest, pairs| {
                let role = guest
                    .load(|plugin| &plugin.roles.balance, |indices, store, instance| indices.load(store, instance))?;
                let pairs = guest.lend(pairs.ok_or_else(another_role)?)?;
                let lent = Resource::new_borrow(pairs.rep());
                let (params, batch, progress) = context_handles();
                let answer = role.call_weigh(&mut *guest.store, guest.strategy, params, lent, batch, progress);
                guest.balanced(answer, &pairs)
            },
            |expected, returned| match returned {
                Returned::Balanced { value, by_values } => Ok((expected.scalar(value)?, by_values)),
                _ => Err(another_role()),
            },
        )
    }

    /// A finite threshold for each slice.
    ///
    /// # Errors
    /// A fault of the plugin.
    pub fn thresholds(&mut self, input: Input, progress: &Progress) -> Result<Vec<f64>, PluginError> {
        let slices = input.slice_count;
        self.call(
            Call::new(input, progress),
            |mut guest, _| {
                let role = guest
                    .load(|plugin| &plugin.roles.schedule, |indices, store, instance| indices.load(store, instance))?;
                let (params, batch, progress) = context_handles();
                let answer = role.call_thresholds(&mut *guest.store, guest.strategy, params, batch, progress);
                guest.thresholds(answer)
            },
            |expected, returned| match returned {
                Returned::Thresholds(thresholds) => expected.thresholds(thresholds, slices),
                _ => Err(another_role()),
            },
        )
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
        let fused = self.call(
            Call::new(input, progress),
            |mut guest, _| {
                let role = guest
                    .load(|plugin| &plugin.roles.fusion, |indices, store, instance| indices.load(store, instance))?;
                let (params, batch, progress) = context_handles();
                let answer = role.call_fuse(&mut *guest.store, guest.strategy, params, batch, progress);
                guest.value(answer)
            },
            |expected, returned| match returned {
                Returned::Value(fused) => expected.fused(fused, size, before),
                _ => Err(another_role()),
            },
        )?;
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

fn batch_size(input: &Input) -> i64 {
    input.embeddings.as_ref().map_or(0, |x| x.size().first().copied().unwrap_or_default())
}

fn another_role() -> Cause {
    Cause::Invalid("the result is that of another role".into())
}
