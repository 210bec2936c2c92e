//! Which trainings a sweep is made of, and the experiment of each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lossmith_plugin::Value;
use sha2::{Digest, Sha256};

use super::error::SweepError;
use super::load::Sweep;
use crate::experiment::{ExperimentError, Source, rooted};
use crate::run;
use crate::train::TrainingError;

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
    /// The `experiment.toml` that the run writes.
    pub(super) text: String,
}

/// The experiments of a sweep.
pub(super) struct Plan<'a> {
    sweep: &'a Sweep,
    base: Source,
    /// The folders of the prepared runs by name: stand-ins until they are there.
    prepared: BTreeMap<String, PathBuf>,
}

impl<'a> Plan<'a> {
    /// Reads the experiment and makes a trial of every value, so that what is wrong with one shows before anything is
    /// trained.
    pub(super) fn new(sweep: &'a Sweep) -> Result<Self, SweepError> {
        let config = &sweep.config;
        let base = Source::read(&sweep.source.directory().join(&config.experiment), &[])?;
        let mut plan = Self { sweep, base, prepared: BTreeMap::new() };
        for prepare in &config.prepare {
            plan.prepared(&prepare.name, &config.directory.join(&prepare.name));
        }
        for index in 0..config.prepare.len() {
            plan.preparation(index)?;
        }
        for (setting, method) in plan.methods() {
            for value in 0..plan.value_count(method) {
                for seed in config.seeds.iter().take(1) {
                    plan.trial(Cell { setting, method, value, seed: *seed, fold: 0 })?;
                }
            }
        }
        Ok(plan)
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
        let config = &self.sweep.config;
        let prepare = &config.prepare[index];
        let source = Source::read(&self.sweep.source.directory().join(&prepare.experiment), &[])?;
        let changes = listed(&format!("prepare.{index}."), &prepare.set);
        self.changed(&source, &changes, format!("{}-{}", config.name, prepare.name), &[])
    }

    /// The trial of a place.
    pub(super) fn trial(&self, cell: Cell) -> Result<Trial, SweepError> {
        let config = &self.sweep.config;
        let (setting, method) = (&config.setting[cell.setting], &config.method[cell.method]);
        let mut changes = listed("", &config.set);
        changes.extend(listed(&format!("setting.{}.", cell.setting), &setting.set));
        changes.extend(listed(&format!("method.{}.", cell.method), &method.set));
        let parts = [&config.name, &setting.name, &method.name].map(String::as_str);
        let mut name = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
        let mut values = String::new();
        for (number, (key, value)) in self.varied(cell.method, cell.value).into_iter().enumerate() {
            let place = format!("{}.key", self.sweep.place_of(cell.method, number));
            changes.push((place, format!("{key}={}", as_toml(value))));
            values += &format!("-{}", in_a_name(value));
        }
        name += &shortened(values);
        name += &format!("-s{}", cell.seed);
        let mut fixed = vec![format!("seed={}", cell.seed), "evaluation.test=false".to_owned()];
        fixed.extend(config.patience.map(|patience| format!("evaluation.patience={patience}")));
        if let Some(folds) = config.folds {
            name += &format!("-f{}", cell.fold);
            fixed.push("data.split=\"subject-folds\"".to_owned());
            fixed.extend([format!("data.folds={folds}"), format!("data.fold={}", cell.fold)]);
        }
        self.changed(&self.base, &changes, name, &fixed)
    }

    fn changed(
        &self,
        source: &Source,
        changes: &[(String, String)],
        name: String,
        fixed: &[String],
    ) -> Result<Trial, SweepError> {
        let directory = toml::Value::String(self.sweep.config.directory.display().to_string());
        let mut sets: Vec<String> = changes.iter().map(|(_, change)| self.filled(change)).collect();
        sets.extend(fixed.iter().cloned());
        sets.extend([format!("run.directory={directory}"), format!("name=\"{name}\"")]);
        let pointed = |error| match error {
            ExperimentError::Set { text, message, .. } => {
                let change = changes.iter().find(|(_, change)| self.filled(change) == text);
                let place = change.map_or("", |(place, _)| place.as_str());
                self.sweep.source.wrong_value(place, format!("`{text}`: {message}"), None)
            }
            other => other,
        };
        let source = source.clone().set(&sets).map_err(pointed)?;
        let failed = |error: TrainingError| SweepError::Run { name: name.clone(), error };
        let experiment = source.parse().map_err(|error| failed(error.into()))?;
        let text = experiment.to_toml().map_err(|error| failed(error.into()))?;
        Ok(Trial { name, source, text })
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
fn listed(table: &str, set: &[String]) -> Vec<(String, String)> {
    set.iter().enumerate().map(|(index, change)| (format!("{table}set.{index}"), change.clone())).collect()
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
    let digest = run::hex(&Sha256::digest(&values));
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
