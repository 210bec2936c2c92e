//! The role `fusion`.

use super::{describe, find};
use crate::bindings::exports::lossmith::plugin::fusion as host;
use crate::bindings::lossmith::plugin::{context, tensor};
use crate::panic;
use crate::{Batch, Params, Progress, Result, Strategy, Tensor};

/// Slices in, one embedding out.
pub trait Fusion: Strategy {
    /// One embedding per image, B x D', from `batch.slices()`. There are no labels, no teacher and no tuples.
    fn fuse(&self, batch: &Batch, progress: &Progress) -> Result<Tensor>;
}

/// A fusion of a component.
pub type Entry = super::Entry<fn(&Params, &Batch, &Progress) -> Result<Tensor>>;

/// The entry of `S`.
pub const fn entry<S: Fusion>() -> Entry {
    Entry {
        name: S::NAME,
        describe: || describe::<S>(super::Role::Fusion),
        run: |params, batch, progress| S::read(params)?.fuse(batch, progress),
    }
}

impl<P: super::Plugin> host::Guest for P {
    fn fuse(
        strategy: String,
        params: &context::Params,
        batch: &context::Batch,
        progress: &context::Progress,
    ) -> std::result::Result<tensor::Tensor, String> {
        panic::install();
        let run = find("fusion", P::fusions(), &strategy)?.run;
        run(&Params(params), &Batch(batch), &Progress(progress)).map(Tensor::into_handle).map_err(|error| error.0)
    }
}
