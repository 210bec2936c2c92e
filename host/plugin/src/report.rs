//! Reports of a slot: metrics and log lines of its strategy.

use serde::{Serialize, Serializer};
use tch::Tensor;

pub use crate::bindings::lossmith::plugin::report::Level;

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

/// A metric, still on the device or already a number.
#[derive(Debug)]
pub enum Metric {
    /// One element, without gradient.
    Tensor(Tensor),
    /// A number.
    Number(f64),
}
