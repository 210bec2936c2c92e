//! The plan of a sweep: its trainings, and the experiment of each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lossmith_plugin::Value;
use sha2::{Digest, Sha256};

use super::error::SweepError;
use super::load::Sweep;
use crate::experiment::{Experiment, ExperimentError, Source, rooted};
use crate::train::{StrategyCheck, TrainingError};

/// Most letters of the values in the name of a run.
const LONGEST: usize = 100;

/// The place of a run in the sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell {
    /// Number of the setting.
    pub(super) setting: usize,
    /// Number of the method.
    pub(super) method: usize,
    /// Number of the value; 0 where nothing varies.
    pub(super) value: usize,
    pub(super) seed: u64,
    /// Number of the fold; 0 where there are none.
    pub(super) fold: usize,
}

/// A training, ready to be started or to be found again.
#[derive(Debug)]
pub(super) struct Trial {
    /// Name of the experiment.
    pub(super) name: String,
    pub(super) source: Source,
    pub(super) experiment: Experiment,
    /// The `experiment.toml` that the run writes.
    pub(super) text: String,
}

/// The parts of the experiment of a training.
struct Draft {
    /// The name that it gets.
    name: String,
    base: Source,
    changes: Vec<Override>,
    /// The changes that the sweep makes itself.
    fixed: Vec<String>,
}

/// An override of a key of the experiment, with its places in the sweep file.
struct Override {
    text: String,
    /// The place of what says which key it is.
    key: String,
    /// The place of what says its value.
    value: String,
}

/// The experiments of a sweep.
pub(super) struct Plan<'a> {
    sweep: &'a Sweep,
    base: Source,
    /// The folders of the prepared runs by name: stand-ins until they are there.
    prepared: BTreeMap<String, PathBuf>,
}

impl<'a> Plan<'a> {
    /// Reads the experiment, makes a trial of every value and binds its strategies, so that what is wrong with one
    /// shows before anything is trained.
    pub(super) fn new(sweep: &'a Sweep, strategy_check: &mut StrategyCheck<'_>) -> Result<Self, SweepError> {
        let config = &sweep.config;
        let base = Source::read(&sweep.source.directory().join(&config.experiment), &[])?;
        let mut plan = Self { sweep, base, prepared: BTreeMap::new() };
        for prepare in &config.prepare {
            plan.prepared(&prepare.name, &config.directory.join(&prepare.name));
        }
        let mut seen = BTreeSet::new();
        for index in 0..config.prepare.len() {
            plan.check_strategies(&plan.prepared_draft(index)?, strategy_check, &mut seen)?;
        }
        for (setting, method) in plan.methods() {
            for value in 0..plan.value_count(method) {
                for seed in config.seeds.iter().take(1) {
                    let draft = plan.draft(Cell { setting, method, value, seed: *seed, fold: 0 });
                    plan.check_strategies(&draft, strategy_check, &mut seen)?;
                }
            }
        }
        Ok(plan)
    }

    /// Makes a trial and binds its strategies, if they are not among those that were `seen`.
    fn check_strategies(
        &self,
        draft: &Draft,
        strategy_check: &mut StrategyCheck<'_>,
        seen: &mut BTreeSet<String>,
    ) -> Result<(), SweepError> {
        let Trial { source, experiment, .. } = self.made(draft)?;
        let Experiment { objective, fusion, shadow, .. } = &experiment;
        let strategies = serde_json::to_string(&(source.directory(), objective, fusion, shadow));
        if strategies.is_ok_and(|strategies| !seen.insert(strategies)) {
            return Ok(());
        }
        strategy_check
            .check(&source)
            .map_err(|error| self.pointed(draft, error, &mut |source| strategy_check.check(source).err()))
    }

    /// Says where a prepared run is.
    pub(super) fn prepared(&mut self, name: &str, run: &Path) {
        let path = std::path::absolute(run).unwrap_or_else(|_| run.to_owned());
        self.prepared.insert(name.to_owned(), path);
    }

    /// Every method in every setting that it takes part in, by their numbers.
    pub(super) fn methods(&self) -> Vec<(usize, usize)> {
        let config = &self.sweep.config;
        let pairs = config.setting.iter().enumerate().flat_map(|(setting, table)| {
            let takes_part = |only: &Option<Vec<String>>| only.as_ref().is_none_or(|only| only.contains(&table.name));
            let methods = config.method.iter().enumerate().filter(move |(_, method)| takes_part(&method.only));
            methods.map(move |(method, _)| (setting, method))
        });
        pairs.collect()
    }

    /// How many combinations of values a method is tried with: 1 where nothing varies.
    pub(super) fn value_count(&self, method: usize) -> usize {
        self.sweep.points.get(method).map_or(0, Vec::len)
    }

    /// A combination of a method: its keys with their values; empty where nothing varies.
    pub(super) fn varied(&self, method: usize, value: usize) -> Vec<(&str, &Value)> {
        let keys = self.sweep.config.method.get(method).into_iter().flat_map(|method| &method.vary);
        let values = self.sweep.points.get(method).and_then(|points| points.get(value)).into_iter().flatten();
        keys.map(|key| key.key.as_str()).zip(values).collect()
    }

    /// The trial of a prepared run.
    pub(super) fn preparation(&self, index: usize) -> Result<Trial, SweepError> {
        self.made(&self.prepared_draft(index)?)
    }

    /// The trial of a place.
    pub(super) fn trial(&self, cell: Cell) -> Result<Trial, SweepError> {
        self.made(&self.draft(cell))
    }

    fn prepared_draft(&self, index: usize) -> Result<Draft, SweepError> {
        let config = &self.sweep.config;
        let prepare = &config.prepare[index];
        let base = Source::read(&self.sweep.source.directory().join(&prepare.experiment), &[])?;
        let changes = listed(&format!("prepare.{index}."), &prepare.set);
        Ok(Draft { name: format!("{}-{}", config.name, prepare.name), base, changes, fixed: Vec::new() })
    }

    fn draft(&self, cell: Cell) -> Draft {
        let config = &self.sweep.config;
        let (setting, method) = (&config.setting[cell.setting], &config.method[cell.method]);
        let mut changes = listed("", &config.set);
        changes.extend(listed(&format!("setting.{}.", cell.setting), &setting.set));
        changes.extend(listed(&format!("method.{}.", cell.method), &method.set));
        let parts = [&config.name, &setting.name, &method.name].map(String::as_str);
        let mut name = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
        let mut values = String::new();
        for (number, (key, value)) in self.varied(cell.method, cell.value).into_iter().enumerate() {
            let place = self.sweep.place_of(cell.method, number);
            let listed = method.vary.get(number).and_then(|vary| vary.values.iter().position(|one| one == value));
            let at = listed.map_or("range".to_owned(), |listed| format!("values.{listed}"));
            let text = format!("{key}={}", as_toml(value));
            changes.push(Override { text, key: format!("{place}.key"), value: format!("{place}.{at}") });
            values += &format!("-{}", in_a_name(value));
        }
        name += &shortened(values);
        name += &format!("-s{}", cell.seed);
        // `reserved_keys` refuses changes of these.
        let mut fixed = vec![format!("seed={}", cell.seed), "evaluation.test=false".to_owned()];
        fixed.extend(config.patience.map(|patience| format!("evaluation.patience={patience}")));
        if let Some(folds) = config.folds {
            name += &format!("-f{}", cell.fold);
            fixed.push("data.split=\"subject-folds\"".to_owned());
            fixed.extend([format!("data.folds={folds}"), format!("data.fold={}", cell.fold)]);
        }
        Draft { name, base: self.base.clone(), changes, fixed }
    }

    fn made(&self, draft: &Draft) -> Result<Trial, SweepError> {
        let set = |error| match error {
            ExperimentError::Set { text, message, .. } => {
                let change = draft.changes.iter().find(|change| self.filled(&change.text) == text);
                let place = change.map_or("", |change| change.key.as_str());
                self.sweep.source.wrong_value(place, format!("`{text}`: {message}"), None)
            }
            other => other,
        };
        let source = self.source(draft, draft.changes.len()).map_err(set)?;
        let fault = &mut |source: &Source| source.parse().err().map(TrainingError::from);
        let experiment = source.parse().map_err(|error| self.pointed(draft, error.into(), fault))?;
        let failed = |error| SweepError::Experiment { name: draft.name.clone(), error };
        let text = experiment.to_toml().map_err(|error| failed(error.into()))?;
        Ok(Trial { name: draft.name.clone(), source, experiment, text })
    }

    /// The experiment of a draft, with so many of its changes.
    fn source(&self, draft: &Draft, count: usize) -> Result<Source, ExperimentError> {
        let directory = toml::Value::String(self.sweep.config.directory.display().to_string());
        let mut sets: Vec<String> = draft.changes.iter().take(count).map(|change| self.filled(&change.text)).collect();
        sets.extend(draft.fixed.iter().cloned());
        sets.extend([format!("run.directory={directory}"), format!("name=\"{}\"", draft.name)]);
        draft.base.clone().set(&sets)
    }

    /// What is wrong with an experiment, at the change of the sweep file that brought it: the first with which `fault`
    /// finds the same.
    fn pointed(
        &self,
        draft: &Draft,
        error: TrainingError,
        fault: &mut dyn FnMut(&Source) -> Option<TrainingError>,
    ) -> SweepError {
        let name = draft.name.clone();
        let Some(ExperimentError::At { message, help, .. }) = error.of_experiment() else {
            return SweepError::Experiment { name, error };
        };
        let mut brought = |count: usize| {
            let found = self.source(draft, count).ok().and_then(|source| fault(&source));
            let found = found.as_ref().and_then(TrainingError::of_experiment);
            matches!(found, Some(ExperimentError::At { message: found, .. }) if found == message)
        };
        // Without any change it is the experiment's own.
        let count = (0..=draft.changes.len()).find(|count| brought(*count)).unwrap_or_default();
        match count.checked_sub(1).and_then(|number| draft.changes.get(number)) {
            Some(change) => {
                let message = format!("`{}`: {message}", change.text);
                self.sweep.source.wrong_value(&change.value, message, help.clone()).into()
            }
            None => SweepError::Experiment { name, error },
        }
    }

    /// A change with the folders of prepared runs in it. Its relative paths start beside the sweep file.
    fn filled(&self, change: &str) -> String {
        let filled = self.prepared.iter().fold(change.to_owned(), |change, (name, path)| {
            change.replace(&format!("{{{name}}}"), &path.display().to_string())
        });
        rooted(&filled, self.sweep.source.directory())
    }
}

/// Changes with their places in the sweep file.
fn listed(table: &str, set: &[String]) -> Vec<Override> {
    let change = |(index, text): (usize, &String)| {
        let place = format!("{table}set.{index}");
        Override { text: text.clone(), key: place.clone(), value: place }
    };
    set.iter().enumerate().map(change).collect()
}

fn as_toml(value: &Value) -> String {
    match value {
        Value::Text(text) => toml::Value::String(text.clone()).to_string(),
        Value::Number(number) => toml::Value::Float(*number).to_string(),
        other => other.to_string(),
    }
}

/// A value as a part of a folder's name.
fn in_a_name(value: &Value) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    value.to_string().trim_matches('"').chars().map(allowed).collect()
}

/// Values in a folder's name, which has no room for many long ones: they are cut then, and told apart by a digest.
fn shortened(values: String) -> String {
    if values.len() <= LONGEST {
        return values;
    }
    let digest = lossmith_files::hex(&Sha256::digest(&values));
    format!("{}-{}", values.get(..LONGEST / 2).unwrap_or_default(), digest.get(..12).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_and_stay_apart() {
        assert_eq!(shortened("-0.1-2".to_owned()), "-0.1-2");
        let [one, other] = ["x", "y"].map(|end| shortened(format!("-{}{end}", "v".repeat(300))));
        assert!(one.len() < LONGEST && one.starts_with("-vvv") && one != other, "{one}");
    }

    #[test]
    fn values_are_written_so_that_they_are_read_as_what_they_are() {
        let texts = [Value::Number(2.0), Value::Integer(2), Value::Text("a/b".into()), Value::Boolean(true)];
        assert_eq!(texts.each_ref().map(as_toml), ["2.0", "2", "\"a/b\"", "true"]);
        assert_eq!(texts.each_ref().map(in_a_name), ["2", "2", "a_b", "true"]);
    }
}
