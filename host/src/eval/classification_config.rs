//! The `[evaluation.classification]` table of an experiment file.

use std::fmt;
use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// By which classifiers embeddings are judged, and their settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ClassificationConfig {
    /// Which classifiers, at least one and none twice. Default: all, ["linear", "nearest-neighbours", "class-mean"].
    #[schemars(length(min = 1))]
    pub classifiers: Vec<Classifier>,
    /// How many of the nearest training images vote for the class of a query, at least 1; all if there are fewer.
    /// Default 10.
    pub neighbours: NonZeroUsize,
    /// The L2 penalty of the linear classifier, above 0: half of it times the sum of the squared weights, without the
    /// biases, is added to the mean cross-entropy. Default 1e-4.
    #[schemars(range(min = 0.0))]
    pub regularisation: f64,
    /// Steps in which the linear classifier is fitted, at least 1. Default 300.
    pub iterations: NonZeroUsize,
}

/// What finds the class of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Classifier {
    /// A softmax regression with weights and biases that is fitted to the training images.
    Linear,
    /// A vote of the nearest training images. Of classes with equally many votes the one with the nearest image wins.
    NearestNeighbours,
    /// The class whose mean is nearest.
    ClassMean,
}

impl fmt::Display for Classifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Linear => "linear",
            Self::NearestNeighbours => "nearest-neighbours",
            Self::ClassMean => "class-mean",
        })
    }
}

impl Default for ClassificationConfig {
    fn default() -> Self {
        Self {
            classifiers: vec![Classifier::Linear, Classifier::NearestNeighbours, Classifier::ClassMean],
            neighbours: NonZeroUsize::MIN.saturating_add(9),
            regularisation: 1e-4,
            iterations: NonZeroUsize::MIN.saturating_add(299),
        }
    }
}

impl ClassificationConfig {
    /// Checks the ranges; an error is the key and what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if self.classifiers.is_empty() {
            return Err(("classifiers", "it must name at least one classifier"));
        }
        let mut sorted = self.classifiers.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() < self.classifiers.len() {
            return Err(("classifiers", "it must not name a classifier twice"));
        }
        if !self.regularisation.is_finite() || self.regularisation <= 0.0 {
            return Err(("regularisation", "it must be above 0"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn the_table_of_an_experiment_file() {
        let config: ClassificationConfig = toml::from_str("classifiers = [\"class-mean\"]\nneighbours = 3").unwrap();
        assert_eq!((config.classifiers, config.neighbours.get()), (vec![Classifier::ClassMean], 3));
        assert_eq!(toml::from_str::<ClassificationConfig>("").unwrap(), ClassificationConfig::default());
        assert!(toml::from_str::<ClassificationConfig>("neighbours = 0").is_err());
        assert!(toml::from_str::<ClassificationConfig>("iterations = 0").is_err());
        assert!(toml::from_str::<ClassificationConfig>("neighbors = 3").is_err());
    }

    #[test]
    fn a_value_out_of_range_is_named() {
        let key = |text: &str| toml::from_str::<ClassificationConfig>(text).unwrap().check().map_err(|(key, _)| key);
        assert_eq!(key(""), Ok(()));
        assert_eq!(key("classifiers = []"), Err("classifiers"));
        assert_eq!(key("classifiers = [\"linear\", \"class-mean\", \"linear\"]"), Err("classifiers"));
        for value in ["0", "-1.0", "nan", "inf"] {
            assert_eq!(key(&format!("regularisation = {value}")), Err("regularisation"), "{value}");
        }
    }

    #[test]
    fn a_classifier_is_printed_as_it_is_written() {
        for classifier in ClassificationConfig::default().classifiers {
            assert_eq!(serde_json::to_value(classifier).unwrap(), classifier.to_string());
        }
    }
}
