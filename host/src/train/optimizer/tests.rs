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
        let saved: BTreeMap<_, _> = first.state().iter().map(|(name, tensor)| (name.clone(), tensor.copy())).collect();
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
