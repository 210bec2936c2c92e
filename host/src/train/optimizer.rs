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
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    multiplier: f64,
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
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
        let slot = Slot { name: name.to_owned(), parameter: parameter.shallow_clone(), moments };
        let place = match self.groups.binary_search_by(|group| group.multiplier.total_cmp(&multiplier)) {
            Ok(place) => place,
            Err(place) => {
                self.groups.insert(place, Group { multiplier, slots: Vec::new() });
                place
            }
        };
        if let Some(Group { slots, .. }) = self.groups.get_mut(place) {
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

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.groups.iter().flat_map(|group| &group.slots)
    }

    fn tensors(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.slots().flat_map(|slot| {
            slot.moments.named().into_iter().flatten().map(|(kind, tensor)| (format!("{}.{kind}", slot.name), tensor))
        })
    }
}

impl Group {
    fn step(&self, config: &OptimizerConfig, learning_rate: f64) -> Result<(), TchError> {
        let &OptimizerConfig { weight_decay, momentum, betas: [beta1, beta2], epsilon, .. } = config;
        let decoupled = match config.name {
            Algorithm::Sgd => {
                let slots = self.slots.iter().map(Slot::sgd);
                return fused_sgd(slots, SgdSettings { learning_rate, momentum, weight_decay });
            }
            Algorithm::Adam => false,
            Algorithm::Adamw => true,
        };
        let settings = AdamSettings { learning_rate, beta1, beta2, weight_decay, epsilon, decoupled };
        fused_adam(self.slots.iter().filter_map(Slot::adam), settings)
    }
}

impl Slot {
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
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use tch::Device;

    const START: [f64; 3] = [0.5, -1.5, 2.0];

    fn parameter() -> Tensor {
        Tensor::f_from_slice(&START).unwrap().set_requires_grad(true)
    }

    fn optimizer(config: &str) -> Optimizer {
        Optimizer::new(toml::from_str(config).unwrap()).unwrap()
    }

    /// The gradient of sum(x^4 / 4 + x), as a function of the number and through autograd.
    fn gradient(x: f64) -> f64 {
        x * x * x + 1.0
    }

    fn backward(x: &Tensor) {
        (x.pow_tensor_scalar(4) / 4.0 + x).sum(Kind::Double).f_backward().unwrap();
    }

    fn numbers(x: &Tensor) -> Vec<f64> {
        Vec::try_from(x.detach()).unwrap()
    }

    /// Runs both for ten steps, the optimizer and a formula for one number: `update(t, x, g)` returns the new x.
    fn compare<F: FnMut(i32, f64, f64) -> f64>(config: &str, formula: impl Fn() -> F) {
        let (x, mut optimizer) = (parameter(), optimizer(config));
        optimizer.add("x", &x, 1.0).unwrap();
        for _ in 0..10 {
            optimizer.zero_grad().unwrap();
            backward(&x);
            optimizer.step(0.5).unwrap();
        }
        for (start, found) in START.into_iter().zip(numbers(&x)) {
            let mut update = formula();
            let expected = (1..=10).fold(start, |x, t| update(t, x, gradient(x)));
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
            assert!((found - start).abs() > 1e-3, "nothing was trained");
        }
    }

    #[test]
    fn sgd_follows_its_formula() {
        compare("name = \"sgd\"\nlearning-rate = 0.02\nweight-decay = 0.1\nmomentum = 0.8", || {
            let mut momentum = 0.0;
            move |_, x, g| {
                momentum = 0.8 * momentum + g + 0.1 * x;
                x - 0.01 * momentum
            }
        });
        compare("name = \"sgd\"\nlearning-rate = 0.02\nweight-decay = 0.0\nmomentum = 0.0", || |_, x, g| x - 0.01 * g);
    }

    fn adam(decay: f64, decoupled: bool) -> impl FnMut(i32, f64, f64) -> f64 {
        let (mut average, mut square) = (0.0, 0.0);
        move |t, x, g| {
            let g = if decoupled { g } else { g + decay * x };
            average = 0.8 * average + 0.2 * g;
            square = 0.95 * square + 0.05 * g * g;
            let step = average / (1.0 - 0.8f64.powi(t)) / ((square / (1.0 - 0.95f64.powi(t))).sqrt() + 1e-3);
            if decoupled { x - 0.01 * decay * x - 0.01 * step } else { x - 0.01 * step }
        }
    }

    #[test]
    fn adam_and_adamw_follow_their_formulas() {
        let config = "learning-rate = 0.02\nweight-decay = 0.3\nbetas = [0.8, 0.95]\nepsilon = 1e-3";
        compare(&format!("name = \"adam\"\n{config}"), || adam(0.3, false));
        compare(&format!("name = \"adamw\"\n{config}"), || adam(0.3, true));
    }

    #[test]
    fn a_multiplier_scales_the_learning_rate() {
        let mut optimizer = optimizer("name = \"sgd\"\nmomentum = 0.0\nweight-decay = 0.0\nlearning-rate = 0.1");
        let tensors = [1.0, 3.0, 0.0].map(|multiplier| (multiplier, parameter()));
        for (multiplier, x) in &tensors {
            optimizer.add(&multiplier.to_string(), x, *multiplier).unwrap();
            backward(x);
        }
        optimizer.step(1.0).unwrap();
        for (multiplier, x) in &tensors {
            for (start, found) in START.into_iter().zip(numbers(x)) {
                assert!((found - (start - 0.1 * multiplier * gradient(start))).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_parameter_without_a_gradient_stays_and_does_not_age() {
        let mut optimizer = optimizer("name = \"adamw\"\nweight-decay = 0.5");
        let (used, unused) = (parameter(), parameter());
        optimizer.add("used", &used, 1.0).unwrap();
        optimizer.add("unused", &unused, 1.0).unwrap();
        backward(&used);
        optimizer.step(1.0).unwrap();
        assert_eq!(numbers(&unused), START);
        let state = optimizer.state();
        assert_eq!(state["used.step"].f_double_value(&[]).unwrap(), 1.0);
        assert_eq!(state["unused.step"].f_double_value(&[]).unwrap(), 0.0);
        optimizer.zero_grad().unwrap();
        assert!(!used.grad().defined());
    }

    #[test]
    fn a_parameter_added_late_starts_from_its_own_first_step() {
        let mut optimizer = optimizer("name = \"adam\"");
        let (early, late) = (parameter(), parameter());
        optimizer.add("early", &early, 1.0).unwrap();
        backward(&early);
        optimizer.step(1.0).unwrap();
        let after_one = numbers(&early);
        optimizer.add("late", &late, 1.0).unwrap();
        backward(&late);
        optimizer.step(1.0).unwrap();
        assert_eq!(numbers(&late), after_one);
    }

    #[test]
    fn a_training_goes_on_from_a_saved_state_to_the_same_bits() {
        for name in ["sgd", "adam", "adamw"] {
            let config = format!("name = \"{name}\"");
            let advance = |optimizer: &mut Optimizer, x: &Tensor| {
                for _ in 0..3 {
                    optimizer.zero_grad().unwrap();
                    backward(x);
                    optimizer.step(1.0).unwrap();
                }
            };
            let (x, mut first) = (parameter(), optimizer(&config));
            first.add("x", &x, 1.0).unwrap();
            advance(&mut first, &x);
            let saved: BTreeMap<_, _> =
                first.state().iter().map(|(name, tensor)| (name.clone(), tensor.copy())).collect();
            let y = x.detach().copy().set_requires_grad(true);
            advance(&mut first, &x);

            let mut second = optimizer(&config);
            second.add("x", &y, 1.0).unwrap();
            second.load_state(&saved).unwrap();
            advance(&mut second, &y);
            assert_eq!(numbers(&x), numbers(&y), "{name}");
        }
    }

    #[test]
    fn a_state_of_another_algorithm_is_an_error() {
        let mut adam = optimizer("name = \"adam\"");
        adam.add("x", &parameter(), 1.0).unwrap();
        let mut sgd = optimizer("name = \"sgd\"");
        sgd.add("x", &parameter(), 1.0).unwrap();
        let error = sgd.load_state(&adam.state()).unwrap_err();
        assert!(
            error.to_string().contains("missing: x.momentum_buffer; unexpected: x.exp_avg, x.exp_avg_sq, x.step"),
            "{error}"
        );
    }

    #[test]
    fn clipping_scales_all_gradients_by_their_common_norm() {
        let rest = "name = \"sgd\"\nmomentum = 0.0\nweight-decay = 0.0\nlearning-rate = 1.0";
        let norm = (2.0 * START.map(gradient).iter().map(|g| g * g).sum::<f64>()).sqrt();
        for (limit, scale) in [(0.5, 0.5 / (norm + 1e-6)), (1000.0, 1.0)] {
            let mut optimizer = optimizer(&format!("{rest}\nclip-norm = {limit:?}"));
            let tensors = [parameter(), parameter()];
            for (x, name) in tensors.iter().zip(["a", "b"]) {
                optimizer.add(name, x, 1.0).unwrap();
                backward(x);
            }
            let found = optimizer.clip().unwrap();
            optimizer.step(1.0).unwrap();
            assert!((found.f_double_value(&[]).unwrap() - norm).abs() < 1e-12);
            for x in &tensors {
                for (start, found) in START.into_iter().zip(numbers(x)) {
                    assert!((found - (start - scale * gradient(start))).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn a_gradient_of_another_layout_is_put_in_order() {
        let mut optimizer = optimizer("name = \"sgd\"\nmomentum = 0.0\nweight-decay = 0.0\nlearning-rate = 1.0");
        let x = Tensor::zeros([2, 3], (Kind::Double, Device::Cpu)).set_requires_grad(true);
        x.sum(Kind::Double).f_backward().unwrap();
        let given = Tensor::f_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap().reshape([3, 2]).tr();
        x.grad().f_set_data(&given).unwrap();
        optimizer.add("x", &x, 1.0).unwrap();
        optimizer.step(1.0).unwrap();
        assert!(x.detach().equal(&-given));
    }

    #[test]
    fn no_parameters_or_gradients_are_no_error() {
        let mut optimizer = optimizer("clip-norm = 1.0");
        assert!(optimizer.step(1.0).is_ok());
        optimizer.add("x", &parameter(), 1.0).unwrap();
        assert_eq!(optimizer.clip().unwrap().f_double_value(&[]).unwrap(), 0.0);
    }

    #[test]
    fn what_cannot_be_added_is_an_error() {
        let (mut optimizer, x) = (optimizer(""), parameter());
        optimizer.add("x", &x, 1.0).unwrap();
        assert!(matches!(optimizer.add("x", &x, 1.0), Err(TrainError::Duplicate { .. })));
        assert!(matches!(optimizer.add("y", &x.detach(), 1.0), Err(TrainError::NotTrainable { .. })));
        assert!(matches!(optimizer.add("y", &(&x * 2.0), 1.0), Err(TrainError::NotTrainable { .. })));
        assert!(matches!(optimizer.add("y", &x, -1.0), Err(TrainError::OutOfRange { .. })));
    }
}
