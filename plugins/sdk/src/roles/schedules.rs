//! The role `schedule`.

use super::{describe, find};
use crate::bindings::exports::lossmith::plugin::schedule as host;
use crate::bindings::lossmith::plugin::context;
use crate::panic;
use crate::{Batch, Params, Progress, Result, Strategy};

/// Progress in, a threshold per slice out.
pub trait Schedule: Strategy {
    /// A finite threshold for each of the `batch.slice_count()` slices.
    fn thresholds(&self, batch: &Batch, progress: &Progress) -> Result<Vec<f64>>;
}

/// A schedule of a component.
pub type Entry = super::Entry<fn(&Params, &Batch, &Progress) -> Result<Vec<f64>>>;

/// The entry of `S`.
pub const fn entry<S: Schedule>() -> Entry {
    Entry {
        name: S::NAME,
        describe: || describe::<S>(super::Role::Schedule),
        run: |params, batch, progress| S::read(params)?.thresholds(batch, progress),
    }
}

impl<P: super::Plugin> host::Guest for P {
    fn thresholds(
        strategy: String,
        params: &context::Params,
        batch: &context::Batch,
        progress: &context::Progress,
    ) -> std::result::Result<Vec<f64>, String> {
        panic::install();
        let run = find("schedule", P::schedules(), &strategy)?.run;
        run(&Params(params), &Batch(batch), &Progress(progress)).map_err(|error| error.0)
    }
}
