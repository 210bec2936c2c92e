//! SGD, Adam and AdamW as PyTorch defines them, with all that they remember in named tensors.

use super::optimizer_error::TrainError;
use crate::experiment::{Algorithm, OptimizerConfig, check_range};
use crate::model::copy_state;
use lossmith_torch_shim::{
    AdamSettings, AdamSlot, SgdSettings, SgdSlot, clear_gradients, clip_gradients, fused_adam, fused_sgd,
};
use std::collections::BTreeMap;
use tch::{Kind, TchError, Tensor};

/// Trains named parameters. It holds what it remembers of each as tensors on the parameter's device.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    /// The parameters of one multiplier are updated by one call. Sorted by multiplier, and in a group by name: the norm
    /// of all gradients is a sum in this order, which must not depend on when a parameter came.
    groups: Vec<ParameterGroup>,
}

#[derive(Debug)]
struct ParameterGroup {
    multiplier: f64,
    slots: Vec<ParameterSlot>,
}

#[derive(Debug)]
struct ParameterSlot {
    name: String,
    parameter: Tensor,
    moments: Moments,
}

#[derive(Debug)]
enum Moments {
    None,
    Sgd { momentum: Tensor },
    Adam { average: Tensor, square: Tensor, step: Tensor },
}

impl Optimizer {
    /// An optimizer without parameters.
    ///
    /// # Errors
    /// A setting outside of its range.
    pub fn new(config: OptimizerConfig) -> Result<Self, TrainError> {
        config.check()?;
        Ok(Self { config, groups: Vec::new() })
    }

    /// Adds a parameter; its learning rate is `multiplier` times that of the others. It may be added during the run.
    ///
    /// # Errors
    /// If the name is taken, the multiplier is negative, or the tensor cannot be trained.
    pub fn add(&mut self, name: &str, parameter: &Tensor, multiplier: f64) -> Result<(), TrainError> {
        check_range("multiplier", multiplier, multiplier >= 0.0 && multiplier.is_finite(), "0 or more")?;
        if self.has(name) {
            return Err(TrainError::Duplicate { name: name.to_owned() });
        }
        if !parameter.requires_grad() || !parameter.f_is_leaf()? {
            return Err(TrainError::NotTrainable { name: name.to_owned() });
        }
        let moments = Moments::new(&self.config, parameter)?;
        let slot = ParameterSlot { name: name.to_owned(), parameter: parameter.shallow_clone(), moments };
        let place = match self.groups.binary_search_by(|group| group.multiplier.total_cmp(&multiplier)) {
            Ok(place) => place,
            Err(place) => {
                self.groups.insert(place, ParameterGroup { multiplier, slots: Vec::new() });
                place
            }
        };
        if let Some(ParameterGroup { slots, .. }) = self.groups.get_mut(place) {
            slots.insert(slots.partition_point(|other| other.name < slot.name), slot);
        }
        Ok(())
    }

    /// Forgets the parameters for which `keep` is false.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.groups.iter_mut().for_each(|group| group.slots.retain(|slot| keep(&slot.name)));
        self.groups.retain(|group| !group.slots.is_empty());
    }

    /// Goes on with other numbers. The algorithm, the multipliers, and whether there is momentum must stay: they decide
    /// what is remembered.
    ///
    /// # Errors
    /// A setting outside of its range; nothing is changed then.
    pub fn configure(&mut self, config: OptimizerConfig) -> Result<(), TrainError> {
        config.check()?;
        self.config = config;
        Ok(())
    }

    /// Whether it trains a parameter of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.slots().any(|slot| slot.name == name)
    }

    /// Scales the gradients to `clip-norm`, if that is set. Returns their norm before that: a scalar on the device, for
    /// which nothing waits.
    ///
    /// # Errors
    /// If the gradients lie on several devices.
    pub fn clip(&self) -> Result<Tensor, TrainError> {
        let maximum = self.config.clip_norm.unwrap_or(f64::INFINITY);
        Ok(clip_gradients(self.slots().map(|slot| &slot.parameter), maximum)?)
    }

    /// Updates every parameter that has a gradient, with the configured learning rate times `factor` times the
    /// parameter's multiplier.
    ///
    /// # Errors
    /// If a gradient does not fit its parameter, or parameters lie on several devices.
    pub fn step(&mut self, factor: f64) -> Result<(), TrainError> {
        for group in &self.groups {
            group.step(&self.config, self.config.learning_rate * factor * group.multiplier)?;
        }
        Ok(())
    }

    /// Takes all gradients away. The next backward pass stores its gradients without adding, and a parameter that it
    /// does not reach has none and is not updated.
    ///
    /// # Errors
    /// If libtorch fails.
    pub fn zero_grad(&mut self) -> Result<(), TrainError> {
        Ok(clear_gradients(self.slots().map(|slot| &slot.parameter))?)
    }

    /// What the optimizer remembers, by the parameter's name and `exp_avg`, `exp_avg_sq` and `step`, or
    /// `momentum_buffer`, as PyTorch calls them. The tensors share memory with the optimizer: a later step changes
    /// them.
    #[must_use]
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        self.tensors().map(|(name, tensor)| (name, tensor.shallow_clone())).collect()
    }

    /// Copies a saved state into the optimizer, to which the same parameters must have been added.
    ///
    /// # Errors
    /// If the names or shapes are not exactly those of [`state`](Self::state); nothing is copied then.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        let targets: Vec<_> = self.tensors().collect();
        copy_state(targets.iter().map(|(name, tensor)| (name, *tensor)), state)?.map_err(TrainError::State)
    }

    fn slots(&self) -> impl Iterator<Item = &ParameterSlot> {
        self.groups.iter().flat_map(|group| &group.slots)
    }

    fn tensors(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.slots().flat_map(|slot| {
            slot.moments.named().into_iter().flatten().map(|(kind, tensor)| (format!("{}.{kind}", slot.name), tensor))
        })
    }
}

impl ParameterGroup {
    fn step(&self, config: &OptimizerConfig, learning_rate: f64) -> Result<(), TchError> {
        let &OptimizerConfig { weight_decay, momentum, betas: [beta1, beta2], epsilon, .. } = config;
        let decoupled = match config.name {
            Algorithm::Sgd => {
                let slots = self.slots.iter().map(ParameterSlot::sgd);
                return fused_sgd(slots, SgdSettings { learning_rate, momentum, weight_decay });
            }
            Algorithm::Adam => false,
            Algorithm::Adamw => true,
        };
        let settings = AdamSettings { learning_rate, beta1, beta2, weight_decay, epsilon, decoupled };
        fused_adam(self.slots.iter().filter_map(ParameterSlot::adam), settings)
    }
}

impl ParameterSlot {
    fn sgd(&self) -> SgdSlot<'_> {
        let momentum = if let Moments::Sgd { momentum } = &self.moments { Some(momentum) } else { None };
        SgdSlot { parameter: &self.parameter, momentum }
    }

    fn adam(&self) -> Option<AdamSlot<'_>> {
        let Moments::Adam { average, square, step } = &self.moments else { return None };
        Some(AdamSlot { parameter: &self.parameter, average, square, step })
    }
}

impl Moments {
    fn new(config: &OptimizerConfig, parameter: &Tensor) -> Result<Self, TchError> {
        let zeros = || parameter.f_detach()?.f_zeros_like();
        Ok(match config.name {
            Algorithm::Sgd if config.momentum == 0.0 => Self::None,
            Algorithm::Sgd => Self::Sgd { momentum: zeros()? },
            Algorithm::Adam | Algorithm::Adamw => {
                let step = Tensor::f_zeros([0i64; 0], (Kind::Float, parameter.device()))?;
                Self::Adam { average: zeros()?, square: zeros()?, step }
            }
        })
    }

    fn named(&self) -> [Option<(&'static str, &Tensor)>; 3] {
        match self {
            Self::None => [None; 3],
            Self::Sgd { momentum } => [Some(("momentum_buffer", momentum)), None, None],
            Self::Adam { average, square, step } => {
                [Some(("exp_avg", average)), Some(("exp_avg_sq", square)), Some(("step", step))]
            }
        }
    }
}

#[cfg(test)]
mod tests;
