//! The instance of a plugin in a call: what it returns is taken from the store, and told to the recorder.

use tch::Tensor;
use wasmtime::Store;
use wasmtime::component::{Instance, Resource};

use super::result::Outcome;
use crate::Params;
use crate::component::Plugin;
use crate::context::{Input, PairLosses, Progress, Tuples};
use crate::error::{Cause, ResultFault};
use crate::fault::cause;
use crate::handles::StaleHandle;
use crate::host::Host;
use crate::printable::printable_lines;
use crate::program::Returned;

type Answer<T> = wasmtime::Result<Result<T, String>>;

/// An instance that is to be called once.
pub(super) struct Guest<'a> {
    pub(super) store: &'a mut Store<Host>,
    pub(super) instance: &'a Instance,
    pub(super) plugin: &'a Plugin,
    pub(super) strategy: &'a str,
}

impl Guest<'_> {
    /// The functions of a role.
    pub(super) fn load<I, G>(
        &mut self,
        indices: impl FnOnce(&Plugin) -> &Option<I>,
        load: impl FnOnce(&I, &mut Store<Host>, &Instance) -> wasmtime::Result<G>,
    ) -> Outcome<G> {
        let missing = || Cause::Invalid("the role is not exported".into());
        let indices = indices(self.plugin).as_ref().ok_or_else(missing)?;
        load(indices, self.store, self.instance).map_err(|fault| Cause::Invalid(format!("{fault:#}")))
    }

    /// A loss, or a fused embedding.
    pub(super) fn value(&mut self, answer: Answer<Resource<Tensor>>) -> Outcome<Returned<Tensor>> {
        let handle = self.accepted(answer)?;
        let host = self.store.data_mut();
        let held = host.tensors.take(handle.rep()).map_err(stale)?;
        host.recorder.returned(&Returned::Value(held.value));
        Ok(Returned::Value(held.tensor))
    }

    /// Lends pair losses for a call.
    pub(super) fn lend(&mut self, pairs: PairLosses) -> Outcome<Resource<PairLosses>> {
        self.store.data_mut().lend_pair_losses(pairs).map_err(|fault| cause(self.store, &fault))
    }

    /// A balanced loss of pair losses that were lent.
    pub(super) fn balanced(
        &mut self,
        answer: Answer<Resource<Tensor>>,
        lent: &Resource<PairLosses>,
    ) -> Outcome<Returned<Tensor>> {
        let handle = self.accepted(answer);
        let host = self.store.data_mut();
        // The host lent these; they are not the plugin's to keep.
        let lent = host.pair_losses.take(lent.rep()).map_err(stale);
        let held = host.tensors.take(handle?.rep()).map_err(stale)?;
        let by_values = !lent?.pairs.parts_given;
        host.recorder.returned(&Returned::Balanced { value: held.value, by_values });
        Ok(Returned::Balanced { value: held.tensor, by_values })
    }

    /// What a miner found.
    pub(super) fn tuples(&mut self, answer: Answer<Resource<Tuples>>) -> Outcome<Returned<Tensor>> {
        let handle = self.accepted(answer)?;
        let host = self.store.data_mut();
        let held = host.tuples.take(handle.rep()).map_err(stale)?;
        let mut values = held.values.into_iter();
        let mut next = || values.next().flatten();
        let (tuples, places) = match held.tuples {
            Tuples::Triplets(parts) => (Returned::Triplets(parts), Returned::Triplets([(); 3].map(|()| next()))),
            Tuples::Pairs(parts) => (Returned::Pairs(parts), Returned::Pairs([(); 4].map(|()| next()))),
        };
        host.recorder.returned(&places);
        Ok(tuples)
    }

    /// The pair losses of a transfer.
    pub(super) fn pair_losses(&mut self, answer: Answer<Resource<PairLosses>>) -> Outcome<Returned<Tensor>> {
        let handle = self.accepted(answer)?;
        let host = self.store.data_mut();
        let held = host.pair_losses.take(handle.rep()).map_err(stale)?;
        let PairLosses { values, divisor, parts, .. } = held.pairs;
        let places = Returned::PairLosses { values: held.value, divisor, parts: held.parts };
        host.recorder.returned(&places);
        Ok(Returned::PairLosses { values, divisor, parts })
    }

    /// The thresholds of a schedule.
    pub(super) fn thresholds(&mut self, answer: Answer<Vec<f64>>) -> Outcome<Returned<Tensor>> {
        let thresholds = self.accepted(answer)?;
        self.store.data_mut().recorder.returned(&Returned::Thresholds(thresholds.clone()));
        Ok(Returned::Thresholds(thresholds))
    }

    /// A result that the strategy may have refused with a text.
    fn accepted<T>(&mut self, answer: Answer<T>) -> Outcome<T> {
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(text)) => match self.store.data_mut().charge_text(text.len()) {
                Ok(()) if text.trim().is_empty() => Err(Cause::Refused("refused without a reason".into())),
                Ok(()) => Err(Cause::Refused(printable_lines(&text, usize::MAX))),
                Err(fault) => Err(cause(self.store, &fault.into())),
            },
            Err(fault) => Err(cause(self.store, &fault)),
        }
    }
}

/// Handles of params, batch and progress; there is one of each in a call.
pub(super) fn context_handles() -> (Resource<Params>, Resource<Input>, Resource<Progress>) {
    (Resource::new_borrow(0), Resource::new_borrow(0), Resource::new_borrow(0))
}

fn stale(_: StaleHandle) -> Cause {
    Cause::Result(ResultFault::Stale)
}
