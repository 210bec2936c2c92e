//! Typed parameters.

use std::ops::{Bound, RangeBounds};

use crate::Result;
use crate::bindings::exports::lossmith::plugin::describe::{
    self, IntegerType, NumberType, NumbersType, ParameterType, TextType,
};
use crate::bindings::lossmith::plugin::context as host;

/// One value for each parameter that the strategy described, already checked by the host.
#[derive(Debug)]
pub struct Params<'a>(pub(crate) &'a host::Params);

impl Params<'_> {
    /// A text. A fault: there is no such parameter, or it is not a text.
    pub fn text(&self, name: &str) -> String {
        self.0.text(name)
    }
}

/// A type that a field of a strategy can have: one parameter, or several that belong together.
pub trait Parameter: Sized {
    /// What a range is made of; `()` for a type without ranges.
    type Element;

    /// The parameters for the host: `name` with its type, default and range, and those that go with it.
    fn describe(
        name: &str,
        summary: &str,
        default: Self,
        range: impl RangeBounds<Self::Element>,
    ) -> Vec<describe::Parameter>;

    /// The value of the parameter `name`, with those that go with it.
    fn read(params: &Params, name: &str) -> Result<Self>;
}

/// The range of numbers above `limit`, which is not allowed itself.
pub fn above(limit: f64) -> (Bound<f64>, Bound<f64>) {
    (Bound::Excluded(limit), Bound::Unbounded)
}

/// The range of numbers between two limits, which are not allowed themselves.
pub fn between(low: f64, high: f64) -> (Bound<f64>, Bound<f64>) {
    (Bound::Excluded(low), Bound::Excluded(high))
}

/// A single parameter.
#[doc(hidden)]
pub fn one(name: &str, summary: &str, type_: ParameterType) -> Vec<describe::Parameter> {
    vec![describe::Parameter { name: name.to_owned(), summary: summary.to_owned(), type_ }]
}

fn bound(limit: Bound<&f64>) -> Option<describe::Bound> {
    match limit {
        Bound::Included(&value) => Some(describe::Bound { value, inclusive: true }),
        Bound::Excluded(&value) => Some(describe::Bound { value, inclusive: false }),
        Bound::Unbounded => None,
    }
}

/// An integer limit as one that is included; `inwards` is 1 for a lower limit and -1 for an upper one.
fn included(limit: Bound<&i64>, inwards: i64) -> Option<i64> {
    match limit {
        Bound::Included(&value) => Some(value),
        Bound::Excluded(&value) => Some(value.saturating_add(inwards)),
        Bound::Unbounded => None,
    }
}

impl Parameter for f64 {
    type Element = f64;

    fn describe(name: &str, summary: &str, default: Self, range: impl RangeBounds<f64>) -> Vec<describe::Parameter> {
        let (minimum, maximum) = (bound(range.start_bound()), bound(range.end_bound()));
        one(name, summary, ParameterType::Number(NumberType { default, minimum, maximum }))
    }

    fn read(params: &Params, name: &str) -> Result<Self> {
        Ok(params.0.number(name))
    }
}

impl Parameter for i64 {
    type Element = i64;

    fn describe(name: &str, summary: &str, default: Self, range: impl RangeBounds<i64>) -> Vec<describe::Parameter> {
        let (minimum, maximum) = (included(range.start_bound(), 1), included(range.end_bound(), -1));
        one(name, summary, ParameterType::Integer(IntegerType { default, minimum, maximum }))
    }

    fn read(params: &Params, name: &str) -> Result<Self> {
        Ok(params.0.integer(name))
    }
}

impl Parameter for bool {
    type Element = ();

    fn describe(name: &str, summary: &str, default: Self, _: impl RangeBounds<()>) -> Vec<describe::Parameter> {
        one(name, summary, ParameterType::Boolean(default))
    }

    fn read(params: &Params, name: &str) -> Result<Self> {
        Ok(params.0.boolean(name))
    }
}

impl Parameter for String {
    type Element = ();

    fn describe(name: &str, summary: &str, default: Self, _: impl RangeBounds<()>) -> Vec<describe::Parameter> {
        one(name, summary, ParameterType::Text(TextType { default, choices: Vec::new() }))
    }

    fn read(params: &Params, name: &str) -> Result<Self> {
        Ok(params.text(name))
    }
}

impl Parameter for Vec<f64> {
    type Element = f64;

    fn describe(name: &str, summary: &str, default: Self, range: impl RangeBounds<f64>) -> Vec<describe::Parameter> {
        let (minimum, maximum) = (bound(range.start_bound()), bound(range.end_bound()));
        one(name, summary, ParameterType::Numbers(NumbersType { default, minimum, maximum }))
    }

    fn read(params: &Params, name: &str) -> Result<Self> {
        Ok(params.0.numbers(name))
    }
}
