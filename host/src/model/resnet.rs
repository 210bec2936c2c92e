//! ResNet-18, -34 and -50 (He et al., "Deep residual learning for image recognition", 2015), with torchvision's names
//! and its variant of ResNet-50 (the stride is in the 3x3 convolution).

use super::layers::{BatchNorm, Convolution};
use super::registry::Registry;
use super::script::Lines;
use tch::{TchError, Tensor};

/// A ResNet without its classifier.
#[derive(Debug)]
pub(super) struct Resnet {
    stem: Step,
    blocks: Vec<Block>,
}

/// The shape of a ResNet: its blocks and their number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Blocks in each of the four stages.
    depths: [usize; 4],
    /// How much wider a block's output is than its middle.
    expansion: i64,
}

pub(super) const RESNET18: Shape = Shape { depths: [2, 2, 2, 2], expansion: 1 };
pub(super) const RESNET34: Shape = Shape { depths: [3, 4, 6, 3], expansion: 1 };
pub(super) const RESNET50: Shape = Shape { depths: [3, 4, 6, 3], expansion: 4 };

type Step = (Convolution, BatchNorm);

#[derive(Debug)]
struct Block {
    steps: Vec<Step>,
    shortcut: Option<Step>,
}

impl Resnet {
    /// Returns the network and its number of features.
    pub(super) fn new(
        registry: &mut Registry,
        shape: Shape,
        channels: i64,
        frozen: bool,
    ) -> Result<(Self, i64), TchError> {
        let stem = step(registry, ["conv1", "bn1"], [channels, 64], 7, 2, frozen)?;
        let mut blocks = Vec::new();
        let mut inputs = 64;
        for (stage, (depth, width)) in shape.depths.into_iter().zip([64, 128, 256, 512]).enumerate() {
            for index in 0..depth {
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let name = format!("layer{}.{index}", stage + 1);
                let outputs = width * shape.expansion;
                blocks.push(Block::new(registry, &name, [inputs, width, outputs], stride, frozen)?);
                inputs = outputs;
            }
        }
        Ok((Self { stem, blocks }, inputs))
    }

    /// The feature map of images: B x F x H/32 x W/32, rounded up.
    pub(super) fn map(&self, images: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let mut x = run(&self.stem, images, train)?.f_relu_()?.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?;
        for block in &self.blocks {
            x = block.forward(&x, train)?;
        }
        Ok(x)
    }

    /// [`Resnet::map`] in TorchScript: from `images` to `x`.
    pub(super) fn script(&self, lines: &mut Lines) {
        let stem = script(&self.stem, "images");
        lines.set("x", &format!("torch.max_pool2d(torch.relu({stem}), [3, 3], [2, 2], [1, 1])"));
        for block in &self.blocks {
            block.script(lines);
        }
    }
}

impl Block {
    /// Two 3x3 convolutions, or 1x1, 3x3 and 1x1 where the outputs are wider than the middle.
    fn new(
        registry: &mut Registry,
        name: &str,
        [inputs, width, outputs]: [i64; 3],
        stride: i64,
        frozen: bool,
    ) -> Result<Self, TchError> {
        let plan = if outputs == width {
            vec![(inputs, width, 3, stride), (width, width, 3, 1)]
        } else {
            vec![(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
        };
        let mut steps = Vec::with_capacity(plan.len());
        for (number, (from, to, kernel, stride)) in (1..).zip(plan) {
            let names = [format!("{name}.conv{number}"), format!("{name}.bn{number}")];
            steps.push(step(registry, names.each_ref().map(String::as_str), [from, to], kernel, stride, frozen)?);
        }
        let shortcut = if stride != 1 || inputs != outputs {
            let names = [format!("{name}.downsample.0"), format!("{name}.downsample.1")];
            Some(step(registry, names.each_ref().map(String::as_str), [inputs, outputs], 1, stride, frozen)?)
        } else {
            None
        };
        Ok(Self { steps, shortcut })
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let mut y = x.shallow_clone();
        for (index, step) in self.steps.iter().enumerate() {
            // In place: batch normalisation does not need its output for its gradient.
            y = if index == 0 { run(step, &y, train)? } else { run(step, &y.f_relu_()?, train)? };
        }
        match &self.shortcut {
            Some(step) => y.f_add_(&run(step, x, train)?)?.f_relu_(),
            None => y.f_add_(x)?.f_relu_(),
        }
    }

    fn script(&self, lines: &mut Lines) {
        for (index, step) in self.steps.iter().enumerate() {
            lines.set("y", &if index == 0 { script(step, "x") } else { script(step, "torch.relu(y)") });
        }
        let shortcut = self.shortcut.as_ref().map_or("x".to_owned(), |step| script(step, "x"));
        lines.set("x", &format!("torch.relu(torch.add(y, {shortcut}))"));
    }
}

fn step(
    registry: &mut Registry,
    [convolution, norm]: [&str; 2],
    sizes: [i64; 2],
    kernel: i64,
    stride: i64,
    frozen: bool,
) -> Result<Step, TchError> {
    let convolution = Convolution::new(registry, convolution, sizes, kernel, stride)?;
    Ok((convolution, BatchNorm::new(registry, norm, sizes[1], frozen)?))
}

fn run((convolution, norm): &Step, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
    norm.forward(&convolution.forward(x)?, train)
}

fn script((convolution, norm): &Step, x: &str) -> String {
    norm.script(&convolution.script(x))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use std::collections::BTreeMap;
    use tch::{Device, Kind};

    fn build(shape: Shape, channels: i64) -> (Resnet, i64, BTreeMap<String, Vec<i64>>, Registry) {
        let mut registry = Registry::new(Device::Cpu, 1);
        let (resnet, features) = Resnet::new(&mut registry, shape, channels, false).unwrap();
        let sizes = registry.tensors().map(|(name, tensor)| (name.clone(), tensor.size())).collect();
        (resnet, features, sizes, registry)
    }

    /// torchvision's figures for the whole network, with a classifier of 1000 classes.
    fn check_counts(shape: Shape, numbers: usize, tensors: usize, normalisations: usize) {
        let (_, features, _, registry) = build(shape, 3);
        let classifier = 1000 * usize::try_from(features).unwrap() + 1000;
        let counted: usize = registry.parameters.iter().map(|parameter| parameter.tensor.numel()).sum();
        assert_eq!(counted + classifier, numbers);
        assert_eq!(registry.parameters.len() + 2, tensors);
        assert_eq!(registry.buffers.len(), 2 * normalisations);
    }

    #[test]
    fn the_counts_are_torchvisions() {
        check_counts(RESNET18, 11_689_512, 62, 20);
        check_counts(RESNET34, 21_797_672, 110, 36);
        check_counts(RESNET50, 25_557_032, 161, 53);
    }

    #[test]
    fn the_names_and_shapes_are_torchvisions() {
        let (_, features, sizes, _) = build(RESNET18, 3);
        assert_eq!(features, 512);
        assert_eq!(sizes["backbone.conv1.weight"], [64, 3, 7, 7]);
        assert_eq!(sizes["backbone.bn1.running_var"], [64]);
        assert_eq!(sizes["backbone.layer2.0.downsample.0.weight"], [128, 64, 1, 1]);
        assert_eq!(sizes["backbone.layer2.0.downsample.1.bias"], [128]);
        assert_eq!(sizes["backbone.layer4.1.conv2.weight"], [512, 512, 3, 3]);
        assert!(!sizes.contains_key("backbone.layer1.0.downsample.0.weight"));

        let (_, features, sizes, _) = build(RESNET50, 3);
        assert_eq!(features, 2048);
        assert_eq!(sizes["backbone.layer1.0.downsample.0.weight"], [256, 64, 1, 1]);
        assert_eq!(sizes["backbone.layer3.5.conv2.weight"], [256, 256, 3, 3]);
        assert_eq!(sizes["backbone.layer4.2.conv3.weight"], [2048, 512, 1, 1]);
    }

    #[test]
    fn images_of_any_size_and_channels_give_features() {
        let _no_grad = tch::no_grad_guard();
        for (channels, size, side) in [(1, 28, 1), (3, 64, 2), (3, 224, 7)] {
            let (resnet, features, ..) = build(RESNET18, channels);
            let images = Tensor::ones([2, channels, size, size], (Kind::Float, Device::Cpu));
            assert_eq!(resnet.map(&images, true).unwrap().size(), [2, features, side, side]);
        }
        let (resnet, features, ..) = build(RESNET50, 3);
        let images = Tensor::ones([2, 3, 64, 64], (Kind::Float, Device::Cpu));
        assert_eq!(resnet.map(&images, false).unwrap().size(), [2, features, 2, 2]);
    }

    #[test]
    fn the_stride_of_resnet_50_is_in_the_middle_convolution() {
        let (resnet, ..) = build(RESNET50, 3);
        let strides: Vec<_> = resnet.blocks[3].steps.iter().map(|(convolution, _)| convolution.stride()).collect();
        assert_eq!(strides, [1, 2, 1]);
    }

    #[test]
    fn a_block_without_its_branch_passes_its_input() {
        let mut registry = Registry::new(Device::Cpu, 1);
        let block = Block::new(&mut registry, "block", [4, 4, 4], 1, false).unwrap();
        let last = registry.parameters.iter().find(|parameter| parameter.name == "backbone.block.bn2.weight").unwrap();
        let _ = tch::no_grad(|| last.tensor.shallow_clone().f_zero_().unwrap());
        let x = Tensor::f_from_slice(&[-1.0f32, 2.0, 3.0, -4.0]).unwrap().reshape([1, 4, 1, 1]);
        assert!(block.forward(&x, false).unwrap().equal(&x.relu()));
    }

    #[test]
    fn every_parameter_has_a_gradient() {
        let (resnet, _, _, registry) = build(RESNET18, 1);
        let images = Tensor::f_from_slice(&[0.5f32, -1.0].repeat(32 * 32)).unwrap().reshape([2, 1, 32, 32]);
        resnet.map(&images, true).unwrap().f_square().unwrap().f_sum(Kind::Float).unwrap().f_backward().unwrap();
        assert!(registry.parameters.iter().all(|parameter| parameter.tensor.grad().defined()));
    }
}
