//! The whole network.

use super::backbone::Backbone;
use super::buffers::{copies, put_back};
use super::config::{Architecture, ModelConfig};
use super::error::ModelError;
use super::layers::Linear;
use super::registry::{Group, NetworkParameter, Registry};
use super::state::copy_state;
use super::weights::load_backbone;
use lossmith_plugin::random_streams::{Purpose, generator};
use rand::RngExt;
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// A backbone with an embedding head.
#[derive(Debug)]
pub struct Model {
    backbone: Backbone,
    /// None where the backbone gives the embedding itself.
    head: Option<Linear>,
    registry: Registry,
    slices: i64,
    /// The tensors that were taken of a file with weights, and those that were left, in a line.
    loaded: Option<String>,
}

impl Model {
    /// Builds the network for square images of `channels` and `size` pixels a side. Random weights depend on `seed`
    /// only, not on the device.
    ///
    /// # Errors
    /// If the configuration is wrong, or the weights or the TorchScript module do not fit.
    pub fn new(config: &ModelConfig, channels: i64, size: i64, device: Device, seed: u64) -> Result<Self, ModelError> {
        config.check()?;
        let mut registry = Registry::new(device, seed);
        let (backbone, features) = Backbone::new(&mut registry, config, channels, size, device)?;
        let loaded = config.weights.as_deref().map(|path| load_backbone(&registry, path)).transpose()?;
        registry.enter(Group::Head);
        let head = Linear::new(&mut registry, [features, config.embedding.into()])?;
        Ok(Self { backbone, head: Some(head), registry, slices: config.slices.into(), loaded })
    }

    /// A TorchScript module that returns the embedding itself, for square images of `channels` and `size` pixels a
    /// side.
    ///
    /// # Errors
    /// If the module cannot be loaded or does not return one row for an image.
    pub fn module(path: &Path, channels: i64, size: i64, device: Device) -> Result<Self, ModelError> {
        let config =
            ModelConfig { backbone: Architecture::Torchscript, path: Some(path.to_owned()), ..ModelConfig::default() };
        let mut registry = Registry::new(device, 0);
        let (backbone, _) = Backbone::new(&mut registry, &config, channels, size, device)?;
        Ok(Self { backbone, head: None, registry, slices: 1, loaded: None })
    }

    /// The embedding of images: B x C x H x W float32 to B x D float32, also under autocasting. Not normalised.
    ///
    /// `train` makes batch normalisation use the batch's statistics and update the running ones.
    ///
    /// # Errors
    /// If the images do not fit.
    pub fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor, ModelError> {
        Ok(self.forward_with_map(images, train)?.0)
    }

    /// As [`forward`](Self::forward), with the backbone's last feature map, B x F x H x W, where it has one: under
    /// autocasting it may be of 16 bits.
    ///
    /// # Errors
    /// If the images do not fit.
    pub fn forward_with_map(&self, images: &Tensor, train: bool) -> Result<(Tensor, Option<Tensor>), ModelError> {
        let (features, map) = self.backbone.forward(images, train)?;
        let embedding = match &self.head {
            Some(head) => head.forward(&features)?,
            None => features,
        };
        Ok((embedding.f_to_kind(Kind::Float)?, map))
    }

    /// Makes the random numbers that a TorchScript module draws from here on, as for dropout, depend on the arguments
    /// alone: `number` counts the calls of a `kind`, below 2^32, and `part` the parts of a batch, 0 where that is not
    /// divided. Other networks draw none.
    pub fn seed(&self, seed: u64, number: u64, kind: u64, part: usize) {
        if matches!(self.backbone, Backbone::Script(_)) {
            let kind = kind + ((part as u64) << 32);
            tch::manual_seed(generator(seed, Purpose::Module, number, kind).random::<i64>());
        }
    }

    /// Refuses a TorchScript module that keeps something from one call to the next that no checkpoint would have: of a
    /// teacher, anything; else anything but its buffers.
    ///
    /// # Errors
    /// It gives other features for the same images when it is called again, or it fails.
    pub fn check_memory(&self, teacher: bool) -> Result<(), ModelError> {
        match &self.backbone {
            Backbone::Convnet(_) | Backbone::Resnet(_) => Ok(()),
            Backbone::Script(script) if teacher => script.check_teacher(),
            Backbone::Script(script) => script.check_backbone(&self.registry.buffers),
        }
    }

    /// Takes the statistics of batch normalisation over the images of all ranks from now on, in calls that train: each
    /// is then a collective operation, as is its backward pass. A TorchScript module does as it does.
    pub fn normalise_across(&self, ranks: &lossmith_torch_shim::Group) {
        // The ranks of a process are always the same.
        let _ = self.registry.ranks.set(ranks.clone());
    }

    /// Whether calls that train update running statistics by the images that they see.
    #[must_use]
    pub fn keeps_statistics(&self, freeze_batch_norm: bool) -> bool {
        !freeze_batch_norm && self.buffers().iter().any(|(name, _)| name.ends_with("running_mean"))
    }

    /// Whether it is a module of TorchScript, whose layers nobody can change.
    #[must_use]
    pub fn is_script(&self) -> bool {
        matches!(self.backbone, Backbone::Script(_))
    }

    /// The equal slices of an embedding: views of B x D/K, in order.
    ///
    /// # Errors
    /// If the embedding is not one of this network.
    pub fn slices(&self, embedding: &Tensor) -> Result<Vec<Tensor>, ModelError> {
        Ok(embedding.f_chunk(self.slices, 1)?)
    }

    /// The backbone, and whether a head comes after it.
    pub(super) fn parts(&self) -> (&Backbone, bool) {
        (&self.backbone, self.head.is_some())
    }

    /// The trainable tensors, the backbone's first.
    #[must_use]
    pub fn parameters(&self) -> &[NetworkParameter] {
        &self.registry.parameters
    }

    /// The tensors that are saved but not trained, such as running statistics.
    pub fn buffers(&self) -> &[(String, Tensor)] {
        &self.registry.buffers
    }

    /// The tensors that were taken of a file with weights, and those that were left, in a line; `None` where the seed
    /// gave all weights.
    #[must_use]
    pub fn loaded(&self) -> Option<&str> {
        self.loaded.as_deref()
    }

    /// Copies of the [`buffers`](Self::buffers), for [`put_back_buffers`](Self::put_back_buffers).
    ///
    /// # Errors
    /// If libtorch fails.
    pub fn copy_buffers(&self) -> Result<Vec<Tensor>, ModelError> {
        Ok(copies(&self.registry.buffers)?)
    }

    /// Gives the buffers the values that they had when `kept` was copied, so that calls since then can be repeated.
    ///
    /// # Errors
    /// If libtorch fails.
    pub fn put_back_buffers(&self, kept: &[Tensor]) -> Result<(), ModelError> {
        Ok(put_back(&self.registry.buffers, kept)?)
    }

    /// How many numbers are trained.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().map(|parameter| parameter.tensor.numel()).sum()
    }

    /// All parameters and buffers by name. They share the network's memory: a later step changes them.
    #[must_use]
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        self.registry.tensors().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    }

    /// Copies a saved state into the network's tensors, which stay the same objects.
    ///
    /// # Errors
    /// If the names or shapes are not exactly those of [`state`](Self::state); nothing is copied then.
    pub fn load_state(&self, state: &BTreeMap<String, Tensor>) -> Result<(), ModelError> {
        copy_state(self.registry.tensors(), state)?.map_err(ModelError::State)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use lossmith_torch_shim::autocast;

    fn build(config: &str, seed: u64) -> Result<Model, ModelError> {
        Model::new(&toml::from_str(config).unwrap(), 1, 28, Device::Cpu, seed)
    }

    fn small(seed: u64) -> Model {
        build("width = 4\nembedding = 6\nslices = 3", seed).unwrap()
    }

    fn images() -> Tensor {
        let numbers: Vec<_> = (0..4 * 28 * 28).map(|x| ((x * x) % 17) as f32 / 17.0).collect();
        Tensor::f_from_slice(&numbers).unwrap().reshape([4, 1, 28, 28])
    }

    fn equal(a: &BTreeMap<String, Tensor>, b: &BTreeMap<String, Tensor>) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|((name, x), (other, y))| name == other && x.equal(y))
    }

    #[test]
    fn one_seed_gives_the_same_bits_and_another_seed_others() {
        let [first, again, other] = [7, 7, 8].map(|seed| small(seed).state());
        assert!(equal(&first, &again));
        assert!(!equal(&first, &other));
    }

    #[test]
    fn two_trainings_of_one_seed_have_the_same_gradients() {
        let gradients = || {
            let model = small(3);
            model.forward(&images(), true).unwrap().square().sum(Kind::Float).f_backward().unwrap();
            model.parameters().iter().map(|parameter| parameter.tensor.grad()).collect::<Vec<_>>()
        };
        let (first, again) = (gradients(), gradients());
        assert!(first.iter().zip(&again).all(|(a, b)| a.equal(b)));
    }

    #[test]
    fn slices_are_equal_parts_in_order() {
        let model = small(1);
        let embedding = model.forward(&images(), false).unwrap();
        assert_eq!(embedding.size(), [4, 6]);
        let slices = model.slices(&embedding).unwrap();
        assert!(slices.len() == 3 && slices.iter().all(|slice| slice.size() == [4, 2]));
        assert!(Tensor::cat(&slices, 1).equal(&embedding));
    }

    #[test]
    fn groups_and_counts_are_those_of_the_parts() {
        let model = small(1);
        let head: Vec<_> = model.parameters().iter().filter(|parameter| parameter.group == Group::Head).collect();
        assert_eq!(
            head.iter().map(|parameter| parameter.name.as_str()).collect::<Vec<_>>(),
            ["head.weight", "head.bias"]
        );
        // Convolutions 1-4-8-16 of 3x3, two numbers a channel for batch normalisation, the head of 16 to 6.
        assert_eq!(model.parameter_count(), 9 * (4 + 4 * 8 + 8 * 16) + 2 * (4 + 8 + 16) + 16 * 6 + 6);
        assert_eq!(model.buffers().len(), 6);
    }

    #[test]
    fn a_saved_state_makes_another_network_equal() {
        let (model, other) = (small(1), small(2));
        other.load_state(&model.state()).unwrap();
        assert!(equal(&model.state(), &other.state()));
        assert!(model.forward(&images(), false).unwrap().equal(&other.forward(&images(), false).unwrap()));
    }

    #[test]
    fn a_state_of_another_network_is_an_error() {
        let model = small(1);
        let wider = build("width = 5\nembedding = 6", 1).unwrap();
        let Err(ModelError::State(difference)) = model.load_state(&wider.state()) else { unreachable!() };
        assert!(!difference.shapes.is_empty());
        let mut less = model.state();
        less.remove("head.bias");
        assert!(
            matches!(model.load_state(&less), Err(ModelError::State(difference)) if difference.missing == ["head.bias"])
        );
    }

    #[test]
    fn frozen_and_trained_networks_have_the_same_state() {
        let frozen = build("width = 4\nembedding = 6\nfreeze-batch-norm = true", 1).unwrap();
        frozen.load_state(&small(1).state()).unwrap();
    }

    #[test]
    fn autocasting_computes_in_bfloat16_and_ends() {
        let model = small(1);
        let forward = || model.forward(&images(), false).unwrap();
        let before = forward();
        let cast = autocast(Device::Cpu, true, forward).unwrap();
        assert_eq!(cast.kind(), Kind::Float);
        assert!(bool::try_from(cast.isfinite().all()).unwrap());
        // Every number of the result is one of bfloat16, and so not the one of before.
        assert!(cast.to_kind(Kind::BFloat16).to_kind(Kind::Float).equal(&cast));
        assert!(!before.to_kind(Kind::BFloat16).to_kind(Kind::Float).equal(&before));
        assert!(cast.allclose(&before, 0.05, 0.05, false));
        assert!(forward().equal(&before));
    }

    #[test]
    fn autocasting_gives_float32_gradients() {
        let model = small(1);
        autocast(Device::Cpu, true, || model.forward(&images(), true))
            .unwrap()
            .unwrap()
            .square()
            .sum(Kind::Float)
            .f_backward()
            .unwrap();
        assert!(model.parameters().iter().all(|parameter| parameter.tensor.grad().kind() == Kind::Float));
    }

    #[test]
    fn a_wrong_configuration_is_an_error() {
        assert!(matches!(
            build("embedding = 64\nslices = 7", 1),
            Err(ModelError::NotDivisible { embedding: 64, slices: 7 })
        ));
    }

    #[test]
    fn images_of_another_number_of_channels_are_an_error() {
        let images = Tensor::ones([2, 3, 28, 28], (Kind::Float, Device::Cpu));
        assert!(matches!(small(1).forward(&images, false), Err(ModelError::Torch(_))));
    }
}
