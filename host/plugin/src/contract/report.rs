//! The interface `report` of the contract: metrics and log lines of a strategy.

use tch::Tensor;
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::lossmith::plugin::report as wit;
use crate::host::Host;
use crate::host_fault::{HostFault, describe, fault, over};
use crate::printable::{printable, printable_lines};
use crate::report::{Level, Metric};
use crate::state::copy;

/// What a line counts at least, in bytes: about what is kept beside its text and printed before it.
const SHORTEST_LINE: usize = 16;

impl wit::Host for Host {
    fn log(&mut self, level: Level, message: String) -> Result<()> {
        // An empty line is kept and printed, too.
        self.charge_text(message.len().max(SHORTEST_LINE))?;
        self.report.lines.push((level, printable_lines(&message, usize::MAX)));
        Ok(())
    }

    fn metric(&mut self, name: String, value: Resource<Tensor>) -> Result<()> {
        const NAME: &str = "report.metric";
        let value = self.tensor(NAME, &value)?;
        if value.numel() != 1 {
            let message = format!("the metric `{name}` needs one element");
            return Err(HostFault::Operation { operation: NAME, shapes: describe(&[&value]), message }.into());
        }
        // Of its own: a view would keep all of what it is a view of alive.
        let value = copy(&value).map_err(|error| fault(NAME, &[&value], &error))?;
        self.add_metric(name, Metric::Tensor(value))
    }

    fn metric_value(&mut self, name: String, value: f64) -> Result<()> {
        self.add_metric(name, Metric::Number(value))
    }

    fn panic(&mut self, message: String, file: String, line: u32) -> Result<()> {
        self.charge_text(message.len() + file.len())?;
        self.panic = Some((printable_lines(&message, usize::MAX), printable(&file), line));
        Ok(())
    }
}

impl Host {
    fn add_metric(&mut self, name: String, metric: Metric) -> Result<()> {
        self.charge_text(name.len())?;
        let name = printable(&name);
        let metrics = &mut self.report.metrics;
        if let Some((_, value)) = metrics.iter_mut().find(|(known, _)| *known == name) {
            *value = metric;
            return Ok(());
        }
        let value = self.limits.metrics.into();
        if metrics.len() as u64 >= value {
            return Err(HostFault::Limit { limit: "metrics", value, wanted: None }.into());
        }
        if !self.metric_names.contains(&name) {
            let count = self.metric_names.len() as u64 + 1;
            over("metric-names", self.limits.metric_names.into(), count)?;
            self.metric_names.insert(name.clone());
        }
        let metrics = &mut self.report.metrics;
        metrics.push((name, metric));
        Ok(())
    }
}
