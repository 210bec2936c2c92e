//! The results of a sweep: the record of its runs.

use std::collections::BTreeMap;

use lossmith_plugin::Value;
use serde::Serialize;

use crate::run::mean;

/// Everything that a sweep measured. It holds no time of day and no folder's name: the same sweep has the same results,
/// however often it was stopped.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Results {
    /// Name of the sweep.
    pub name: String,
    /// The metric of the validation part that chose.
    pub select: String,
    /// The seeds that chose.
    pub selection_seeds: Vec<u64>,
    /// Its runs, by setting, method, value and seed, in the order of the sweep file. The prepared ones are not among
    /// them.
    pub runs: Vec<RunOutcome>,
}

/// The outcome of a run: its place in the sweep, and its metrics.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunOutcome {
    /// Name of the experiment; the run's folder begins with it.
    pub name: String,
    /// The setting.
    pub setting: String,
    /// The method.
    pub method: String,
    /// The value; none where nothing or more than one key varies.
    pub value: Option<Value>,
    /// The values of all keys that vary.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub varied: BTreeMap<String, Value>,
    /// The seed.
    pub seed: u64,
    /// The fold that was tested; none without folds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// Whether the value was chosen.
    pub chosen: bool,
    /// The validation part at the best checkpoint, by metric.
    pub validation: BTreeMap<String, f64>,
    /// The test part at the best checkpoint, by metric; none if the value was not chosen.
    pub test: Option<BTreeMap<String, f64>>,
    /// The sweep's `train-metrics` over the last epoch, as far as the run has them.
    pub train_metrics: BTreeMap<String, f64>,
}

impl Results {
    /// The outcomes of a method in a setting.
    pub(super) fn of<'a>(&'a self, setting: &'a str, method: &'a str) -> impl Iterator<Item = &'a RunOutcome> {
        self.runs.iter().filter(move |outcome| outcome.setting == setting && outcome.method == method)
    }

    /// The metric of each seed: the mean over its folds, of seeds with a number in all `folds` of them.
    pub(super) fn by_seed<'a>(
        outcomes: impl Iterator<Item = &'a RunOutcome>,
        folds: usize,
        reached: impl Fn(&RunOutcome) -> Option<f64>,
    ) -> BTreeMap<u64, f64> {
        let mut values = BTreeMap::<u64, Vec<f64>>::new();
        for outcome in outcomes {
            values.entry(outcome.seed).or_default().extend(reached(outcome));
        }
        let whole = values.into_iter().filter(|(_, values)| values.len() == folds);
        whole.filter_map(|(seed, values)| Some((seed, mean(&values)?))).collect()
    }
}
