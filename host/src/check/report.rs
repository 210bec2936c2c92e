//! The report of a check.

use lossmith_plugin::Role;
use serde::Serialize;

/// The verdict on one thing that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckVerdict {
    /// As it should be.
    Passed,
    /// It does not apply; the detail says why.
    Skipped,
    /// Worth knowing.
    Warning,
    /// Wrong.
    Failed,
}

/// The result of one check.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The name of the check.
    pub what: &'static str,
    /// The verdict.
    pub verdict: CheckVerdict,
    /// The details, in words.
    pub detail: String,
}

/// The cost of one step of a strategy at one size of the batch.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CostRow {
    /// Images in the batch.
    pub batch: i64,
    /// Wasm instructions, roughly.
    pub fuel: u64,
    /// Of the call with its backward pass: the median of three.
    pub milliseconds: f64,
    /// Elements that the host read and wrote.
    pub host_elements: u64,
    /// Tensors alive at one time, at most.
    pub tensors: u64,
    /// Bytes of the tensors alive at one time, at most.
    pub tensor_bytes: u64,
}

/// The report on one strategy.
#[derive(Clone, Debug, Serialize)]
pub struct StrategyReport {
    /// What it does.
    pub role: Role,
    /// Its name.
    pub name: String,
    /// In the order in which they were looked at.
    pub findings: Vec<Finding>,
    /// Its cost, smallest batch first.
    pub cost: Vec<CostRow>,
}

/// The report on a plugin.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// The plugin's name.
    pub plugin: String,
    /// SHA-256 of its bytes in hexadecimal.
    pub hash: String,
    /// Version of the contract that it was built for.
    pub contract: String,
    /// Size of the file.
    pub bytes: usize,
    /// Of each strategy that was checked.
    pub strategies: Vec<StrategyReport>,
}

impl CheckReport {
    /// How many findings have this verdict.
    #[must_use]
    pub fn count(&self, verdict: CheckVerdict) -> usize {
        self.strategies.iter().flat_map(|strategy| &strategy.findings).filter(|found| found.verdict == verdict).count()
    }
}

impl StrategyReport {
    pub(super) fn add(&mut self, what: &'static str, verdict: CheckVerdict, detail: impl Into<String>) {
        self.findings.push(Finding { what, verdict, detail: detail.into() });
    }

    /// Passed if nothing is wrong, else failed with the first few of what is.
    pub(super) fn judge(&mut self, what: &'static str, good: impl Into<String>, wrong: &[String]) {
        const SHOWN: usize = 5;
        if wrong.is_empty() {
            return self.add(what, CheckVerdict::Passed, good);
        }
        let mut detail = wrong.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n");
        if wrong.len() > SHOWN {
            detail += &format!("\nand {} more", wrong.len() - SHOWN);
        }
        self.add(what, CheckVerdict::Failed, detail);
    }
}
