//! Reports of a slot: metrics and log lines of its strategy.

use std::collections::BTreeSet;

use serde::{Serialize, Serializer};
use tch::Tensor;

pub use crate::bindings::lossmith::plugin::report::Level;
use crate::host_fault::{HostFault, over};
use crate::limits::Limits;

impl Level {
    /// Its name in texts and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warning",
        }
    }
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Metrics and log lines of a slot's calls since they were last taken.
#[derive(Debug, Default)]
pub struct Report {
    /// Log lines, oldest first, printable; those of several lines are marked.
    pub lines: Vec<(Level, String)>,
    /// Metrics of the last call that reported them, in order of their first report.
    pub metrics: Vec<(String, Metric)>,
}

impl Report {
    /// Keeps a metric in place of one of the same name, which is printable. An error when these are too many, or too
    /// many of names that are not among those `known`.
    pub(super) fn add_metric(
        &mut self,
        known: &mut BTreeSet<String>,
        limits: &Limits,
        name: String,
        metric: Metric,
    ) -> Result<(), HostFault> {
        if let Some((_, value)) = self.metrics.iter_mut().find(|(known, _)| *known == name) {
            *value = metric;
            return Ok(());
        }
        let value = limits.metrics.into();
        if self.metrics.len() as u64 >= value {
            return Err(HostFault::Limit { limit: "metrics", value, wanted: None });
        }
        if !known.contains(&name) {
            over("metric-names", limits.metric_names.into(), known.len() as u64 + 1)?;
            known.insert(name.clone());
        }
        self.metrics.push((name, metric));
        Ok(())
    }
}

/// A metric, still on the device or already a number.
#[derive(Debug)]
pub enum Metric {
    /// One element, without gradient.
    Tensor(Tensor),
    /// A number.
    Number(f64),
}
