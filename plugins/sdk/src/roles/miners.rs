//! The role `miner`.

use super::{describe, find};
use crate::bindings::exports::lossmith::plugin::miner as host;
use crate::bindings::lossmith::plugin::context;
use crate::panic;
use crate::{Batch, Params, Progress, Result, Strategy, Tuples};

/// Embeddings and labels in, tuples out.
pub trait Miner: Strategy {
    /// Chooses tuples. The embeddings carry no gradient here.
    fn mine(&self, batch: &Batch, progress: &Progress) -> Result<Tuples>;
}

/// A miner of a component.
pub type Entry = super::Entry<fn(&Params, &Batch, &Progress) -> Result<Tuples>>;

/// The entry of `S`.
pub const fn entry<S: Miner>() -> Entry {
    Entry {
        name: S::NAME,
        describe: || describe::<S>(super::Role::Miner),
        run: |params, batch, progress| S::read(params)?.mine(batch, progress),
    }
}

impl<P: super::Plugin> host::Guest for P {
    fn mine(
        strategy: String,
        params: &context::Params,
        batch: &context::Batch,
        progress: &context::Progress,
    ) -> std::result::Result<context::Tuples, String> {
        panic::install();
        let run = find("miner", P::miners(), &strategy)?.run;
        run(&Params(params), &Batch(batch), &Progress(progress)).map(|tuples| tuples.0).map_err(|error| error.0)
    }
}
