//! Slices against direct formulas in plain Rust.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::num::NonZeroUsize;

use lossmith_plugin::random_streams::{Purpose, generator, normal};
use tch::Device;

use super::*;

fn config(distance: Distance) -> EvaluationConfig {
    EvaluationConfig { distance, ..EvaluationConfig::default() }
}

/// 60 points of 12 dimensions in 3 classes, some dimensions alike.
fn clouds() -> (Vec<Vec<f64>>, Tensor) {
    let mut random = generator(3, Purpose::Sampler, 0, 0);
    let labels: Vec<i64> = (0..60).map(|at| at % 3).collect();
    let row = |label: &i64| -> Vec<f64> {
        let common = normal(&mut random);
        (0..12).map(|at| 0.5 * *label as f64 + common * f64::from(at % 4) * 0.3 + normal(&mut random)).collect()
    };
    (labels.iter().map(row).collect(), Tensor::from_slice(&labels))
}

/// The columns of each slice, scaled as the distance wants it: slices x points x dimensions.
fn cut(rows: &[Vec<f64>], count: usize, distance: Distance) -> Vec<Vec<Vec<f64>>> {
    let width = rows[0].len() / count;
    let scaled = |part: &[f64]| -> Vec<f64> {
        let length = part.iter().map(|at| at * at).sum::<f64>().sqrt();
        part.iter().map(|at| if distance == Distance::Cosine && length > 0.0 { at / length } else { *at }).collect()
    };
    (0..count).map(|at| rows.iter().map(|row| scaled(&row[at * width..(at + 1) * width])).collect()).collect()
}

fn pearson(one: &[f64], other: &[f64]) -> f64 {
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    let (a, b) = (mean(one), mean(other));
    let product: f64 = one.iter().zip(other).map(|(x, y)| (x - a) * (y - b)).sum();
    let square = |all: &[f64], mean: f64| all.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    product / (square(one, a) * square(other, b)).sqrt()
}

fn slow_correlation(slices: &[Vec<Vec<f64>>]) -> f64 {
    let column = |slice: usize, at: usize| -> Vec<f64> { slices[slice].iter().map(|row| row[at]).collect() };
    let (mut sum, mut pairs) = (0.0, 0.0);
    for a in 0..slices.len() {
        for b in (0..slices.len()).filter(|b| *b != a) {
            for i in 0..slices[a][0].len() {
                for j in 0..slices[b][0].len() {
                    sum += pearson(&column(a, i), &column(b, j)).abs();
                    pairs += 1.0;
                }
            }
        }
    }
    sum / pairs
}

fn slow_disagreement(slices: &[Vec<Vec<f64>>]) -> f64 {
    let nearest = |slice: &Vec<Vec<f64>>, query: usize| {
        let distance = |other: usize| -> f32 {
            slice[query].iter().zip(&slice[other]).map(|(x, y)| (x - y).powi(2)).sum::<f64>() as f32
        };
        let others = (0..slice.len()).filter(|other| *other != query);
        others.min_by(|a, b| distance(*a).total_cmp(&distance(*b)).then(a.cmp(b))).unwrap()
    };
    let (mut sum, mut pairs) = (0.0, 0.0);
    for a in 0..slices.len() {
        for b in 0..a {
            let differ =
                (0..slices[0].len()).filter(|query| nearest(&slices[a], *query) != nearest(&slices[b], *query));
            sum += differ.count() as f64 / slices[0].len() as f64;
            pairs += 1.0;
        }
    }
    sum / pairs
}

#[test]
fn as_the_direct_formulas() {
    let (rows, labels) = clouds();
    let embeddings = Tensor::from_slice2(&rows);
    for distance in [Distance::Cosine, Distance::Euclidean] {
        for count in [2, 3, 6] {
            let found = slices(&embeddings, &labels, None, count, &config(distance)).unwrap();
            let cut = cut(&rows, count, distance);
            assert!((found.correlation - slow_correlation(&cut)).abs() < 1e-12, "{found:?}");
            assert!((found.disagreement - slow_disagreement(&cut)).abs() < 1e-12, "{found:?}");
            assert!(found.disagreement > 0.0);
            for (slice, scores) in cut.iter().zip(&found.scores) {
                let alone = retrieval(&Tensor::from_slice2(slice), &labels, &config(distance)).unwrap();
                assert_eq!(*scores, alone.overall);
            }
            assert_eq!(found.scores.len(), count);
            let block = NonZeroUsize::new(7).unwrap();
            let config = EvaluationConfig { block, ..config(distance) };
            assert_eq!(slices(&embeddings, &labels, None, count, &config).unwrap(), found);
        }
    }
}

#[test]
fn equal_and_opposite_slices_are_fully_correlated_and_agree() {
    let (rows, labels) = clouds();
    let column = Tensor::from_slice2(&rows).narrow(1, 0, 1);
    let found =
        slices(&Tensor::cat(&[&column, &(&column * -2.0)], 1), &labels, None, 2, &config(Distance::Euclidean)).unwrap();
    assert!((found.correlation - 1.0).abs() < 1e-12 && found.correlation <= 1.0, "{found:?}");
    assert_eq!(found.disagreement, 0.0);
    assert_eq!(found.scores[0], found.scores[1]);
}

#[test]
fn a_dimension_without_variance_is_correlated_with_none() {
    let (rows, labels) = clouds();
    let column = Tensor::from_slice2(&rows).narrow(1, 0, 1);
    // 0.1 has no exact mean in binary numbers.
    let constant = column.full_like(0.1);
    let embeddings = Tensor::cat(&[&column, &column, &column, &constant], 1);
    let found = slices(&embeddings, &labels, None, 2, &config(Distance::Euclidean)).unwrap();
    assert!((found.correlation - 0.5).abs() < 1e-12, "{found:?}");
}

#[test]
fn one_slice_is_the_embedding() {
    let (rows, labels) = clouds();
    let embeddings = Tensor::from_slice2(&rows);
    let default = EvaluationConfig::default();
    let found = slices(&embeddings, &labels, None, 1, &default).unwrap();
    assert_eq!(found.scores, [retrieval(&embeddings, &labels, &default).unwrap().overall]);
    assert_eq!((found.correlation, found.disagreement), (0.0, 0.0));
    let names = ["slice.0.map-at-r", "slice.0.precision-at-1", "slice.0.r-precision"];
    assert_eq!(found.values().keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
    assert_eq!(found.values()["slice.0.map-at-r"], found.scores[0].map_at_r);
    let values = slices(&embeddings, &labels, None, 3, &default).unwrap().values();
    for name in ["slice.0.precision-at-1", "slice.2.map-at-r", "slice.1.r-precision", "slice-correlation"] {
        assert!(values.contains_key(name), "{name} is missing in {values:?}");
    }
    assert_eq!(values["slice-disagreement"], slices(&embeddings, &labels, None, 3, &default).unwrap().disagreement);
}

#[test]
fn few_and_equal_images() {
    for distance in [Distance::Cosine, Distance::Euclidean] {
        for value in [0.0, 0.3] {
            let spot = Tensor::full([5, 6], value, (Kind::Float, Device::Cpu));
            let found =
                slices(&spot, &Tensor::zeros([5], (Kind::Int64, Device::Cpu)), None, 3, &config(distance)).unwrap();
            assert_eq!((found.correlation, found.disagreement), (0.0, 0.0));
            assert!(found.values().values().all(|value| value.is_finite()));
        }
        let two = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 5.0, 4.0, 1.0, -2.0, 0.5]).view([2, 4]);
        let found = slices(&two, &Tensor::from_slice(&[1_i64, 1]), None, 2, &config(distance)).unwrap();
        assert!((found.correlation - 1.0).abs() < 1e-12, "{found:?}");
        assert_eq!((found.disagreement, found.scores[0].map_at_r), (0.0, 1.0));
    }
}

#[test]
fn bad_input() {
    let (rows, labels) = clouds();
    let embeddings = Tensor::from_slice2(&rows);
    for count in [0, 5, 13, usize::MAX] {
        let error = slices(&embeddings, &labels, None, count, &EvaluationConfig::default());
        assert!(matches!(error, Err(EvalError::Slices { dimensions: 12, .. })), "{count}: {error:?}");
    }
    let error = slices(&embeddings.narrow(1, 0, 1).view([-1]), &labels, None, 2, &EvaluationConfig::default());
    assert!(matches!(error, Err(EvalError::NotAMatrix { .. })));
    let error = slices(&embeddings, &labels.narrow(0, 0, 2), None, 2, &EvaluationConfig::default());
    assert!(matches!(error, Err(EvalError::Labels { .. })));
    let error =
        slices(&embeddings, &Tensor::arange(60, (Kind::Int64, Device::Cpu)), None, 2, &EvaluationConfig::default());
    assert!(matches!(error, Err(EvalError::NoQueries { queries: 60 })));
}
