//! The interface `describe` of the contract: descriptions of the strategies of a component.

use crate::bindings::exports::lossmith::plugin::describe as wit;
use crate::description::{Parameter, ParameterType, Range, Role, Strategy};
use crate::printable::printable;

impl From<wit::Role> for Role {
    fn from(role: wit::Role) -> Self {
        match role {
            wit::Role::Loss => Self::Loss,
            wit::Role::Miner => Self::Miner,
            wit::Role::Transfer => Self::Transfer,
            wit::Role::Balance => Self::Balance,
            wit::Role::Schedule => Self::Schedule,
            wit::Role::Fusion => Self::Fusion,
        }
    }
}

impl Range {
    fn new(low: Option<wit::Bound>, high: Option<wit::Bound>) -> Self {
        let pick = |bound: Option<wit::Bound>, inclusive| bound.filter(|b| b.inclusive == inclusive).map(|b| b.value);
        Self {
            minimum: pick(low, true),
            exclusive_minimum: pick(low, false),
            maximum: pick(high, true),
            exclusive_maximum: pick(high, false),
        }
    }
}

impl From<wit::Strategy> for Strategy {
    fn from(strategy: wit::Strategy) -> Self {
        let wit::Strategy { role, name, summary, parameters } = strategy;
        let (name, summary) = (printable(&name), printable(&summary));
        Self { role: role.into(), name, summary, params: parameters.into_iter().map(Parameter::from).collect() }
    }
}

impl From<wit::Parameter> for Parameter {
    fn from(parameter: wit::Parameter) -> Self {
        let wit::Parameter { name, summary, type_ } = parameter;
        let kind = match type_ {
            wit::ParameterType::Number(wit::NumberType { default, minimum, maximum }) => {
                ParameterType::Number { default, range: Range::new(minimum, maximum) }
            }
            wit::ParameterType::Integer(wit::IntegerType { default, minimum, maximum }) => {
                ParameterType::Integer { default, minimum, maximum }
            }
            wit::ParameterType::Boolean(default) => ParameterType::Boolean { default },
            wit::ParameterType::Text(wit::TextType { default, choices }) => {
                let choices = choices.iter().map(|choice| printable(choice)).collect();
                ParameterType::Text { default: printable(&default), choices }
            }
            wit::ParameterType::Numbers(wit::NumbersType { default, minimum, maximum }) => {
                ParameterType::Numbers { default, range: Range::new(minimum, maximum) }
            }
        };
        Self { name: printable(&name), summary: printable(&summary), kind }
    }
}
