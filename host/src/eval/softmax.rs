//! A linear classifier on embeddings that stay as they are.

use tch::{Kind, TchError, Tensor};

use super::ClassificationConfig;
use super::points::{Points, blocks};

/// Points whose class probabilities are held at once.
const BLOCK: i64 = 4096;

/// Softmax regression: the probabilities of a point x are the softmax of `weights`^T x + `biases`.
pub(super) struct Softmax {
    /// D x C, double.
    weights: Tensor,
    /// C, double.
    biases: Tensor,
}

/// What is minimised: the mean cross-entropy of `classes` given `inputs`, and half of `penalty` times the squared
/// weights.
struct PenalisedLoss<'a> {
    /// N x (D + 1); the last column is the same for all points, and its weights are the biases.
    inputs: Tensor,
    /// N, int64.
    classes: &'a Tensor,
    /// (D + 1) x 1.
    penalty: Tensor,
}

impl Softmax {
    /// Fits the classifier to `points` and the number of the class of each (N, int64, from 0 to below `count`).
    ///
    /// The whole set is gone through `config.iterations` times by Nesterov's accelerated gradient, from weights of 0,
    /// with the largest step that is safe for any such data. It starts to gather speed anew whenever it goes uphill
    /// (O'Donoghue and Candès, "Adaptive Restart for Accelerated Gradient Schemes", 2015). Nothing is drawn at random.
    pub(super) fn fit(
        points: &Points,
        classes: &Tensor,
        count: i64,
        config: &ClassificationConfig,
    ) -> Result<Self, TchError> {
        let (size, like) = (points.dimensions(), (Kind::Double, points.device()));
        let (centre, lipschitz, objective) = PenalisedLoss::new(points, classes, config.regularisation)?;

        let mut weights = Tensor::f_zeros([size + 1, count], like)?;
        let mut ahead = weights.f_zeros_like()?;
        let mut momentum = 1.0_f64;
        for _ in 0..config.iterations.get() {
            let gradient = objective.gradient(&ahead)?;
            let next = ahead.f_sub(&gradient.f_mul_scalar(1.0 / lipschitz)?)?;
            let mut way = next.f_sub(&weights)?;
            if gradient.f_mul(&way)?.f_sum(Kind::Double)?.f_double_value(&[])? > 0.0 {
                momentum = 1.0;
            }
            let faster = 0.5 * (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt());
            ahead = way.f_mul_scalar_((momentum - 1.0) / faster)?.f_add(&next)?;
            (weights, momentum) = (next, faster);
        }
        let column = (2.0 * lipschitz).sqrt();
        let biases = weights.f_narrow(0, size, 1)?.f_mul_scalar(column)?;
        let weights = weights.f_narrow(0, 0, size)?;
        Ok(Self { biases: biases.f_sub(&centre.f_matmul(&weights)?)?.f_view([count])?, weights })
    }

    /// The number of the most probable class of each point (N, int64), computed for `block` of them at a time. Of
    /// classes that are equally probable (to single precision of their scores) it is the first.
    pub(super) fn predict(&self, points: &Points, block: i64) -> Result<Tensor, TchError> {
        let best = |(start, count)| {
            let scores = points.block(start, count)?.f_matmul(&self.weights)?.f_add(&self.biases)?;
            scores.f_to_kind(Kind::Float)?.f_argmax(1, false)
        };
        let found: Vec<Tensor> = blocks(points.len(), block).map(best).collect::<Result<_, _>>()?;
        Tensor::f_cat(&found, 0)
    }
}

impl<'a> PenalisedLoss<'a> {
    /// The mean of the points (1 x D), a Lipschitz constant L of the gradient, and the objective.
    ///
    /// The inputs are the points less their mean, which changes the best biases and nothing else, and a last column of
    /// c. The Hessian of the cross-entropy by the scores of a point has no eigenvalue above 1/2. So, with the
    /// covariance matrix V of the points, the Hessian of the objective is nowhere above V/2 + penalty for the weights
    /// and c^2/2 for the biases, and no term of that bound mixes the two, because the mean is 0. The Frobenius norm of
    /// V is at least its largest eigenvalue: L = |V|/2 + penalty. With c^2 = 2 L the biases need no smaller step than
    /// the weights.
    fn new(points: &Points, classes: &'a Tensor, regularisation: f64) -> Result<(Tensor, f64, Self), TchError> {
        let like = (Kind::Double, points.device());
        let centre = points.rows.f_mean_dim([0].as_slice(), true, Kind::Double)?;
        let centred = points.rows.f_sub(&centre)?;
        let covariance = centred.f_tr()?.f_matmul(&centred)?.f_div_scalar(points.len() as f64)?;
        let lipschitz = 0.5 * covariance.f_norm()?.f_double_value(&[])? + regularisation;
        let column = Tensor::f_full([points.len(), 1], (2.0 * lipschitz).sqrt(), like)?;
        let penalty = Tensor::f_full([points.dimensions() + 1, 1], regularisation, like)?;
        let _ = penalty.f_narrow(0, points.dimensions(), 1)?.f_zero_()?;
        Ok((centre, lipschitz, Self { inputs: Tensor::f_cat(&[centred, column], 1)?, classes, penalty }))
    }

    /// inputs^T (probabilities - classes as rows of 0 and 1) / N + penalty x weights, for `weights` ((D + 1) x C).
    fn gradient(&self, weights: &Tensor) -> Result<Tensor, TchError> {
        let total = self.classes.numel() as i64;
        let mut sum = weights.f_zeros_like()?;
        for (start, count) in blocks(total, BLOCK) {
            let inputs = self.inputs.f_narrow(0, start, count)?;
            let classes = self.classes.f_narrow(0, start, count)?.f_unsqueeze(1)?;
            let mut errors = inputs.f_matmul(weights)?.f_softmax(1, Kind::Double)?;
            let right = Tensor::f_full([count, 1], -1.0, (Kind::Double, inputs.device()))?;
            let _ = errors.f_scatter_add_(1, &classes, &right)?;
            let _ = sum.f_add_(&inputs.f_tr()?.f_matmul(&errors)?)?;
        }
        sum.f_div_scalar_(total as f64)?.f_add(&self.penalty.f_mul(weights)?)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use std::num::NonZeroUsize;

    use tch::Device;

    use super::super::Distance;
    use super::*;
    use lossmith_plugin::random_streams::{Purpose, generator, normal};

    fn config(regularisation: f64, iterations: usize) -> ClassificationConfig {
        let iterations = NonZeroUsize::new(iterations).unwrap();
        ClassificationConfig { regularisation, iterations, ..ClassificationConfig::default() }
    }

    /// Overlapping clouds of points far from the origin, in `classes` classes of different sizes.
    fn clouds(points: usize, dimensions: usize, classes: usize) -> (Vec<Vec<f64>>, Vec<usize>) {
        let mut random = generator(5, Purpose::Sampler, 0, 0);
        let centres: Vec<Vec<f64>> =
            (0..classes).map(|_| (0..dimensions).map(|_| 3.0 + normal(&mut random)).collect()).collect();
        let labels: Vec<usize> = (0..points).map(|at| (at * at + at / 3) % (classes + 2) % classes).collect();
        let point = |label: &usize| centres[*label].iter().map(|at| at + normal(&mut random)).collect();
        (labels.iter().map(point).collect(), labels)
    }

    fn tensors(rows: &[Vec<f64>], labels: &[usize], distance: Distance) -> (Points, Tensor) {
        let labels: Vec<i64> = labels.iter().map(|label| *label as i64).collect();
        (Points::new(&Tensor::from_slice2(rows), distance).unwrap(), Tensor::from_slice(&labels))
    }

    /// The penalised loss in plain Rust, and its gradient by each weight (D x C) and then each bias.
    fn slow(points: &Points, labels: &[usize], found: &Softmax, penalty: f64) -> (f64, Vec<f64>) {
        let rows = Vec::<Vec<f64>>::try_from(&points.rows).unwrap();
        let weights = Vec::<Vec<f64>>::try_from(&found.weights).unwrap();
        let biases = Vec::<f64>::try_from(&found.biases).unwrap();
        let (dimensions, classes, total) = (weights.len(), biases.len(), rows.len() as f64);
        let mut loss = 0.5 * penalty * weights.iter().flatten().map(|weight| weight * weight).sum::<f64>();
        let mut gradient: Vec<f64> = weights.iter().flatten().map(|weight| penalty * weight).collect();
        gradient.resize((dimensions + 1) * classes, 0.0);
        for (row, label) in rows.iter().zip(labels) {
            let score = |class: usize| -> f64 {
                biases[class] + row.iter().zip(&weights).map(|(at, weights)| at * weights[class]).sum::<f64>()
            };
            let all: f64 = (0..classes).map(|class| score(class).exp()).sum();
            loss -= (score(*label).exp() / all).ln() / total;
            for class in 0..classes {
                let error = (score(class).exp() / all - f64::from(class == *label)) / total;
                for (dimension, at) in row.iter().chain([&1.0]).enumerate() {
                    gradient[dimension * classes + class] += error * at;
                }
            }
        }
        (loss, gradient)
    }

    #[test]
    fn the_gradient_of_the_penalised_loss_is_zero_at_the_weights() {
        let (rows, labels) = clouds(150, 6, 4);
        for distance in [Distance::Cosine, Distance::Euclidean] {
            let (points, classes) = tensors(&rows, &labels, distance);
            for penalty in [1e-3, 0.1, 10.0] {
                let found = Softmax::fit(&points, &classes, 4, &config(penalty, 1500)).unwrap();
                let (_, gradient) = slow(&points, &labels, &found, penalty);
                assert!(gradient.iter().all(|part| part.abs() < 1e-9), "{distance:?} {penalty}: {gradient:?}");
            }
        }
    }

    #[test]
    fn the_usual_steps_come_close_to_the_least_loss() {
        let (rows, labels) = clouds(150, 6, 4);
        for distance in [Distance::Cosine, Distance::Euclidean] {
            let (points, classes) = tensors(&rows, &labels, distance);
            let loss = |iterations| {
                let found = Softmax::fit(&points, &classes, 4, &config(1e-4, iterations)).unwrap();
                slow(&points, &labels, &found, 1e-4).0
            };
            let (start, usual, least) = (4.0_f64.ln(), loss(300), loss(3000));
            assert!(usual - least < 1e-3 * (start - least), "{distance:?}: {start} {usual} {least}");
            // The first step is safe, too.
            assert!(loss(1) < start);
        }
    }

    #[test]
    fn more_points_than_a_block_holds() {
        let (rows, labels) = clouds(2 * BLOCK as usize + 5, 2, 3);
        let (points, classes) = tensors(&rows, &labels, Distance::Euclidean);
        let found = Softmax::fit(&points, &classes, 3, &config(0.1, 150)).unwrap();
        let (_, gradient) = slow(&points, &labels, &found, 0.1);
        assert!(gradient.iter().all(|part| part.abs() < 1e-9), "{gradient:?}");
        let whole = found.predict(&points, i64::MAX).unwrap();
        assert_eq!(whole, found.predict(&points, 77).unwrap());
    }

    #[test]
    fn points_without_any_spread_give_the_shares_of_the_classes() {
        let points = Points::new(&Tensor::ones([4, 3], (Kind::Float, Device::Cpu)), Distance::Euclidean).unwrap();
        let classes = Tensor::from_slice(&[0_i64, 1, 1, 1]);
        let found = Softmax::fit(&points, &classes, 2, &config(1e-4, 1000)).unwrap();
        let scores = (points.block(0, 1).unwrap().matmul(&found.weights) + &found.biases).softmax(1, Kind::Double);
        assert!((scores.double_value(&[0, 0]) - 0.25).abs() < 1e-9, "{scores:?}");
        assert!(found.weights.abs().max().double_value(&[]) < 1e-9);
    }
}
