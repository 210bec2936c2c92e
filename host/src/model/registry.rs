//! The named tensors of a network, and how they start.

use std::sync::{Arc, OnceLock};

use lossmith_plugin::random_streams::{Purpose, generator};
use rand::RngExt;
use tch::{Device, Kind, TchError, Tensor};

/// Which part of the network a parameter belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// From images to features.
    Backbone,
    /// From features to the embedding.
    Head,
}

/// A trainable tensor of the network.
#[derive(Debug)]
pub struct NetworkParameter {
    /// Unique in the network, e.g. `backbone.conv1.weight`.
    pub name: String,
    /// A leaf that requires a gradient, float32.
    pub tensor: Tensor,
    /// Where it belongs.
    pub group: Group,
}

/// How a tensor starts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Initial {
    /// Normally distributed around 0.
    Normal { deviation: f64 },
    /// Uniformly distributed in [-bound, bound).
    Uniform { bound: f64 },
    /// The same number everywhere.
    Constant(f64),
}

/// Collects the tensors while the layers are built. The n-th tensor's numbers depend on the seed, n and its shape only.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) parameters: Vec<NetworkParameter>,
    pub(super) buffers: Vec<(String, Tensor)>,
    /// The ranks over which batch normalisation takes its statistics, once they are known.
    pub(super) ranks: Arc<OnceLock<lossmith_torch_shim::Group>>,
    device: Device,
    seed: u64,
    group: Group,
    drawn: u64,
}

impl Registry {
    pub(super) fn new(device: Device, seed: u64) -> Self {
        let (parameters, buffers, ranks) = (Vec::new(), Vec::new(), Arc::default());
        Self { parameters, buffers, ranks, device, seed, group: Group::Backbone, drawn: 0 }
    }

    /// Sets the group of the parameters that follow; its name is the first part of theirs.
    pub(super) fn enter(&mut self, group: Group) {
        self.group = group;
    }

    pub(super) fn parameter(&mut self, name: &str, size: &[i64], initial: Initial) -> Result<Tensor, TchError> {
        let tensor = self.tensor(size, initial)?;
        self.add_parameter(name, &tensor)?;
        Ok(tensor)
    }

    pub(super) fn buffer(&mut self, name: &str, size: &[i64], initial: Initial) -> Result<Tensor, TchError> {
        let tensor = self.tensor(size, initial)?;
        self.add_buffer(name, &tensor);
        Ok(tensor)
    }

    pub(super) fn add_parameter(&mut self, name: &str, tensor: &Tensor) -> Result<(), TchError> {
        let tensor = tensor.f_set_requires_grad(true)?;
        self.parameters.push(NetworkParameter { name: self.full(name), tensor, group: self.group });
        Ok(())
    }

    pub(super) fn add_buffer(&mut self, name: &str, tensor: &Tensor) {
        self.buffers.push((self.full(name), tensor.shallow_clone()));
    }

    /// All parameters and buffers with their names.
    pub(super) fn tensors(&self) -> impl Iterator<Item = (&String, &Tensor)> {
        let parameters = self.parameters.iter().map(|parameter| (&parameter.name, &parameter.tensor));
        parameters.chain(self.buffers.iter().map(|(name, tensor)| (name, tensor)))
    }

    /// The name of a tensor or part with that of its group in front.
    pub(super) fn full(&self, name: &str) -> String {
        match self.group {
            Group::Backbone => format!("backbone.{name}"),
            Group::Head => format!("head.{name}"),
        }
    }

    /// The numbers are drawn on the CPU, so that they are the same on every device.
    fn tensor(&mut self, size: &[i64], initial: Initial) -> Result<Tensor, TchError> {
        let mut random = generator(self.seed, Purpose::Weights, self.drawn, 0);
        self.drawn += 1;
        let count = usize::try_from(size.iter().product::<i64>()).unwrap_or(0);
        let mut numbers = Vec::with_capacity(count + 1);
        match initial {
            Initial::Constant(value) => return Tensor::f_full(size, value, (Kind::Float, self.device)),
            Initial::Uniform { bound } => {
                numbers.extend((0..count).map(|_| (bound * (2.0 * random.random::<f64>() - 1.0)) as f32));
            }
            Initial::Normal { deviation } => {
                // Box and Muller's transformation: two uniform numbers give two normal ones.
                while numbers.len() < count {
                    let radius = deviation * (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
                    let (sine, cosine) = (std::f64::consts::TAU * random.random::<f64>()).sin_cos();
                    numbers.extend([(radius * cosine) as f32, (radius * sine) as f32]);
                }
                numbers.truncate(count);
            }
        }
        Tensor::f_from_slice(&numbers)?.f_reshape(size)?.f_to(self.device)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn draw(seed: u64, initial: Initial) -> Vec<f32> {
        let mut registry = Registry::new(Device::Cpu, seed);
        let tensor = registry.parameter("a", &[101, 99], initial).unwrap();
        Vec::<f32>::try_from(tensor.flatten(0, -1).detach()).unwrap()
    }

    fn moments(numbers: &[f32]) -> (f64, f64) {
        let count = numbers.len() as f64;
        let mean = numbers.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        (mean, (numbers.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count).sqrt())
    }

    #[test]
    fn normal_numbers_have_their_deviation_and_tails() {
        let numbers = draw(1, Initial::Normal { deviation: 0.5 });
        let (mean, deviation) = moments(&numbers);
        // Four standard errors for 9,999 numbers.
        assert!(mean.abs() < 0.02 && (deviation - 0.5).abs() < 0.0145, "{mean} {deviation}");
        let outside = numbers.iter().filter(|x| x.abs() > 1.0).count() as f64 / numbers.len() as f64;
        assert!((outside - 0.0455).abs() < 0.0084, "{outside}");
    }

    #[test]
    fn uniform_numbers_fill_their_range() {
        let numbers = draw(1, Initial::Uniform { bound: 0.3 });
        assert!(numbers.iter().all(|x| x.abs() <= 0.3));
        let (mean, deviation) = moments(&numbers);
        assert!(mean.abs() < 0.007 && (deviation - 0.3 / 3f64.sqrt()).abs() < 0.004, "{mean} {deviation}");
    }

    #[test]
    fn each_tensor_has_numbers_of_its_own() {
        let mut registry = Registry::new(Device::Cpu, 1);
        let mut next = || registry.parameter("a", &[4], Initial::Uniform { bound: 1.0 }).unwrap();
        assert!(!next().equal(&next()));
    }
}
