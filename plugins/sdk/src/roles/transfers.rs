//! The role `transfer`.

use super::{describe, find};
use crate::bindings::exports::lossmith::plugin::transfer as host;
use crate::bindings::lossmith::plugin::context;
use crate::panic;
use crate::{Batch, PairLosses, Params, Progress, Result, Strategy};

/// Teacher and student in, pair losses out.
pub trait Transfer: Strategy {
    /// The loss of each ordered pair of images for the student `batch.embeddings()` that learns from `batch.teacher()`.
    fn pair_losses(&self, batch: &Batch, progress: &Progress) -> Result<PairLosses<'static>>;
}

/// A transfer of a component.
pub type Entry = super::Entry<fn(&Params, &Batch, &Progress) -> Result<PairLosses<'static>>>;

/// The entry of `S`.
pub const fn entry<S: Transfer>() -> Entry {
    Entry {
        name: S::NAME,
        describe: || describe::<S>(super::Role::Transfer),
        run: |params, batch, progress| S::read(params)?.pair_losses(batch, progress),
    }
}

impl<P: super::Plugin> host::Guest for P {
    fn compute(
        strategy: String,
        params: &context::Params,
        batch: &context::Batch,
        progress: &context::Progress,
    ) -> std::result::Result<context::PairLosses, String> {
        panic::install();
        let run = find("transfer", P::transfers(), &strategy)?.run;
        run(&Params(params), &Batch(batch), &Progress(progress))
            .map_err(|error| error.0)?
            .into_handle()
            .ok_or_else(|| "a transfer makes pair losses of its own".to_owned())
    }
}
