//! Checks of a strategy's description, and of the ranges that it gives its parameters.

use std::collections::BTreeMap;
use std::sync::Arc;

use lossmith_plugin::{ParameterType, Params, Plugin, Range, Runtime, State, Strategy, Value};
use tch::Kind;

use super::batch::TrialBatch;
use super::error::CheckError;
use super::report::StrategyReport;
use super::subject::{NotComputed, Subject, refusal};

/// Names and summaries are there, and are what users of other strategies know.
pub(super) fn check(strategy: &Strategy, report: &mut StrategyReport) {
    let mut wrong = Vec::new();
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let mut named = |what: &str, name: &str, summary: &str| {
        if name.is_empty() || !name.chars().all(is_word) {
            wrong.push(format!("{what} `{name}`: names are lower-case words joined by hyphens"));
        }
        if summary.trim().is_empty() {
            wrong.push(format!("{what} `{name}` has no summary: one line for `lossmith plugin inspect`"));
        }
    };
    named("the strategy", &strategy.name, &strategy.summary);
    for parameter in &strategy.params {
        named("the parameter", &parameter.name, &parameter.summary);
    }
    let good = format!("name, summary and {} parameters are described", strategy.params.len());
    report.judge("description", good, &wrong);
}

/// One value of one parameter.
pub(super) struct Variant {
    pub(super) parameter: String,
    pub(super) value: Value,
}

impl Variant {
    pub(super) fn given(&self, base: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
        let mut given = base.clone();
        given.insert(self.parameter.clone(), self.value.clone());
        given
    }
}

/// Every choice and every truth value that is not the default.
pub(super) fn choices(strategy: &Strategy) -> Vec<Variant> {
    let variants = strategy.params.iter().flat_map(|parameter| {
        let values = match &parameter.kind {
            ParameterType::Boolean { default } => vec![Value::Boolean(!default)],
            ParameterType::Text { default, choices } => {
                choices.iter().filter(|choice| *choice != default).cloned().map(Value::Text).collect()
            }
            _ => Vec::new(),
        };
        values.into_iter().map(|value| Variant { parameter: parameter.name.clone(), value })
    });
    variants.collect()
}

/// The ends of every range that belong to it, and values that are outside.
fn ends(strategy: &Strategy) -> (Vec<Variant>, Vec<Variant>) {
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for parameter in &strategy.params {
        let put = |list: &mut Vec<Variant>, value| list.push(Variant { parameter: parameter.name.clone(), value });
        match &parameter.kind {
            ParameterType::Number {
                range: Range { minimum, exclusive_minimum, maximum, exclusive_maximum }, ..
            } => {
                minimum.iter().chain(maximum).for_each(|&end| put(&mut inside, Value::Number(end)));
                exclusive_minimum
                    .iter()
                    .chain(exclusive_maximum)
                    .for_each(|&end| put(&mut outside, Value::Number(end)));
                minimum.iter().for_each(|&end| put(&mut outside, Value::Number(end - 1.0)));
                maximum.iter().for_each(|&end| put(&mut outside, Value::Number(end + 1.0)));
                put(&mut outside, Value::Number(f64::NAN));
            }
            ParameterType::Integer { minimum, maximum, .. } => {
                minimum.iter().chain(maximum).for_each(|&end| put(&mut inside, Value::Integer(end)));
                minimum.iter().for_each(|&end| put(&mut outside, Value::Integer(end.saturating_sub(1))));
                maximum.iter().for_each(|&end| put(&mut outside, Value::Integer(end.saturating_add(1))));
                put(&mut outside, Value::Text("a text".into()));
            }
            ParameterType::Boolean { .. } => put(&mut outside, Value::Text("a text".into())),
            ParameterType::Text { choices, .. } => {
                if !choices.is_empty() {
                    put(&mut outside, Value::Text("no such choice".into()));
                }
            }
            ParameterType::Numbers { .. } => put(&mut outside, Value::Text("a text".into())),
        }
    }
    (inside, outside)
}

/// Values outside the ranges are refused before the plugin sees them; at their ends it computes, or says why not.
pub(super) fn ranges(
    runtime: &Arc<Runtime>,
    plugin: &Arc<Plugin>,
    strategy: &Strategy,
    base: &BTreeMap<String, Value>,
    batch: &TrialBatch,
    report: &mut StrategyReport,
) -> Result<(), CheckError> {
    let (inside, outside) = ends(strategy);
    let mut wrong = Vec::new();
    for variant in &outside {
        if Params::new(strategy, &variant.given(base)).is_ok() {
            wrong.push(format!("{} = {} is outside and not refused", variant.parameter, variant.value));
        }
    }
    let choices = choices(strategy);
    let mut told = Vec::new();
    for variant in inside.iter().chain(&choices) {
        let at = format!("{} = {}", variant.parameter, variant.value);
        let mut subject = Subject::new(runtime, plugin, strategy.role, &strategy.name, &variant.given(base))?;
        match subject.evaluate(batch, Kind::Float, &State::default()) {
            Ok(found) => wrong.extend(found.not_finite.map(|text| format!("with {at}: {text}"))),
            Err(error) => match refusal(error)? {
                NotComputed::Told(text) => told.push(format!("{at}: {text}")),
                NotComputed::Fault(text) => wrong.push(format!("with {at}: {text}")),
            },
        }
    }
    let tried = inside.len() + choices.len();
    let mut good = format!("{} values outside are refused; {tried} ends and choices are computed", outside.len());
    if !told.is_empty() {
        good += &format!(", of these refused with a text: {}", told.join("; "));
    }
    report.judge("parameters", good, &wrong);
    Ok(())
}
