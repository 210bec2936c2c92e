//! The role `balance`.

use super::{describe, find};
use crate::bindings::exports::lossmith::plugin::balance as host;
use crate::bindings::lossmith::plugin::{context, tensor};
use crate::panic;
use crate::{Batch, PairLosses, Params, Progress, Result, Strategy, Tensor};

/// Pair losses in, weighted scalar out.
pub trait Balance: Strategy {
    /// Weighs pair losses into a float scalar.
    fn weigh(&self, pairs: &PairLosses, batch: &Batch, progress: &Progress) -> Result<Tensor>;
}

/// A balance of a component.
pub type Entry = super::Entry<fn(&Params, &PairLosses, &Batch, &Progress) -> Result<Tensor>>;

/// The entry of `S`.
pub const fn entry<S: Balance>() -> Entry {
    Entry {
        name: S::NAME,
        describe: || describe::<S>(super::Role::Balance),
        run: |params, pairs, batch, progress| S::read(params)?.weigh(pairs, batch, progress),
    }
}

impl<P: super::Plugin> host::Guest for P {
    fn weigh(
        strategy: String,
        params: &context::Params,
        pairs: &context::PairLosses,
        batch: &context::Batch,
        progress: &context::Progress,
    ) -> std::result::Result<tensor::Tensor, String> {
        panic::install();
        let run = find("balance", P::balances(), &strategy)?.run;
        run(&Params(params), &PairLosses::lent(pairs), &Batch(batch), &Progress(progress))
            .map(Tensor::into_handle)
            .map_err(|error| error.0)
    }
}
