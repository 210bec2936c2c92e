//! `[model]` of the experiment file.

use super::error::ModelError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The network and its embedding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ModelConfig {
    /// What turns an image into features. Default: `convnet`.
    pub backbone: Architecture,
    /// Channels of the convnet's first block, at least 1; the second has twice, the third four times as many. Default:
    /// 32.
    #[schemars(range(min = 1))]
    pub width: u32,
    /// A safetensors file with the weights of the backbone, under torchvision's names for a ResNet, whatever stands in
    /// front of all of them (`module.`, `backbone.`), or a checkpoint of a run. Other tensors, such as a classifier
    /// (`fc.*`) or a head, are left out; the training says which. Default: random weights from the seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,
    /// The TorchScript file, for the backbone `torchscript` only. It gets images (B x C x H x W, float32) and returns
    /// features (B x F).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// F of the TorchScript module. Default: as many as it returns.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub features: Option<u32>,
    /// Dimensions of the embedding, at least 1. Default: 64.
    #[schemars(range(min = 1))]
    pub embedding: u32,
    /// Equal parts of the embedding; must divide it. Default: 1.
    #[schemars(range(min = 1))]
    pub slices: u32,
    /// Keeps all batch normalisation as it starts: running statistics, scale and shift. For small batches on loaded
    /// weights. Default: false.
    pub freeze_batch_norm: bool,
}

/// What turns an image into features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// Three blocks of convolution, batch normalisation, ReLU and pooling, for images of 8 to 64 pixels.
    Convnet,
    /// ResNet-18, as in torchvision.
    Resnet18,
    /// ResNet-34, as in torchvision.
    Resnet34,
    /// ResNet-50, as in torchvision.
    Resnet50,
    /// A module from a file.
    Torchscript,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            backbone: Architecture::Convnet,
            width: 32,
            weights: None,
            path: None,
            features: None,
            embedding: 64,
            slices: 1,
            freeze_batch_norm: false,
        }
    }
}

impl ModelConfig {
    /// Checks what the types do not say. [`Model::new`](super::Model::new) does it too.
    ///
    /// # Errors
    /// A count of 0, slices that do not divide the embedding, or keys that the backbone does not know or lacks.
    pub fn check(&self) -> Result<(), ModelError> {
        let counts = [
            ("width", self.width),
            ("features", self.features.unwrap_or(1)),
            ("embedding", self.embedding),
            ("slices", self.slices),
        ];
        if let Some((key, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(ModelError::Zero { key });
        }
        if !self.embedding.is_multiple_of(self.slices) {
            return Err(ModelError::NotDivisible { embedding: self.embedding, slices: self.slices });
        }
        if self.backbone == Architecture::Torchscript {
            if self.path.is_none() {
                return Err(ModelError::NoPath);
            }
            let foreign = [("weights", self.weights.is_some()), ("freeze-batch-norm", self.freeze_batch_norm)];
            match foreign.into_iter().find(|(_, set)| *set) {
                Some((key, _)) => Err(ModelError::NotForScript { key }),
                None => Ok(()),
            }
        } else {
            let foreign = [("path", self.path.is_some()), ("features", self.features.is_some())];
            match foreign.into_iter().find(|(_, set)| *set) {
                Some((key, _)) => Err(ModelError::OnlyForScript { key }),
                None => Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn check(text: &str) -> Result<(), ModelError> {
        toml::from_str::<ModelConfig>(text).unwrap().check()
    }

    #[test]
    fn an_empty_table_is_the_default() {
        assert_eq!(toml::from_str::<ModelConfig>("").unwrap(), ModelConfig::default());
        assert!(ModelConfig::default().check().is_ok());
    }

    #[test]
    fn writing_and_reading_gives_the_same() {
        let config = ModelConfig {
            backbone: Architecture::Resnet50,
            weights: Some("w.safetensors".into()),
            ..ModelConfig::default()
        };
        assert_eq!(toml::from_str::<ModelConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        assert!(toml::from_str::<ModelConfig>("wdith = 3").is_err());
    }

    #[test]
    fn slices_that_do_not_divide_the_embedding_are_named_with_it() {
        let message = check("embedding = 64\nslices = 5").unwrap_err().to_string();
        assert!(message.contains("64") && message.contains('5'), "{message}");
    }

    #[test]
    fn keys_must_fit_the_backbone() {
        assert!(matches!(check("backbone = \"torchscript\""), Err(ModelError::NoPath)));
        assert!(matches!(
            check("backbone = \"torchscript\"\npath = \"a.pt\"\nweights = \"b\""),
            Err(ModelError::NotForScript { key: "weights" })
        ));
        assert!(matches!(
            check("backbone = \"torchscript\"\npath = \"a.pt\"\nfreeze-batch-norm = true"),
            Err(ModelError::NotForScript { key: "freeze-batch-norm" })
        ));
        assert!(matches!(check("path = \"a.pt\""), Err(ModelError::OnlyForScript { key: "path" })));
        assert!(matches!(check("features = 3"), Err(ModelError::OnlyForScript { key: "features" })));
        assert!(check("backbone = \"torchscript\"\npath = \"a.pt\"\nfeatures = 3").is_ok());
    }

    #[test]
    fn a_count_of_zero_is_an_error() {
        for key in ["width", "embedding", "slices"] {
            assert!(matches!(check(&format!("{key} = 0")), Err(ModelError::Zero { key: found }) if found == key));
        }
    }
}
