//! Values of a strategy's parameters, checked against its description.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::description::{ParameterType, Strategy};

/// A value as a user gives it, in JSON or in TOML.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Value {
    /// True or false.
    Boolean(bool),
    /// An integer; also good for a number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// A list of numbers.
    Numbers(Vec<f64>),
}

impl std::fmt::Display for Value {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean(value) => write!(out, "{value}"),
            Self::Integer(value) => write!(out, "{value}"),
            Self::Number(value) => write!(out, "{value}"),
            Self::Text(value) => write!(out, "\"{value}\""),
            Self::Numbers(value) => write!(out, "{value:?}"),
        }
    }
}

/// One value for each parameter that a strategy described.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Params(BTreeMap<String, Value>);

/// A parameter that does not fit.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ParameterError {
    /// The strategy has no such parameter.
    #[error("`{strategy}` has no parameter `{parameter}`")]
    Unknown {
        /// The strategy.
        strategy: String,
        /// The name that was given.
        parameter: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// Another type.
    #[error("parameter `{parameter}` of `{strategy}` is {expected}, not {found}")]
    Type {
        /// The strategy.
        strategy: String,
        /// The parameter.
        parameter: String,
        /// What it should be.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// Outside the range or the choices.
    #[error("parameter `{parameter}` of `{strategy}` must be {expected}, not {found}")]
    Range {
        /// The strategy.
        strategy: String,
        /// The parameter.
        parameter: String,
        /// What is allowed.
        expected: String,
        /// What was given.
        found: String,
        /// The nearest choice, for a text.
        near: Option<String>,
    },
}

impl ParameterError {
    /// The parameter that is wrong.
    #[must_use]
    pub fn parameter(&self) -> &str {
        match self {
            Self::Unknown { parameter, .. } | Self::Type { parameter, .. } | Self::Range { parameter, .. } => parameter,
        }
    }

    /// Advice on the mistake.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Unknown { parameter, known, .. } => Some(match crate::suggest::nearest(parameter, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "it has no parameters".into(),
                None => format!("it has {}", known.join(", ")),
            }),
            Self::Type { .. } => None,
            Self::Range { near, .. } => near.as_ref().map(|near| format!("did you mean \"{near}\"?")),
        }
    }
}

impl Params {
    /// Checks given values against a description and fills in the defaults.
    ///
    /// # Errors
    /// A name that the strategy does not have, another type, or a value outside the range.
    pub fn new(strategy: &Strategy, given: &BTreeMap<String, Value>) -> Result<Self, ParameterError> {
        if let Some(unknown) = given.keys().find(|name| strategy.params.iter().all(|p| &p.name != *name)) {
            return Err(ParameterError::Unknown {
                strategy: strategy.name.clone(),
                parameter: unknown.clone(),
                known: strategy.params.iter().map(|p| p.name.clone()).collect(),
            });
        }
        let values = strategy.params.iter().map(|parameter| {
            let value = match given.get(&parameter.name) {
                Some(value) => check(strategy, &parameter.name, &parameter.kind, value)?,
                None => default(&parameter.kind),
            };
            Ok((parameter.name.clone(), value))
        });
        Ok(Self(values.collect::<Result<_, _>>()?))
    }

    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

fn default(kind: &ParameterType) -> Value {
    match kind {
        ParameterType::Number { default, .. } => Value::Number(*default),
        ParameterType::Integer { default, .. } => Value::Integer(*default),
        ParameterType::Boolean { default } => Value::Boolean(*default),
        ParameterType::Text { default, .. } => Value::Text(default.clone()),
        ParameterType::Numbers { default, .. } => Value::Numbers(default.clone()),
    }
}

fn check(strategy: &Strategy, name: &str, kind: &ParameterType, value: &Value) -> Result<Value, ParameterError> {
    let wrong_type = |expected| ParameterError::Type {
        strategy: strategy.name.clone(),
        parameter: name.to_owned(),
        expected,
        found: value.to_string(),
    };
    let outside = |expected: String, near: Option<&str>| ParameterError::Range {
        strategy: strategy.name.clone(),
        parameter: name.to_owned(),
        expected,
        found: value.to_string(),
        near: near.map(str::to_owned),
    };
    match (kind, value) {
        (ParameterType::Number { range, .. }, Value::Number(_) | Value::Integer(_)) => {
            let number = match value {
                Value::Integer(integer) => *integer as f64,
                Value::Number(number) => *number,
                _ => return Err(wrong_type("a number")),
            };
            if range.contains(number) { Ok(Value::Number(number)) } else { Err(outside(range.to_string(), None)) }
        }
        (ParameterType::Integer { minimum, maximum, .. }, Value::Integer(integer)) => {
            if minimum.is_none_or(|bound| *integer >= bound) && maximum.is_none_or(|bound| *integer <= bound) {
                return Ok(value.clone());
            }
            let bound = |word, bound: &Option<i64>| bound.map(|bound| format!("{word} {bound}"));
            let parts: Vec<_> = [bound("at least", minimum), bound("at most", maximum)].into_iter().flatten().collect();
            Err(outside(parts.join(" and "), None))
        }
        (ParameterType::Boolean { .. }, Value::Boolean(_)) => Ok(value.clone()),
        (ParameterType::Text { choices, .. }, Value::Text(text)) => {
            if choices.is_empty() || choices.contains(text) {
                return Ok(value.clone());
            }
            let quoted: Vec<_> = choices.iter().map(|choice| format!("\"{choice}\"")).collect();
            Err(outside(format!("one of {}", quoted.join(", ")), crate::suggest::nearest(text, choices)))
        }
        (ParameterType::Numbers { range, .. }, Value::Numbers(numbers)) => {
            if numbers.iter().all(|number| range.contains(*number)) {
                Ok(value.clone())
            } else {
                Err(outside(format!("numbers, each {range}"), None))
            }
        }
        (ParameterType::Number { .. }, _) => Err(wrong_type("a number")),
        (ParameterType::Integer { .. }, _) => Err(wrong_type("an integer")),
        (ParameterType::Boolean { .. }, _) => Err(wrong_type("true or false")),
        (ParameterType::Text { .. }, _) => Err(wrong_type("a text")),
        (ParameterType::Numbers { .. }, _) => Err(wrong_type("a list of numbers")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::description::{Parameter, Range, Role};
    use super::*;

    fn strategy() -> Strategy {
        let range = Range { minimum: Some(0.0), exclusive_maximum: Some(2.0), ..Range::default() };
        let text = ParameterType::Text { default: "mean".into(), choices: vec!["mean".into(), "sum".into()] };
        Strategy {
            role: Role::Loss,
            name: "triplet".into(),
            summary: String::new(),
            params: vec![
                Parameter {
                    name: "margin".into(),
                    summary: String::new(),
                    kind: ParameterType::Number { default: 0.2, range },
                },
                Parameter { name: "reducer".into(), summary: String::new(), kind: text },
            ],
        }
    }

    fn params(name: &str, value: Value) -> Result<Params, ParameterError> {
        Params::new(&strategy(), &BTreeMap::from([(name.to_owned(), value)]))
    }

    #[test]
    fn defaults_fill_what_is_not_given_and_integers_are_numbers() {
        let params = params("margin", Value::Integer(1));
        assert_eq!(params.as_ref().ok().and_then(|p| p.get("margin")), Some(&Value::Number(1.0)));
        assert_eq!(params.as_ref().ok().and_then(|p| p.get("reducer")), Some(&Value::Text("mean".into())));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert!(matches!(params("margin", Value::Number(2.0)), Err(ParameterError::Range { expected, .. })
                if expected == "at least 0 and below 2"));
        assert!(matches!(params("margin", Value::Number(f64::NAN)), Err(ParameterError::Range { .. })));
        assert!(matches!(
            params("margin", Value::Text("0.2".into())),
            Err(ParameterError::Type { expected: "a number", .. })
        ));
        assert!(
            matches!(params("reducer", Value::Text("men".into())), Err(ParameterError::Range { near: Some(near), .. })
                if near == "mean")
        );
        let unknown = params("magin", Value::Number(0.1));
        assert_eq!(unknown.err().and_then(|e| e.help()).as_deref(), Some("did you mean `margin`?"));
    }
}
