//! Reading a sweep file and checking what its tables say of each other.

use std::path::Path;

use super::config::{MethodConfig, SweepConfig, VaryConfig};
use super::error::SweepError;
use super::plan::placeholders;
use crate::experiment::{ExperimentError, Source};
use crate::plugin::Value;
use crate::suggest::nearest;

/// The JSON schema of a sweep file.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(SweepConfig).to_value()
}

/// A sweep file that was read and checked.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// What it says.
    pub config: SweepConfig,
    pub(super) source: Source,
}

impl Sweep {
    /// Reads a sweep file. The experiments that it names are not looked at yet.
    ///
    /// # Errors
    /// What is wrong with it, with the place in the file.
    pub fn read(path: &Path) -> Result<Self, SweepError> {
        let source = Source::read(path, &[])?;
        let config: SweepConfig = source.read_as()?;
        let sweep = Self { config, source };
        sweep.check()?;
        Ok(sweep)
    }

    /// The seeds that choose.
    pub(super) fn selection_seeds(&self) -> &[u64] {
        let count = self.config.selection_seeds.unwrap_or(self.config.seeds.len());
        self.config.seeds.get(..count).unwrap_or(&self.config.seeds)
    }

    /// How many folds each seed is trained in; 1 without folds.
    pub(super) fn folds(&self) -> usize {
        self.config.folds.unwrap_or(1)
    }

    fn wrong(&self, place: &str, message: impl Into<String>) -> ExperimentError {
        self.source.wrong_value(place, message.into(), None)
    }

    fn check(&self) -> Result<(), ExperimentError> {
        let SweepConfig { name, seeds, selection_seeds, report, prepare, setting, method, .. } = &self.config;
        self.check_name("name", name)?;
        if seeds.is_empty() {
            return Err(self.wrong("seeds", "at least one seed"));
        }
        if let Some(place) = repeated(seeds) {
            return Err(self.wrong(&format!("seeds.{place}"), "this seed is there twice"));
        }
        if self.config.folds.is_some_and(|folds| folds < 2) {
            return Err(self.wrong("folds", "at least 2 folds"));
        }
        if selection_seeds.is_some_and(|count| count == 0 || count > seeds.len()) {
            let message = format!("1 to {} of the seeds can choose", seeds.len());
            return Err(self.wrong("selection-seeds", message));
        }
        if report.is_empty() {
            return Err(self.wrong("report", "at least one metric"));
        }
        for (table, names) in [
            ("prepare", prepare.iter().map(|prepare| &prepare.name).collect::<Vec<_>>()),
            ("setting", setting.iter().map(|setting| &setting.name).collect()),
            ("method", method.iter().map(|method| &method.name).collect()),
        ] {
            if names.is_empty() && table != "prepare" {
                return Err(self.wrong(table, format!("at least one [[{table}]]")));
            }
            for (index, name) in names.iter().enumerate() {
                self.check_name(&format!("{table}.{index}.name"), name)?;
            }
            if let Some(place) = repeated(&names) {
                return Err(self.wrong(&format!("{table}.{place}.name"), format!("this {table} is there twice")));
            }
        }
        for (index, method) in method.iter().enumerate() {
            self.check_method(index, method)?;
        }
        self.check_baseline()?;
        self.check_placeholders()
    }

    fn check_name(&self, place: &str, name: &str) -> Result<(), ExperimentError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.starts_with(['.', '-']) || !name.chars().all(allowed) {
            let message = "a name must be letters, digits, `-`, `_` or `.`, and begin with none of `-` and `.`";
            return Err(self.wrong(place, message));
        }
        Ok(())
    }

    fn check_method(&self, index: usize, method: &MethodConfig) -> Result<(), ExperimentError> {
        let settings: Vec<&str> = self.config.setting.iter().map(|setting| setting.name.as_str()).collect();
        if method.only.as_ref().is_some_and(Vec::is_empty) {
            return Err(self.wrong(&format!("method.{index}.only"), "at least one setting"));
        }
        for (place, name) in method.only.iter().flatten().enumerate() {
            if !settings.contains(&name.as_str()) {
                let place = format!("method.{index}.only.{place}");
                return Err(self.unknown(&place, "setting", name, &settings));
            }
        }
        let Some(VaryConfig { values, .. }) = &method.vary else { return Ok(()) };
        let place = format!("method.{index}.vary.values");
        if values.is_empty() {
            return Err(self.wrong(&place, "at least one value"));
        }
        for (number, value) in values.iter().enumerate() {
            if matches!(value, Value::Numbers(_)) || matches!(value, Value::Number(number) if !number.is_finite()) {
                let message = "a value must be a finite number, a text, or true or false";
                return Err(self.wrong(&format!("{place}.{number}"), message));
            }
        }
        match repeated(values) {
            Some(number) => Err(self.wrong(&format!("{place}.{number}"), "this value is there twice")),
            None => Ok(()),
        }
    }

    fn check_baseline(&self) -> Result<(), ExperimentError> {
        let methods: Vec<&str> = self.config.method.iter().map(|method| method.name.as_str()).collect();
        match &self.config.baseline {
            Some(name) if !methods.contains(&name.as_str()) => Err(self.unknown("baseline", "method", name, &methods)),
            _ => Ok(()),
        }
    }

    fn check_placeholders(&self) -> Result<(), ExperimentError> {
        let SweepConfig { set, prepare, setting, method, .. } = &self.config;
        let prepared: Vec<&str> = prepare.iter().map(|prepare| prepare.name.as_str()).collect();
        let check = |table: &str, set: &[String], known: &[&str]| {
            for (index, change) in set.iter().enumerate() {
                if let Some(name) = placeholders(change).find(|name| !known.contains(name)) {
                    return Err(self.unknown(&format!("{table}set.{index}"), "prepared run", name, known));
                }
            }
            Ok(())
        };
        check("", set, &prepared)?;
        for (index, table) in prepare.iter().enumerate() {
            check(&format!("prepare.{index}."), &table.set, prepared.get(..index).unwrap_or_default())?;
        }
        for (index, table) in setting.iter().enumerate() {
            check(&format!("setting.{index}."), &table.set, &prepared)?;
        }
        for (index, table) in method.iter().enumerate() {
            check(&format!("method.{index}."), &table.set, &prepared)?;
        }
        Ok(())
    }

    fn unknown(&self, place: &str, what: &str, name: &str, known: &[&str]) -> ExperimentError {
        let help = match nearest(name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => format!("there is no {what} here"),
            None => format!("known here: {}", known.join(", ")),
        };
        self.source.wrong_value(place, format!("there is no {what} `{name}`"), Some(help))
    }
}

/// The place of the first entry that was there before.
fn repeated<T: PartialEq>(entries: &[T]) -> Option<usize> {
    (1..entries.len()).find(|place| entries.get(..*place).unwrap_or_default().contains(&entries[*place]))
}
