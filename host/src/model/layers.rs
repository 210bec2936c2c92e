//! Layers: their tensors and one function each.

use super::registry::{Initial, Registry};
use super::script::attribute;
use lossmith_torch_shim::Group;
use std::sync::{Arc, OnceLock};
use tch::{Kind, TchError, Tensor};

/// The same images with the channels of a pixel side by side in memory.
///
/// The strides are set by hand because those of one channel are ambiguous, and libtorch then takes the other order.
pub(super) fn channels_last(images: &Tensor) -> Result<Tensor, TchError> {
    let (batch, channels, height, width) = images.size4()?;
    let strides = [channels * height * width, 1, width * channels, channels];
    let pixels = images.f_permute([0, 2, 3, 1])?.f_contiguous()?;
    pixels.f_as_strided([batch, channels, height, width], strides, None)
}

/// A square convolution without bias.
#[derive(Debug)]
pub(super) struct Convolution {
    name: String,
    weight: Tensor,
    stride: i64,
    padding: i64,
}

impl Convolution {
    /// Keeps the image's size at stride 1. Starts with Kaiming's normal distribution over the outputs for a ReLU (He et
    /// al., "Delving deep into rectifiers", 2015), as torchvision's ResNet.
    pub(super) fn new(
        registry: &mut Registry,
        name: &str,
        [inputs, outputs]: [i64; 2],
        kernel: i64,
        stride: i64,
    ) -> Result<Self, TchError> {
        let deviation = (2.0 / (outputs * kernel * kernel) as f64).sqrt();
        let size = [outputs, inputs, kernel, kernel];
        let weight = registry.parameter(&format!("{name}.weight"), &size, Initial::Normal { deviation })?;
        Ok(Self { name: registry.full(name), weight, stride, padding: kernel / 2 })
    }

    #[cfg(test)]
    pub(super) fn stride(&self) -> i64 {
        self.stride
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_conv2d(&self.weight, None::<&Tensor>, [self.stride; 2], [self.padding; 2], [1; 2], 1)
    }

    /// The same in TorchScript, for an expression in place of the tensor.
    pub(super) fn script(&self, x: &str) -> String {
        let (layer, stride, padding) = (attribute(&self.name), self.stride, self.padding);
        format!("torch.conv2d({x}, {layer}.weight, None, [{stride}, {stride}], [{padding}, {padding}])")
    }
}

/// Batch normalisation of images.
#[derive(Debug)]
pub(super) struct BatchNorm {
    name: String,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    frozen: bool,
    ranks: Arc<OnceLock<Group>>,
}

impl BatchNorm {
    /// A frozen one has no parameters: all four tensors are buffers.
    pub(super) fn new(registry: &mut Registry, name: &str, channels: i64, frozen: bool) -> Result<Self, TchError> {
        let mut affine = |part: &str, value: f64| {
            let (name, size, initial) = (format!("{name}.{part}"), [channels], Initial::Constant(value));
            if frozen { registry.buffer(&name, &size, initial) } else { registry.parameter(&name, &size, initial) }
        };
        let (weight, bias) = (affine("weight", 1.0)?, affine("bias", 0.0)?);
        let mean = registry.buffer(&format!("{name}.running_mean"), &[channels], Initial::Constant(0.0))?;
        let variance = registry.buffer(&format!("{name}.running_var"), &[channels], Initial::Constant(1.0))?;
        let (name, ranks) = (registry.full(name), Arc::clone(&registry.ranks));
        Ok(Self { name, weight, bias, mean, variance, frozen, ranks })
    }

    pub(super) fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let train = train && !self.frozen;
        // Momentum and epsilon are PyTorch's defaults.
        if let (true, Some(ranks)) = (train, self.ranks.get()) {
            // Of 16 bits, as under autocasting, the statistics would be too coarse.
            let normal = ranks.batch_norm(
                &x.f_to_kind(Kind::Float)?,
                [&self.weight, &self.bias, &self.mean, &self.variance],
                0.1,
                1e-5,
            )?;
            return normal.f_to_kind(x.f_kind()?);
        }
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        let (mean, variance) = (Some(&self.mean), Some(&self.variance));
        x.f_batch_norm(weight, bias, mean, variance, train, 0.1, 1e-5, true)
    }

    /// The same in TorchScript, for an expression in place of the tensor.
    pub(super) fn script(&self, x: &str) -> String {
        let layer = attribute(&self.name);
        let train = if self.frozen { "False" } else { "self.training" };
        format!(
            "torch.batch_norm({x}, {layer}.weight, {layer}.bias, {layer}.running_mean, {layer}.running_var, {train}, \
             0.1, 1e-5, True)"
        )
    }
}

/// A linear map with bias.
#[derive(Debug)]
pub(super) struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Starts with PyTorch's distribution: uniform within one over the root of the inputs.
    pub(super) fn new(registry: &mut Registry, [inputs, outputs]: [i64; 2]) -> Result<Self, TchError> {
        let initial = Initial::Uniform { bound: 1.0 / (inputs as f64).sqrt() };
        let weight = registry.parameter("weight", &[outputs, inputs], initial)?;
        let bias = registry.parameter("bias", &[outputs], initial)?;
        Ok(Self { weight, bias })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_linear(&self.weight, Some(&self.bias))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use tch::Kind;

    #[test]
    fn channels_last_keeps_the_images() {
        for channels in [1, 3] {
            let count = 4 * channels * 2 * 5;
            let all = Tensor::f_arange(count, (Kind::Float, tch::Device::Cpu)).unwrap().reshape([4, channels, 2, 5]);
            let images = all.narrow(0, 1, 3);
            let last = channels_last(&images).unwrap();
            assert!(last.equal(&images));
            assert_eq!(last.stride(), [channels * 10, 1, channels * 5, channels]);
        }
    }
}
