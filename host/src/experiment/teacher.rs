//! The `[teacher]` table of an experiment.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::ModelConfig;

/// The network that a transfer learns from: exactly one of `run`, `weights` and `module`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TeacherConfig {
    /// The folder of a finished run. Network, input size and normalisation are the run's; slices are not fused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<PathBuf>,
    /// The checkpoint of `run`: `best`, `last`, or the number of an epoch. Default `best`.
    pub checkpoint: String,
    /// A safetensors file with all weights of the network that `model` describes, head included; a checkpoint of a run
    /// is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,
    /// The network of `weights`, with the keys of `[model]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelConfig>,
    /// A TorchScript file whose module takes images (B x C x H x W, float32) and returns embeddings (B x D').
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<PathBuf>,
    /// Height and width of the teacher's input in pixels, 1 to 4096. Not for a run. Default: the student's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// Mean of each channel on the scale of 0 (black) to 1 (white). Not for a run. Default: the student's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f64>>,
    /// Standard deviation of each channel on the same scale, above 0. Not for a run. Default: the student's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<Vec<f64>>,
    /// Whether embeddings of images that are not augmented are computed once and kept in `.teacher` inside
    /// `run.directory`. Off: the teacher runs on every batch, and gives its feature map. Default true.
    pub cache: bool,
}

impl Default for TeacherConfig {
    fn default() -> Self {
        Self {
            run: None,
            checkpoint: "best".to_owned(),
            weights: None,
            model: None,
            module: None,
            size: None,
            mean: None,
            std: None,
            cache: true,
        }
    }
}

impl TeacherConfig {
    /// Checks what the types do not say; `channels` are those of the student's images. An error is the first key that
    /// is wrong, with its table, and what is wrong with it.
    pub(crate) fn check(&self, channels: usize) -> Result<(), (&'static str, &'static str)> {
        let wrong = |key, message| Err((key, message));
        let given = [self.run.is_some(), self.weights.is_some(), self.module.is_some()];
        if given.iter().filter(|given| **given).count() != 1 {
            return wrong("teacher", "a teacher is exactly one of `run`, `weights` and `module`");
        }
        if self.weights.is_some() != self.model.is_some() {
            return wrong(
                "teacher.model",
                "`weights` and `model` go together: the file, and the network that it is for",
            );
        }
        if self.run.is_some() {
            let foreign = [
                ("teacher.size", self.size.is_some()),
                ("teacher.mean", self.mean.is_some()),
                ("teacher.std", self.std.is_some()),
            ];
            if let Some((key, _)) = foreign.into_iter().find(|(_, set)| *set) {
                return wrong(key, "a run brings its own input size and normalisation; remove this key");
            }
        } else if self.checkpoint != "best" {
            return wrong("teacher.checkpoint", "only a `run` has checkpoints to choose from");
        }
        if self.size.is_some_and(|size| !(1..=4096).contains(&size)) {
            return wrong("teacher.size", "expected 1 to 4096 pixels");
        }
        let one_a_channel = if channels == 1 { "expected one number" } else { "expected three numbers, one a channel" };
        if self.mean.as_ref().is_some_and(|mean| mean.len() != channels || mean.iter().any(|m| !m.is_finite())) {
            return wrong("teacher.mean", one_a_channel);
        }
        if self.std.as_ref().is_some_and(|std| std.len() != channels) {
            return wrong("teacher.std", one_a_channel);
        }
        if self.std.as_ref().is_some_and(|std| std.iter().any(|s| !(s.is_finite() && *s > 0.0))) {
            return wrong("teacher.std", "expected numbers above 0");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn what_does_not_go_together_is_named() {
        for (key, text) in [
            ("teacher", ""),
            ("teacher", "run = 'a'\nmodule = 'b'"),
            ("teacher.model", "weights = 'a'"),
            ("teacher.model", "run = 'a'\nmodel = {}"),
            ("teacher.size", "run = 'a'\nsize = 32"),
            ("teacher.mean", "run = 'a'\nmean = [0.5]"),
            ("teacher.checkpoint", "module = 'a'\ncheckpoint = 'last'"),
            ("teacher.size", "module = 'a'\nsize = 0"),
            ("teacher.mean", "module = 'a'\nmean = [0.5, 0.5, 0.5]"),
            ("teacher.std", "module = 'a'\nstd = [0.5, 0.5]"),
            ("teacher.std", "module = 'a'\nstd = [0.0]"),
        ] {
            let config: TeacherConfig = toml::from_str(text).unwrap();
            let (found, message) = config.check(1).unwrap_err();
            assert_eq!(found, key, "{text}: {message}");
        }
        for text in ["run = 'a'\ncheckpoint = '3'", "weights = 'a'\nmodel = { width = 8 }", "module = 'a'\nstd = [1]"] {
            toml::from_str::<TeacherConfig>(text).unwrap().check(1).unwrap();
        }
    }

    #[test]
    fn it_survives_toml() {
        let config: TeacherConfig = toml::from_str("weights = 'a'\nmodel = { width = 8 }\ncache = false").unwrap();
        assert_eq!(toml::from_str::<TeacherConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
    }
}
