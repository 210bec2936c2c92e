//! Reading an experiment file, with what `--set` changes in it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lossmith_plugin::suggest::nearest;
use miette::{Diagnostic, NamedSource};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml_edit::{DocumentMut, Item};

use super::config::{Experiment, ObjectiveConfig, On, PluginSource, ShadowConfig};
use super::error::ExperimentError;
use super::expected;
use super::keys;
use super::setting;
use super::spans::{self, SpanPart};
use super::teacher::TeacherConfig;
use crate::data::{DataError, SplitKind};
use crate::model::ModelError;
use crate::run::Direction;

/// The text of an experiment, or of a sweep of them, and where it came from: what errors point into.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    text: String,
    directory: PathBuf,
    file: Option<PathBuf>,
    sets: Vec<String>,
}

/// Threads that libtorch is asked for at most; of many more the system gives none, and the process ends.
pub(crate) const MOST_THREADS: usize = 1024;

/// The JSON schema of an experiment file.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Experiment).to_value()
}

impl Source {
    /// Reads a file and applies `--set` arguments (`key.path=value`) in order.
    ///
    /// # Errors
    /// When the file cannot be read or an argument has no place in it.
    pub fn read(path: &Path, sets: &[String]) -> Result<Self, ExperimentError> {
        let shown = path.display().to_string();
        let text = lossmith_files::read_text(path, lossmith_files::TEXT)
            .map_err(|source| ExperimentError::Read { path: shown.clone(), source })?;
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        let file = std::path::absolute(path).ok();
        let source = Self { name: shown, text, directory, file, sets: Vec::new() };
        source.set(sets)
    }

    /// A text that is in no file; relative paths in it start at the current folder.
    #[must_use]
    pub fn from_text(name: &str, text: String) -> Self {
        Self { name: name.to_owned(), text, directory: PathBuf::new(), file: None, sets: Vec::new() }
    }

    /// Applies `key.path=value` in order.
    ///
    /// # Errors
    /// When one of them has no place in the file.
    pub fn set(self, sets: &[String]) -> Result<Self, ExperimentError> {
        self.apply(sets, "--set")
    }

    /// Applies a `key.path=value` that somebody gave to a training at work.
    ///
    /// # Errors
    /// When it has no place in the file.
    pub fn edit(self, set: &str) -> Result<Self, ExperimentError> {
        self.apply(&[set.to_owned()], "session set")
    }

    fn apply(self, sets: &[String], how: &'static str) -> Result<Self, ExperimentError> {
        if sets.is_empty() {
            return Ok(self);
        }
        let mut document: DocumentMut =
            self.text.parse().map_err(|error: toml_edit::TomlError| self.syntax(error.message(), error.span()))?;
        for text in sets {
            let wrong = |message: String| ExperimentError::Set { how, text: text.clone(), message };
            let (path, value) = text
                .split_once('=')
                .ok_or_else(|| wrong("expected key.path=value, for instance model.width=64".into()))?;
            let value = setting::value(value);
            let place = place(&mut document, path.trim()).map_err(wrong)?;
            *place = Item::Value(value);
        }
        let name = if self.sets.is_empty() { format!("{} with {how}", self.name) } else { self.name };
        let sets = [self.sets.as_slice(), sets].concat();
        Ok(Self { name, text: document.to_string(), sets, ..self })
    }

    /// Puts the shadow `name` in place of the objective that it stands beside.
    ///
    /// # Errors
    /// When the text is no experiment or has no such shadow.
    pub fn promote(self, name: &str) -> Result<Self, ExperimentError> {
        let mut table: toml::Table =
            toml::from_str(&self.text).map_err(|error| self.syntax(error.message(), error.span()))?;
        let experiment = self.read_as::<Experiment>()?;
        let Some(place) = experiment.shadow.iter().position(|shadow| shadow.name == name) else {
            let names: Vec<_> = experiment.shadow.iter().map(|shadow| shadow.name.clone()).collect();
            let help = match nearest(name, &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None if names.is_empty() => "a [[shadow]] of the experiment file makes one".into(),
                None => format!("there are {}", names.join(", ")),
            };
            return Err(self.wrong_key("shadow", format!("there is no shadow `{name}`"), Some(help)));
        };
        let replaced = experiment.shadow.get(place).map_or(0, |shadow| shadow.replaces);
        let shadow = table.get_mut("shadow").and_then(toml::Value::as_array_mut).map(|shadows| shadows.remove(place));
        let objective = shadow.and_then(|shadow| shadow.get("objective").cloned());
        let target = table.get_mut("objective").and_then(|objectives| objectives.get_mut(replaced));
        if let (Some(target), Some(objective)) = (target, objective) {
            *target = objective;
        }
        Ok(Self { name: format!("{} with `{name}` promoted", self.name), text: table.to_string(), ..self })
    }

    /// The experiment.
    ///
    /// # Errors
    /// When the text is not TOML, has an unknown key, or a value of another type.
    pub fn parse(&self) -> Result<Experiment, ExperimentError> {
        let mut experiment: Experiment = self.read_as()?;
        self.check(&experiment)?;
        self.anchor(&mut experiment);
        Ok(experiment)
    }

    /// The file, and the `key=value` settings that were applied to it; none of a text.
    #[must_use]
    pub fn origin(&self) -> Option<(&Path, &[String])> {
        self.file.as_deref().map(|file| (file, self.sets.as_slice()))
    }

    /// The folder that relative paths of the file start at.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The text as what it describes, nothing but its keys and types checked.
    ///
    /// # Errors
    /// When the text is not TOML, has an unknown key, or a value of another type.
    pub fn read_as<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, ExperimentError> {
        let value: toml::Table =
            toml::from_str(&self.text).map_err(|error| self.syntax(error.message(), error.span()))?;
        let schema = schemars::schema_for!(T).to_value();
        if let Some(unknown) = keys::unknown(&schema, &toml::Value::Table(value)) {
            let help = match nearest(&unknown.key, &unknown.known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", unknown.known.join(", ")),
            };
            return Err(self.at(
                &unknown.path,
                SpanPart::Key,
                format!("unknown key `{}`", unknown.path),
                "not a key",
                Some(help),
            ));
        }
        toml::from_str(&self.text).map_err(|error| {
            let fits = expected::is_text(error.message());
            let help = error.span().filter(|_| fits).and_then(|span| self.quoting(&span));
            self.error(expected::in_words(error.message(), &schema), "here", help, error.span())
        })
    }

    /// How to write the value of a setting whose key wants a text, if it is none.
    fn quoting(&self, span: &Range<usize>) -> Option<String> {
        let given = self.text.get(span.clone())?;
        let is_of = |set: &&String| {
            let key = set.split_once('=').map_or("", |(key, _)| key.trim());
            spans::find(&self.text, key, SpanPart::Value).as_ref() == Some(span)
        };
        let set = self.sets.iter().find(is_of)?;
        let (key, value) = set.split_once('=')?;
        let is_text = given.starts_with(['"', '\'']);
        (!is_text).then(|| format!("a text is written in quotes: --set '{}=\"{}\"'", key.trim(), value.trim()))
    }

    /// Whether the entry at `path` is a list.
    #[must_use]
    pub fn is_list(&self, path: &str) -> bool {
        let Ok(table) = toml::from_str::<toml::Table>(&self.text) else { return false };
        let root = toml::Value::Table(table);
        let entry = path.split('.').try_fold(&root, |here, step| match here {
            toml::Value::Array(entries) => entries.get(step.parse::<usize>().ok()?),
            _ => here.get(step),
        });
        entry.is_some_and(toml::Value::is_array)
    }

    /// Makes paths independent of the current folder: relative ones start at the file's folder.
    // What is a path here is one in `setting.rs`, too.
    fn anchor(&self, experiment: &mut Experiment) {
        let anchor = |path: &mut PathBuf| {
            let joined = self.directory.join(&*path);
            *path = std::path::absolute(&joined).unwrap_or(joined);
        };
        let Experiment { data, model, teacher, objective, shadow, fusion, .. } = experiment;
        [&mut data.path, &mut data.relabel, &mut model.weights, &mut model.path].into_iter().flatten().for_each(anchor);
        if let Some(TeacherConfig { run, weights, module, .. }) = teacher {
            [run, weights, module].into_iter().flatten().for_each(anchor);
        }
        let shadows = shadow.iter_mut().map(|ShadowConfig { objective, .. }| objective);
        let objectives = objective.iter_mut().chain(shadows).flat_map(|objective| {
            let ObjectiveConfig { weight: _, on: _, loss, transfer, balance, miner, schedule } = objective;
            [loss, transfer, balance, miner, schedule].into_iter().flatten()
        });
        objectives
            .chain(fusion)
            .map(|strategy| &mut strategy.plugin)
            .filter(|plugin| !plugin.is_bare())
            .map(|plugin| match plugin {
                PluginSource::Component(path) | PluginSource::Crate { directory: path } => path,
            })
            .for_each(anchor);
    }

    fn check(&self, experiment: &Experiment) -> Result<(), ExperimentError> {
        let wrong = |path: &str, message: String| Err(self.wrong_value(path, message, None));
        if experiment.name.is_empty()
            || !experiment.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        {
            return wrong("name", "the name must be letters, digits, `-`, `_` or `.`: it names a folder".into());
        }
        if experiment.epochs == 0 {
            return wrong("epochs", "at least one epoch".into());
        }
        if experiment.threads.is_some_and(|threads| !(1..=MOST_THREADS).contains(&threads)) {
            return wrong("threads", format!("1 to {MOST_THREADS} threads"));
        }
        if experiment.ranks.timeout == 0 {
            return wrong("ranks.timeout", "at least one second".into());
        }
        self.check_tables(experiment)?;
        if experiment.objective.is_empty() {
            return wrong("objective", "at least one [[objective]]".into());
        }
        for (index, objective) in experiment.objective.iter().enumerate() {
            self.check_objective(&format!("objective.{index}"), objective)?;
            if objective.on != On::Embedding && experiment.fusion.is_none() {
                return Err(self.wrong_value(
                    &format!("objective.{index}.on"),
                    "there is no fused embedding: the experiment has no [fusion]".into(),
                    Some("add a table [fusion] with a plugin and a strategy".into()),
                ));
            }
        }
        for (index, shadow) in experiment.shadow.iter().enumerate() {
            let path = format!("shadow.{index}");
            let named = |other: &&ShadowConfig| other.name == shadow.name;
            if shadow.name.is_empty() || !shadow.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
                return wrong(&format!("{path}.name"), "the name must be letters, digits, `-` or `_`".into());
            }
            if experiment.shadow.iter().filter(named).count() > 1 {
                return wrong(&format!("{path}.name"), format!("two shadows are called `{}`", shadow.name));
            }
            if shadow.replaces >= experiment.objective.len() {
                let message = format!("there is no objective {}; the first is 0", shadow.replaces);
                return wrong(&format!("{path}.replaces"), message);
            }
            self.check_objective(&format!("{path}.objective"), &shadow.objective)?;
            if shadow.objective.on != On::Embedding {
                return wrong(
                    &format!("{path}.objective.on"),
                    "a shadow sees the embedding, not what a fusion makes of it".into(),
                );
            }
        }
        experiment
            .session
            .check()
            .map_err(|(key, message)| self.wrong_value(&format!("session.{key}"), message.to_owned(), None))
    }

    fn check_objective(&self, path: &str, objective: &ObjectiveConfig) -> Result<(), ExperimentError> {
        let wrong = |path: &str, message: &str| Err(self.wrong_value(path, message.to_owned(), None));
        if objective.loss.is_some() == objective.transfer.is_some() {
            return wrong(path, "an objective has either a `loss` or a `transfer`");
        }
        if objective.balance.is_some() && objective.transfer.is_none() {
            let message = "a balance weighs the pair losses of a `transfer`; there is none here";
            return wrong(&format!("{path}.balance"), message);
        }
        if !objective.weight.is_finite() {
            return wrong(&format!("{path}.weight"), "the weight must be a finite number");
        }
        Ok(())
    }

    /// Asks the tables that check their own ranges.
    fn check_tables(&self, experiment: &Experiment) -> Result<(), ExperimentError> {
        let wrong = |key: &str, error: &dyn Diagnostic| {
            self.wrong_value(key, error.to_string(), error.help().map(|help| help.to_string()))
        };
        experiment.data.check().map_err(|error| match &error {
            DataError::Setting { key, .. } => wrong(key, &error),
            DataError::NoOfficialSplit { .. } => wrong("data.split", &error),
            _ => wrong("data", &error),
        })?;
        experiment.model.check().map_err(|error| match &error {
            ModelError::Zero { key } | ModelError::NotForScript { key } | ModelError::OnlyForScript { key } => {
                wrong(&format!("model.{key}"), &error)
            }
            ModelError::NotDivisible { .. } => wrong("model.slices", &error),
            _ => wrong("model", &error),
        })?;
        if let Some(teacher) = &experiment.teacher {
            teacher
                .check(experiment.data.kind.channels())
                .map_err(|(key, message)| self.wrong_value(key, message.to_owned(), None))?;
            if let Some(model) = &teacher.model {
                model.check().map_err(|error| wrong("teacher.model", &error))?;
            }
        }
        if let Some(classification) = &experiment.evaluation.classification {
            let table = "evaluation.classification";
            classification
                .check()
                .map_err(|(key, message)| self.wrong_value(&format!("{table}.{key}"), message.to_owned(), None))?;
            if matches!(experiment.data.split(), SplitKind::ClassDisjoint | SplitKind::Official) {
                let message = "classes that nobody was trained on cannot be classified: `data.split` lets no class be \
                    in two parts";
                let help = "take `closed-set` or `subject-folds`, or leave this table out";
                return Err(self.wrong_value(table, message.to_owned(), Some(help.to_owned())));
            }
        }
        let (best, measured) = (&experiment.evaluation.best, experiment.evaluation.metrics(experiment.model.slices));
        let of_a_class = best.split_once('.').is_some_and(|(metric, _)| measured.iter().any(|name| name == metric));
        if !measured.contains(best) && !of_a_class {
            if Direction::of(best) == Some(Direction::Neither) {
                let help = format!("metrics with a best value: {}", measured.join(", "));
                let message = format!("`{best}` has no best value: neither high nor low is better");
                return Err(self.wrong_value("evaluation.best", message, Some(help)));
            }
            let near = nearest(best.trim_start_matches("validation/"), &measured);
            let help = near
                .map_or_else(|| format!("measured: {}", measured.join(", ")), |near| format!("did you mean `{near}`?"));
            return Err(self.wrong_value("evaluation.best", format!("`{best}` is not measured"), Some(help)));
        }
        let rates = experiment.optimizer.check().and_then(|()| experiment.learning_rate.check());
        rates.map_err(|error| wrong(error.key, &error))
    }

    /// An error about the value at `path`.
    #[must_use]
    pub fn wrong_value(&self, path: &str, message: String, help: Option<String>) -> ExperimentError {
        self.at(path, SpanPart::Value, message, "here", help)
    }

    /// An error about the key at `path`.
    #[must_use]
    pub fn wrong_key(&self, path: &str, message: String, help: Option<String>) -> ExperimentError {
        self.at(path, SpanPart::Key, message, "here", help)
    }

    fn at(&self, path: &str, part: SpanPart, message: String, label: &str, help: Option<String>) -> ExperimentError {
        self.error(message, label, help, spans::find(&self.text, path, part))
    }

    fn syntax(&self, message: &str, span: Option<Range<usize>>) -> ExperimentError {
        self.error(message.to_owned(), "here", None, span)
    }

    fn error(&self, message: String, label: &str, help: Option<String>, span: Option<Range<usize>>) -> ExperimentError {
        ExperimentError::At {
            message,
            label: label.to_owned(),
            help,
            text: Arc::new(NamedSource::new(&self.name, self.text.clone()).with_language("TOML")),
            span: span.map(Into::into),
        }
    }
}

/// The place in a document that a path names; tables on the way are made.
fn place<'a>(document: &'a mut DocumentMut, path: &str) -> Result<&'a mut Item, String> {
    let mut item = document.as_item_mut();
    for step in path.split('.') {
        if step.is_empty() {
            return Err("the key is empty".into());
        }
        let indexed = item.is_array_of_tables() || item.is_array();
        if indexed {
            let index: usize = step.parse().map_err(|_| format!("`{step}` must be a number: 0 is the first"))?;
            let count = item
                .as_array_of_tables()
                .map(toml_edit::ArrayOfTables::len)
                .or_else(|| item.as_array().map(toml_edit::Array::len))
                .unwrap_or_default();
            item = item.get_mut(index).ok_or_else(|| format!("there is no entry {index}; there are {count}"))?;
        } else if item.is_table_like() || item.is_none() {
            // Makes the entry when it is missing.
            item = &mut item[step];
        } else {
            return Err(format!("`{step}` is below a value"));
        }
    }
    Ok(item)
}
