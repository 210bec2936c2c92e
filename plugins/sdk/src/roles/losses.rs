//! The role `loss`.

use super::{describe, find};
use crate::bindings::exports::lossmith::plugin::loss as host;
use crate::bindings::lossmith::plugin::{context, tensor};
use crate::panic;
use crate::{Batch, Params, Progress, Result, Strategy, Tensor};

/// Embeddings and labels in, loss out.
pub trait Loss: Strategy {
    /// The loss of a batch: a float scalar through which a gradient flows.
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor>;
}

/// A loss of a component.
pub type Entry = super::Entry<fn(&Params, &Batch, &Progress) -> Result<Tensor>>;

/// The entry of `S`.
pub const fn entry<S: Loss>() -> Entry {
    Entry {
        name: S::NAME,
        describe: || describe::<S>(super::Role::Loss),
        run: |params, batch, progress| S::read(params)?.loss(batch, progress),
    }
}

impl<P: super::Plugin> host::Guest for P {
    fn compute(
        strategy: String,
        params: &context::Params,
        batch: &context::Batch,
        progress: &context::Progress,
    ) -> std::result::Result<tensor::Tensor, String> {
        panic::install();
        let run = find("loss", P::losses(), &strategy)?.run;
        run(&Params(params), &Batch(batch), &Progress(progress)).map(Tensor::into_handle).map_err(|error| error.0)
    }
}
