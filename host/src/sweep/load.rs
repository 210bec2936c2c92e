//! Reading a sweep file and checking what its tables say of each other.

use std::path::Path;

use lossmith_plugin::Value;
use lossmith_plugin::suggest::nearest;

use super::config::{MethodConfig, SettingConfig, SweepConfig};
use super::error::SweepError;
use super::placeholders::placeholders;
use super::points::{self, MOST, Point, number};
use super::reserved_keys::{self, ReservedKey, reserved_keys};
use super::vary::{Scale, VaryConfig};
use crate::experiment::{ExperimentError, Source};
use crate::run::Direction;

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
    /// What each method is tried with.
    pub(super) points: Vec<Vec<Point>>,
}

impl Sweep {
    /// Reads a sweep file. The experiments that it names are not looked at yet.
    ///
    /// # Errors
    /// What is wrong with it, with the place in the file.
    pub fn read(path: &Path) -> Result<Self, SweepError> {
        let source = Source::read(path, &[])?;
        let mut config: SweepConfig = source.read_as()?;
        if config.setting.is_empty() {
            // It has no name, and no part in the names of runs.
            config.setting.push(SettingConfig { name: String::new(), set: Vec::new() });
        }
        let mut sweep = Self { config, source, points: Vec::new() };
        sweep.check()?;
        let methods = sweep.config.method.iter().enumerate();
        sweep.points = methods.map(|(index, method)| sweep.points_of(index, method)).collect::<Result<_, _>>()?;
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
        if Direction::of(&self.config.select) == Some(Direction::Neither) {
            let message = format!("`{}` cannot choose: neither high nor low is better", self.config.select);
            return Err(self.wrong("select", message));
        }
        if report.is_empty() {
            return Err(self.wrong("report", "at least one metric"));
        }
        for (table, names) in [
            ("prepare", prepare.iter().map(|prepare| &prepare.name).collect::<Vec<_>>()),
            ("setting", setting.iter().map(|setting| &setting.name).collect()),
            ("method", method.iter().map(|method| &method.name).collect()),
        ] {
            if names.is_empty() && table == "method" {
                return Err(self.wrong(table, format!("at least one [[{table}]]")));
            }
            // The one setting that a file without settings has.
            let named = |(_, name): &(usize, &&String)| table != "setting" || !name.is_empty() || names.len() > 1;
            for (index, name) in names.iter().enumerate().filter(named) {
                self.check_name(&format!("{table}.{index}.name"), name)?;
            }
            if let Some(place) = repeated(&names) {
                return Err(self.wrong(&format!("{table}.{place}.name"), format!("this {table} is there twice")));
            }
        }
        for (index, method) in method.iter().enumerate() {
            self.check_method(index, method)?;
        }
        self.check_own_keys()?;
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
        let places: Vec<String> = (0..method.vary.len()).map(|number| self.place_of(index, number)).collect();
        for (number, (key, place)) in method.vary.iter().zip(&places).enumerate() {
            let before = method.vary.get(..number).unwrap_or_default();
            if before.iter().any(|other| other.key.trim() == key.key.trim()) {
                return Err(self.wrong(&format!("{place}.key"), "this key is there twice"));
            }
            match &key.range {
                Some(range) => self.check_range(place, key, range, method.search.is_some())?,
                None => self.check_values(place, key)?,
            }
        }
        match method.search {
            None => Ok(()),
            Some(_) if method.vary.is_empty() => {
                Err(self.wrong(&format!("method.{index}.search"), "nothing to search for: the method has no `vary`"))
            }
            Some(search) if search.trials == 0 || search.trials > MOST => {
                Err(self.wrong(&format!("method.{index}.search.trials"), format!("1 to {MOST} trials")))
            }
            Some(_) => Ok(()),
        }
    }

    /// The place of a key that varies: `vary` is a table or a list of them.
    pub(super) fn place_of(&self, method: usize, number: usize) -> String {
        let one = format!("method.{method}.vary");
        if self.source.is_list(&one) { format!("{one}.{number}") } else { one }
    }

    fn check_values(&self, place: &str, VaryConfig { values, scale, .. }: &VaryConfig) -> Result<(), ExperimentError> {
        if *scale != Scale::Linear {
            return Err(self.wrong(&format!("{place}.scale"), "a scale is of a `range`; there is none here"));
        }
        let place = format!("{place}.values");
        if values.is_empty() {
            return Err(self.wrong(&place, "at least one value, or a `range`"));
        }
        for (number, value) in values.iter().enumerate() {
            if matches!(value, Value::Numbers(_)) || matches!(value, Value::Number(number) if !number.is_finite()) {
                let message = "a value must be a finite number, a text, or true or false";
                return Err(self.wrong(&format!("{place}.{number}"), message));
            }
        }
        for (index, value) in values.iter().enumerate() {
            if values.iter().take(index).any(|earlier| equal(earlier, value)) {
                return Err(self.wrong(&format!("{place}.{index}"), "this value is there twice"));
            }
        }
        Ok(())
    }

    fn check_range(
        &self,
        place: &str,
        key: &VaryConfig,
        (low, high): &(Value, Value),
        search: bool,
    ) -> Result<(), ExperimentError> {
        let wrong = |message: &str, help: Option<&str>| {
            let help = help.map(str::to_owned);
            Err(self.source.wrong_value(&format!("{place}.range"), message.to_owned(), help))
        };
        if !key.values.is_empty() {
            return wrong("a key has either `values` or a `range`", None);
        }
        if !search {
            let help = "add `search = { trials = 20 }` to the method, or give `values`";
            return wrong("a range is for a random search", Some(help));
        }
        let (Some(low), Some(high)) = (number(low), number(high)) else {
            return wrong("the ends of a range must be finite numbers", None);
        };
        if low >= high {
            return wrong("the least number comes first", None);
        }
        if key.scale == Scale::Logarithmic && low <= 0.0 {
            return wrong("a logarithmic scale begins above 0", None);
        }
        Ok(())
    }

    fn points_of(&self, index: usize, method: &MethodConfig) -> Result<Vec<Point>, ExperimentError> {
        let place = format!("method.{index}");
        let points = points::points(method).ok_or_else(|| {
            let help = "`search = { trials = 50 }` in the method draws some of them".to_owned();
            let message = format!("more than {MOST} combinations");
            self.source.wrong_value(&format!("{place}.vary"), message, Some(help))
        })?;
        match method.search {
            Some(search) if points.len() < search.trials => {
                let message = format!("there are only {} combinations to draw", points.len());
                let help = "take fewer trials, or leave `search` out: then every combination is tried".to_owned();
                Err(self.source.wrong_value(&format!("{place}.search.trials"), message, Some(help)))
            }
            _ => Ok(points),
        }
    }

    /// Changes of what the sweep sets itself would be lost.
    fn check_own_keys(&self) -> Result<(), ExperimentError> {
        let SweepConfig { set, prepare, setting, method, .. } = &self.config;
        let own = reserved_keys(&self.config);
        let refuse = |place: &str, (key, help): &ReservedKey| {
            let message = format!("a sweep sets `{key}` of its runs itself");
            Err(self.source.wrong_value(place, message, Some((*help).to_owned())))
        };
        let check = |table: &str, set: &[String], own: &[ReservedKey]| {
            for (index, change) in set.iter().enumerate() {
                if let Some(own) = own.iter().find(|(key, _)| reserved_keys::changes(change, key)) {
                    return refuse(&format!("{table}set.{index}"), own);
                }
            }
            Ok(())
        };
        check("", set, &own)?;
        for (index, table) in prepare.iter().enumerate() {
            check(&format!("prepare.{index}."), &table.set, &reserved_keys::PREPARED)?;
        }
        for (index, table) in setting.iter().enumerate() {
            check(&format!("setting.{index}."), &table.set, &own)?;
        }
        for (index, table) in method.iter().enumerate() {
            check(&format!("method.{index}."), &table.set, &own)?;
            for (number, vary) in table.vary.iter().enumerate() {
                if let Some(own) = own.iter().find(|(key, _)| vary.key.trim() == *key) {
                    return refuse(&format!("{}.key", self.place_of(index, number)), own);
                }
            }
        }
        Ok(())
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

/// Whether two values train the same: `1` and `1.0` do.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Integer(integer), Value::Number(float)) | (Value::Number(float), Value::Integer(integer)) => {
            *float == *integer as f64
        }
        _ => one == other,
    }
}

/// The place of the first entry that was there before.
fn repeated<T: PartialEq>(entries: &[T]) -> Option<usize> {
    (1..entries.len()).find(|place| entries.get(..*place).unwrap_or_default().contains(&entries[*place]))
}
