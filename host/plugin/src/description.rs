//! Descriptions of strategies: role, name, and parameters with their types, ranges and defaults.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a strategy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Embeddings and labels in, scalar out.
    Loss,
    /// Embeddings and labels in, tuples out.
    Miner,
    /// Teacher and student in, pair losses out.
    Transfer,
    /// Pair losses in, weighted scalar out.
    Balance,
    /// Progress in, a threshold per slice out.
    Schedule,
    /// Slices in, one embedding out.
    Fusion,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 6] = [Self::Loss, Self::Miner, Self::Transfer, Self::Balance, Self::Schedule, Self::Fusion];

    /// The name in the contract, and wherever a user gives one.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Miner => "miner",
            Self::Transfer => "transfer",
            Self::Balance => "balance",
            Self::Schedule => "schedule",
            Self::Fusion => "fusion",
        }
    }

    /// Its inputs and its result, in one line.
    #[must_use]
    pub fn summary(self) -> &'static str {
        match self {
            Self::Loss => "Embeddings and labels in, scalar out",
            Self::Miner => "Embeddings and labels in, tuples out",
            Self::Transfer => "Teacher and student in, pair losses out",
            Self::Balance => "Pair losses in, weighted scalar out",
            Self::Schedule => "Progress in, a threshold per slice out",
            Self::Fusion => "Slices in, one embedding out",
        }
    }
}

/// A name that no role has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no role `{0}`")]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.name() == name).ok_or_else(|| UnknownRole(name.to_owned()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// A strategy as its component describes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Strategy {
    /// What it does.
    pub role: Role,
    /// Its name, unique within the role and component.
    pub name: String,
    /// One line.
    pub summary: String,
    /// Its parameters.
    pub params: Vec<Parameter>,
}

/// A parameter of a strategy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// One line.
    pub summary: String,
    /// Type, default and range.
    #[serde(flatten)]
    pub kind: ParameterType,
}

/// Type, default and range of a parameter.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ParameterType {
    /// A number.
    Number {
        /// Used when no value is given.
        default: f64,
        /// Bounds.
        #[serde(flatten)]
        range: Range,
    },
    /// An integer; bounds are included.
    Integer {
        /// Used when no value is given.
        default: i64,
        /// Lower bound.
        #[serde(skip_serializing_if = "Option::is_none")]
        minimum: Option<i64>,
        /// Upper bound.
        #[serde(skip_serializing_if = "Option::is_none")]
        maximum: Option<i64>,
    },
    /// True or false.
    Boolean {
        /// Used when no value is given.
        default: bool,
    },
    /// A text.
    Text {
        /// Used when no value is given.
        default: String,
        /// What is allowed; empty: anything.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        choices: Vec<String>,
    },
    /// A list of numbers.
    Numbers {
        /// Used when no value is given.
        default: Vec<f64>,
        /// Bounds of each number.
        #[serde(flatten)]
        range: Range,
    },
}

/// Bounds of a number, each with the word of JSON Schema that says whether it is included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Range {
    /// Smallest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    /// Values are above this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusive_minimum: Option<f64>,
    /// Largest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<f64>,
    /// Values are below this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusive_maximum: Option<f64>,
}

impl Strategy {
    /// The first contradiction in the description, if there is one.
    pub(super) fn contradiction(&self) -> Option<String> {
        let mut names = HashSet::new();
        self.params.iter().find_map(|parameter| {
            let Parameter { name, kind, .. } = parameter;
            if !names.insert(name) {
                return Some(format!("the parameter `{name}` is described twice"));
            }
            kind.contradiction().map(|text| format!("the parameter `{name}`: {text}"))
        })
    }
}

impl ParameterType {
    fn contradiction(&self) -> Option<String> {
        match self {
            Self::Number { range, .. } | Self::Numbers { range, .. } if range.is_empty() => {
                Some(format!("no number is {range}"))
            }
            Self::Integer { minimum: Some(minimum), maximum: Some(maximum), .. } if minimum > maximum => {
                Some(format!("no integer is at least {minimum} and at most {maximum}"))
            }
            Self::Number { default, range } => {
                (!range.contains(*default)).then(|| format!("its default {default} is not {range}"))
            }
            Self::Numbers { default, range } => {
                let outside = default.iter().find(|number| !range.contains(**number));
                outside.map(|number| format!("{number} in its default is not {range}"))
            }
            Self::Integer { default, minimum, maximum } => {
                let too_small = minimum.filter(|minimum| default < minimum).map(|m| format!("at least {m}"));
                let too_large = maximum.filter(|maximum| default > maximum).map(|m| format!("at most {m}"));
                too_small.or(too_large).map(|range| format!("its default {default} is not {range}"))
            }
            Self::Text { default, choices } if !choices.is_empty() && !choices.contains(default) => {
                Some(format!("its default \"{default}\" is not among its choices {}", choices.join(", ")))
            }
            Self::Text { .. } | Self::Boolean { .. } => None,
        }
    }
}

impl Range {
    /// Whether no value is within the bounds.
    fn is_empty(&self) -> bool {
        let low = self.minimum.into_iter().chain(self.exclusive_minimum);
        let high: Vec<f64> = self.maximum.into_iter().chain(self.exclusive_maximum).collect();
        let closed = self.exclusive_minimum.is_none() && self.exclusive_maximum.is_none();
        low.into_iter().any(|low| high.iter().any(|high| low > *high || (low == *high && !closed)))
    }

    /// Whether a value is within the bounds. NaN never is.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        !value.is_nan()
            && self.minimum.is_none_or(|bound| value >= bound)
            && self.exclusive_minimum.is_none_or(|bound| value > bound)
            && self.maximum.is_none_or(|bound| value <= bound)
            && self.exclusive_maximum.is_none_or(|bound| value < bound)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let low =
            self.minimum.map(|v| format!("at least {v}")).or(self.exclusive_minimum.map(|v| format!("above {v}")));
        let high =
            self.maximum.map(|v| format!("at most {v}")).or(self.exclusive_maximum.map(|v| format!("below {v}")));
        match (low, high) {
            (Some(low), Some(high)) => write!(out, "{low} and {high}"),
            (Some(one), None) | (None, Some(one)) => out.write_str(&one),
            (None, None) => out.write_str("any number"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn strategy(params: Vec<(&str, ParameterType)>) -> Strategy {
        let parameter = |(name, kind): (&str, _)| Parameter { name: name.into(), summary: "one".into(), kind };
        let params = params.into_iter().map(parameter).collect();
        Strategy { role: Role::Loss, name: "own".into(), summary: "one".into(), params }
    }

    fn number(default: f64, range: Range) -> ParameterType {
        ParameterType::Number { default, range }
    }

    fn integer(default: i64, minimum: i64, maximum: i64) -> ParameterType {
        ParameterType::Integer { default, minimum: Some(minimum), maximum: Some(maximum) }
    }

    #[test]
    fn each_contradiction_is_named() {
        let from_zero = Range { minimum: Some(0.0), ..Range::default() };
        let none = Range { exclusive_minimum: Some(1.0), maximum: Some(1.0), ..Range::default() };
        let text = ParameterType::Text { default: "men".into(), choices: vec!["mean".into(), "sum".into()] };
        let numbers = ParameterType::Numbers { default: vec![1.0, -2.0], range: from_zero };
        for (params, word) in [
            (vec![("a", number(-1.0, from_zero))], "`a`: its default -1 is not at least 0"),
            (vec![("a", number(1.0, none))], "no number is above 1 and at most 1"),
            (vec![("a", number(f64::NAN, Range::default()))], "its default NaN is not any number"),
            (vec![("a", integer(5, 0, 4))], "its default 5 is not at most 4"),
            (vec![("a", integer(0, 4, 2))], "no integer is at least 4 and at most 2"),
            (vec![("a", text)], "\"men\" is not among its choices mean, sum"),
            (vec![("a", numbers)], "-2 in its default is not at least 0"),
            (vec![("a", integer(1, 0, 4)), ("a", integer(2, 0, 4))], "`a` is described twice"),
        ] {
            let found = strategy(params).contradiction().unwrap();
            assert!(found.contains(word), "{word} is not in: {found}");
        }
    }

    #[test]
    fn a_role_is_read_by_its_name() {
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        assert_eq!("Loss".parse::<Role>(), Err(UnknownRole("Loss".into())));
    }

    #[test]
    fn what_is_possible_is_no_contradiction() {
        let at_one = Range { minimum: Some(1.0), maximum: Some(1.0), ..Range::default() };
        let free = ParameterType::Text { default: String::new(), choices: Vec::new() };
        let params = vec![("a", number(1.0, at_one)), ("b", integer(4, 0, 4)), ("c", free)];
        assert_eq!(strategy(params).contradiction(), None);
    }
}
