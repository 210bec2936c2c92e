//! Records a call before anything is computed: the plugin is given tensors that have shapes and no values.
//!
//! The matrices of a large batch would not fit into memory one by one, as a call by the plugin has them. A program that
//! runs in blocks has them a few rows at a time.

use std::sync::Arc;

use tch::Tensor;

use super::guest::Guest;
use super::result::Outcome;
use super::{Call, LiveInstance, Slot};
use crate::context::{Input, PairLosses};
use crate::error::PluginError;
use crate::fault::arm;
use crate::fused::Plan;
use crate::program::{Recorder, Returned};

impl Slot {
    /// Whether the matrix of all pairs of a batch is large, and nothing is known that keeps a call from being recorded.
    pub(super) fn wants_shapes(&self, input: &Input) -> bool {
        let size = input.embeddings.as_ref().and_then(|x| x.size().first().copied()).unwrap_or_default().unsigned_abs();
        let bytes = size.saturating_mul(size).saturating_mul(self.setting.float.elt_size_in_bytes() as u64);
        let limits = &self.setting.limits;
        limits.fuse
            && self.setting.device == tch::Device::Cpu
            && bytes > limits.matrix_bytes
            && self.reads_values_with != Some(self.state.tensors_alive())
    }

    /// Adds the program of a call, if the plugin asks for no value.
    pub(super) fn record_shapes(
        &mut self,
        call: &Call<'_>,
        gradients: bool,
        run: impl FnOnce(Guest<'_>, Option<PairLosses>) -> Outcome<Returned<Tensor>>,
    ) -> Result<(), PluginError> {
        let mut live = match self.live.take() {
            Some(live) => live,
            None => self.instantiate()?,
        };
        let plan = self.plan_of_shapes(&mut live, call, gradients, run);
        let reusable = live.store.data_mut().end_call() == 0 && plan.is_some();
        match plan {
            Some(plan) => self.programs.add(plan, self.setting.limits.programs),
            // Another call of the same plugin would ask for values again, unless it only made its state.
            None => self.reads_values_with = Some(self.state.tensors_alive()),
        }
        if reusable {
            self.live = Some(live);
        }
        Ok(())
    }

    fn plan_of_shapes(
        &self,
        live: &mut LiveInstance,
        call: &Call<'_>,
        gradients: bool,
        run: impl FnOnce(Guest<'_>, Option<PairLosses>) -> Outcome<Returned<Tensor>>,
    ) -> Option<Plan> {
        let limits = Arc::clone(&self.setting.limits);
        let pairs = call.pairs.as_ref().map(PairLosses::on_meta).transpose().ok()?;
        let LiveInstance { store, instance } = live;
        let host = store.data_mut();
        host.input = call.input.on_meta().ok()?;
        host.state = self.state.on_meta().ok()?;
        host.progress.clone_from(call.progress);
        host.metric_names.clone_from(&self.metric_names);
        host.recorder = Recorder::start(gradients, limits.program_operations);
        host.on_meta = true;
        arm(store);
        let guest = Guest { store, instance, plugin: &self.plugin, strategy: &self.strategy };
        let outcome = run(guest, pairs);
        let host = store.data_mut();
        host.on_meta = false;
        host.state = Default::default();
        host.report = Default::default();
        host.metric_names = Default::default();
        let recorder = std::mem::take(&mut host.recorder);
        outcome.ok()?;
        let mut cost = host.cost();
        cost.fuel = limits.fuel.saturating_sub(store.get_fuel().unwrap_or_default());
        let mut program = recorder.finish(cost).ok()?;
        program.place_on(self.setting.device);
        let mut plan = Plan::fused(program, self.setting.device, limits.matrix_bytes);
        let bytes = plan.bytes();
        plan.program.cost.tensor_bytes = bytes;
        (plan.is_fused() && bytes <= limits.tensor_bytes).then_some(plan)
    }
}
