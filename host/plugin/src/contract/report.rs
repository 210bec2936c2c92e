//! The interface `report` of the contract: metrics and log lines of a strategy.

use tch::Tensor;
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::lossmith::plugin::report as wit;
use crate::host::Host;
use crate::host_fault::{HostFault, describe, fault};
use crate::operation::Stop;
use crate::printable::{printable, printable_lines};
use crate::program::Effect;
use crate::report::{Level, Metric};
use crate::state::copy;

/// What a line counts at least, in bytes: about what is kept beside its text and printed before it.
const SHORTEST_LINE: usize = 16;

impl wit::Host for Host {
    fn log(&mut self, level: Level, message: String) -> Result<()> {
        // An empty line is kept and printed, too.
        self.charge_text(message.len().max(SHORTEST_LINE))?;
        let message = printable_lines(&message, usize::MAX);
        self.recorder.effect(|| Some(Effect::Line(level, message.clone())));
        self.report.lines.push((level, message));
        Ok(())
    }

    fn metric(&mut self, name: String, value: Resource<Tensor>) -> Result<()> {
        const NAME: &str = "report.metric";
        let held = self.held(NAME, &value)?;
        if held.elements != 1 {
            let message = format!("the metric `{name}` needs one element");
            return Err(HostFault::Operation { operation: NAME, shapes: describe(&[&held.tensor]), message }.into());
        }
        // Of its own: a view would keep all of what it is a view of alive.
        let copy = copy(&held.tensor).map_err(|error| fault(NAME, &[&held.tensor], &error))?;
        let kept = self.record(Stop::Copy.into(), &[&value], &[&copy]);
        let name = self.metric_name(&name)?;
        self.recorder.effect(|| Some(Effect::Metric(name.clone(), kept?)));
        self.add_metric(name, Metric::Tensor(copy))
    }

    fn metric_value(&mut self, name: String, value: f64) -> Result<()> {
        let name = self.metric_name(&name)?;
        self.recorder.effect(|| Some(Effect::Number(name.clone(), value)));
        self.add_metric(name, Metric::Number(value))
    }

    fn panic(&mut self, message: String, file: String, line: u32) -> Result<()> {
        self.charge_text(message.len() + file.len())?;
        self.panic = Some((printable_lines(&message, usize::MAX), printable(&file), line));
        Ok(())
    }
}

impl Host {
    fn metric_name(&mut self, name: &str) -> Result<String> {
        self.charge_text(name.len())?;
        Ok(printable(name))
    }

    fn add_metric(&mut self, name: String, metric: Metric) -> Result<()> {
        Ok(self.report.add_metric(&mut self.metric_names, &self.limits, name, metric)?)
    }
}
