//! What a plugin written with the macros tells the host about itself.

use lossmith_sdk::bindings::exports::lossmith::plugin::describe::{Bound, Guest, ParameterType, Role};
use lossmith_sdk::prelude::*;

strategy! {
    /// The squared norm,
    /// for a test.
    ///
    /// More about it.
    pub struct SquaredNorm as "squared-norm" {
        /// A number.
        positive_margin: f64 = 0.5, range 0.0..=2.0;
        /// Another number.
        temperature: f64 = 0.1, range above(0.0);
        /// A count.
        count: i64 = 3, range 1..10;
        /// A switch.
        swap: bool = true;
        /// A list.
        thresholds: Vec<f64> = vec![0.1, 0.2], range 0.0..;
        /// A text.
        title: String = "x".to_owned();
        /// A choice.
        distance: Distance = Distance::cosine();
    }
}

impl Loss for SquaredNorm {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let numbers = self.positive_margin + self.temperature + self.count as f64 + self.thresholds.iter().sum::<f64>();
        let matrix = self.distance.matrix(&batch.embeddings());
        if self.swap { Ok(matrix.sum(ALL) * numbers) } else { Err(self.title.as_str().into()) }
    }
}

strategy! {
    /// Zero.
    pub struct Zero as "zero" {}
}

impl Schedule for Zero {
    fn thresholds(&self, batch: &Batch, _: &Progress) -> Result<Vec<f64>> {
        Ok(vec![0.0; batch.slice_count() as usize])
    }
}

export! { schedules: [Zero], losses: [SquaredNorm] }

#[test]
fn a_component_lists_its_strategies_with_their_roles() {
    let seen: Vec<_> = Component::strategies().into_iter().map(|it| (it.role, it.name, it.summary)).collect();
    assert_eq!(
        seen,
        [
            (Role::Loss, "squared-norm".to_owned(), "The squared norm, for a test.".to_owned()),
            (Role::Schedule, "zero".to_owned(), "Zero.".to_owned()),
        ]
    );
}

/// Type, default, lower and upper bound of a parameter.
fn text(parameter: &ParameterType) -> String {
    let bound = |bound: Option<Bound>| bound.map(|bound| (bound.value, bound.inclusive));
    match parameter {
        ParameterType::Number(it) => {
            format!("number {} {:?} {:?}", it.default, bound(it.minimum), bound(it.maximum))
        }
        ParameterType::Integer(it) => format!("integer {} {:?} {:?}", it.default, it.minimum, it.maximum),
        ParameterType::Boolean(default) => format!("boolean {default}"),
        ParameterType::Text(it) => format!("text {} {:?}", it.default, it.choices),
        ParameterType::Numbers(it) => {
            format!("numbers {:?} {:?} {:?}", it.default, bound(it.minimum), bound(it.maximum))
        }
    }
}

#[test]
fn each_parameter_has_name_summary_type_default_and_range() {
    let strategies = Component::strategies();
    let seen: Vec<_> = strategies
        .iter()
        .flat_map(|strategy| &strategy.parameters)
        .map(|parameter| (parameter.name.as_str(), parameter.summary.as_str(), text(&parameter.type_)))
        .collect();
    let expected = [
        ("positive-margin", "A number.", "number 0.5 Some((0.0, true)) Some((2.0, true))"),
        ("temperature", "Another number.", "number 0.1 Some((0.0, false)) None"),
        ("count", "A count.", "integer 3 Some(1) Some(9)"),
        ("swap", "A switch.", "boolean true"),
        ("thresholds", "A list.", "numbers [0.1, 0.2] Some((0.0, true)) None"),
        ("title", "A text.", "text x []"),
        (
            "distance",
            "A choice.",
            "text cosine [\"euclidean\", \"squared-euclidean\", \"lp\", \"cosine\", \"dot\", \"snr\"]",
        ),
        ("p", "Order of the distance lp.", "number 2 Some((0.0, false)) None"),
        (
            "normalize",
            "Whether embeddings are divided by their norm before they are compared; cosines always are.",
            "boolean true",
        ),
    ];
    assert_eq!(seen, expected.map(|(name, summary, text)| (name, summary, text.to_owned())));
}
