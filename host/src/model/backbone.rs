//! The backbones, and loading their weights.

use super::config::{Architecture, ModelConfig};
use super::convnet::Convnet;
use super::error::ModelError;
use super::registry::Registry;
use super::resnet::{RESNET18, RESNET34, RESNET50, Resnet};
use super::script::Script;
use super::state::copy_state;
use crate::files;
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, TchError, Tensor};

/// From images (B x C x H x W) to features (B x F).
#[derive(Debug)]
pub(super) enum Backbone {
    Convnet(Convnet),
    Resnet(Resnet),
    Script(Script),
}

impl Backbone {
    /// Returns the backbone, with its weights loaded if the configuration names some, and its number of features.
    pub(super) fn new(
        registry: &mut Registry,
        config: &ModelConfig,
        channels: i64,
        size: i64,
        device: Device,
    ) -> Result<(Self, i64), ModelError> {
        let frozen = config.freeze_batch_norm;
        let resnet = |shape, registry: &mut Registry| {
            Resnet::new(registry, shape, channels, frozen).map(|(resnet, features)| (Self::Resnet(resnet), features))
        };
        let built = match config.backbone {
            Architecture::Torchscript => {
                let (script, features) = Script::new(registry, config, channels, size, device)?;
                (Self::Script(script), features)
            }
            Architecture::Convnet if size < Convnet::SMALLEST => return Err(ModelError::ImageTooSmall { size }),
            Architecture::Convnet => {
                let (convnet, features) = Convnet::new(registry, channels, config.width.into(), frozen)?;
                (Self::Convnet(convnet), features)
            }
            Architecture::Resnet18 => resnet(RESNET18, registry)?,
            Architecture::Resnet34 => resnet(RESNET34, registry)?,
            Architecture::Resnet50 => resnet(RESNET50, registry)?,
        };
        if let Some(path) = &config.weights {
            load(registry, path)?;
        }
        Ok(built)
    }

    /// The features, and the feature map (B x F x H x W) of which they are the mean, where there is one.
    pub(super) fn forward(&self, images: &Tensor, train: bool) -> Result<(Tensor, Option<Tensor>), TchError> {
        let map = match self {
            Self::Convnet(convnet) => convnet.map(images, train)?,
            Self::Resnet(resnet) => resnet.map(images, train)?,
            Self::Script(script) => return Ok((script.forward(images, train)?, None)),
        };
        Ok((map.f_mean_dim([2i64, 3].as_slice(), false, None)?, Some(map)))
    }
}

/// Copies the file's tensors into the backbone's, of which the names start with `backbone.`.
fn load(registry: &Registry, path: &Path) -> Result<(), ModelError> {
    let read = files::check_path(path, files::WEIGHTS)
        .map_err(TchError::from)
        .and_then(|()| Tensor::read_safetensors(path))
        .map_err(|source| ModelError::Unreadable { path: path.to_path_buf(), source })?;
    // The classifier is of no use here, and neither is the number of batches, which PyTorch keeps for a mean over all of them.
    let wanted = |name: &str| !name.starts_with("fc.") && !name.ends_with(".num_batches_tracked");
    let source: BTreeMap<_, _> = read
        .into_iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, tensor)| (format!("backbone.{name}"), tensor))
        .collect();
    copy_state(registry.tensors(), &source)?
        .map_err(|difference| ModelError::Weights { path: path.to_path_buf(), difference })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use tch::Kind;
    use tempfile::TempDir;

    fn build(config: &ModelConfig, channels: i64, seed: u64) -> Result<Registry, ModelError> {
        let mut registry = Registry::new(Device::Cpu, seed);
        Backbone::new(&mut registry, config, channels, 32, Device::Cpu)?;
        Ok(registry)
    }

    /// Weights of an architecture from seed 1, in a file as torchvision's would be converted.
    fn written(folder: &TempDir, backbone: Architecture, channels: i64) -> ModelConfig {
        let config = ModelConfig { backbone, width: 2, ..ModelConfig::default() };
        let registry = build(&config, channels, 1).unwrap();
        let mut tensors: Vec<_> = registry
            .tensors()
            .map(|(name, tensor)| (name.strip_prefix("backbone.").unwrap().to_owned(), tensor.detach()))
            .collect();
        tensors.push(("fc.weight".to_owned(), Tensor::zeros([10, 512], (Kind::Float, Device::Cpu))));
        tensors.push(("bn1.num_batches_tracked".to_owned(), Tensor::zeros([1], (Kind::Int64, Device::Cpu))));
        let path = folder.path().join("weights.safetensors");
        Tensor::write_safetensors(&tensors, &path).unwrap();
        ModelConfig { weights: Some(path), ..config }
    }

    #[test]
    fn weights_replace_what_the_seed_gave() {
        let folder = TempDir::new().unwrap();
        let config = written(&folder, Architecture::Resnet18, 3);
        let [first, second] = [1, 2].map(|seed| build(&config, 3, seed).unwrap());
        for ((name, a), (_, b)) in first.tensors().zip(second.tensors()) {
            assert!(a.equal(b), "{name}");
        }
        assert!(second.parameters.iter().all(|parameter| parameter.tensor.requires_grad()));
    }

    #[test]
    fn weights_of_another_architecture_are_an_error_that_names_tensors() {
        let folder = TempDir::new().unwrap();
        let config = ModelConfig { backbone: Architecture::Resnet18, ..written(&folder, Architecture::Convnet, 3) };
        let message = build(&config, 3, 1).unwrap_err().to_string();
        for part in ["weights.safetensors", "missing: backbone.layer1.0.conv1.weight", "unexpected: backbone.bn2.bias"]
        {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn one_channel_needs_weights_for_one_channel() {
        let folder = TempDir::new().unwrap();
        let config = written(&folder, Architecture::Resnet18, 3);
        let message = build(&config, 1, 1).unwrap_err().to_string();
        assert!(message.contains("conv1.weight ([64, 3, 7, 7] instead of [64, 1, 7, 7])"), "{message}");
        assert!(build(&ModelConfig { weights: None, ..config }, 1, 1).is_ok());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("weights.safetensors");
        let config = ModelConfig { weights: Some(path.clone()), ..ModelConfig::default() };
        assert!(matches!(build(&config, 1, 1), Err(ModelError::Unreadable { .. })));
        std::fs::write(&path, b"not tensors").unwrap();
        assert!(matches!(build(&config, 1, 1), Err(ModelError::Unreadable { .. })));
    }

    #[test]
    fn images_too_small_for_the_convnet_are_an_error() {
        let built = Backbone::new(&mut Registry::new(Device::Cpu, 1), &ModelConfig::default(), 1, 7, Device::Cpu);
        assert!(matches!(built, Err(ModelError::ImageTooSmall { size: 7 })));
    }
}
