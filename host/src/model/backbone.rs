//! The backbones.

use super::config::{Architecture, ModelConfig};
use super::convnet::Convnet;
use super::error::ModelError;
use super::registry::Registry;
use super::resnet::{RESNET18, RESNET34, RESNET50, Resnet};
use super::script::Lines;
use super::torchscript::Script;
use lossmith_torch_shim::ScriptModule;
use tch::{Device, Tensor};

/// From images (B x C x H x W) to features (B x F).
#[derive(Debug)]
pub(super) enum Backbone {
    Convnet(Convnet),
    Resnet(Resnet),
    Script(Script),
}

impl Backbone {
    /// Returns the backbone with weights from the seed, and its number of features.
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
        Ok(built)
    }

    /// The features, and the feature map (B x F x H x W) of which they are the mean, where there is one.
    pub(super) fn forward(&self, images: &Tensor, train: bool) -> Result<(Tensor, Option<Tensor>), ModelError> {
        let map = match self {
            Self::Convnet(convnet) => convnet.map(images, train)?,
            Self::Resnet(resnet) => resnet.map(images, train)?,
            Self::Script(script) => return Ok((script.forward(images, train)?, None)),
        };
        Ok((map.f_mean_dim([2i64, 3].as_slice(), false, None)?, Some(map)))
    }

    /// [`Backbone::forward`] in TorchScript: from `images` to the features `x`. Returns the module that it calls as the
    /// part `backbone`, where it is one.
    pub(super) fn script(&self, lines: &mut Lines) -> Option<&ScriptModule> {
        match self {
            Self::Convnet(convnet) => convnet.script(lines),
            Self::Resnet(resnet) => resnet.script(lines),
            Self::Script(script) => {
                lines.set("x", "self.backbone.forward(images)");
                return Some(script.module());
            }
        }
        lines.set("x", "torch.mean(x, [2, 3])");
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_too_small_for_the_convnet_are_an_error() {
        let built = Backbone::new(&mut Registry::new(Device::Cpu, 1), &ModelConfig::default(), 1, 7, Device::Cpu);
        assert!(matches!(built, Err(ModelError::ImageTooSmall { size: 7 })));
    }
}
