//! What a strategy returns, of tensors or of their places in a program.

use std::collections::BTreeMap;

/// What a strategy returns.
#[derive(Clone, Debug)]
pub(crate) enum Returned<T> {
    /// A loss, or a fused embedding.
    Value(T),
    /// A balanced loss; `by_values` if it was made of the values of pair losses alone, not of their parts.
    Balanced { value: T, by_values: bool },
    /// Anchors, positives, negatives.
    Triplets([T; 3]),
    /// Anchors, positives, negative anchors, negatives.
    Pairs([T; 4]),
    /// Pair losses.
    PairLosses { values: T, divisor: f64, parts: BTreeMap<String, T> },
    /// Thresholds of a schedule.
    Thresholds(Vec<f64>),
}

impl<T> Returned<T> {
    /// The same of other values; none where there is none for one of them.
    pub(crate) fn map<U>(&self, mut of: impl FnMut(&T) -> Option<U>) -> Option<Returned<U>> {
        Some(match self {
            Self::Value(value) => Returned::Value(of(value)?),
            Self::Balanced { value, by_values } => Returned::Balanced { value: of(value)?, by_values: *by_values },
            Self::Triplets([a, p, n]) => Returned::Triplets([of(a)?, of(p)?, of(n)?]),
            Self::Pairs([a, p, b, n]) => Returned::Pairs([of(a)?, of(p)?, of(b)?, of(n)?]),
            Self::PairLosses { values, divisor, parts } => Returned::PairLosses {
                values: of(values)?,
                divisor: *divisor,
                parts: parts.iter().map(|(name, part)| Some((name.clone(), of(part)?))).collect::<Option<_>>()?,
            },
            Self::Thresholds(thresholds) => Returned::Thresholds(thresholds.clone()),
        })
    }
}
