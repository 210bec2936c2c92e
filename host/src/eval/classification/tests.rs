//! Classification against brute force in plain Rust.

#![expect(clippy::unwrap_used, reason = "a test")]

use lossmith_plugin::random_streams::{Purpose, generator, normal};
use tch::Device;

use super::*;
use rand_chacha::rand_core::Rng;

const BLOCKS: NonZeroUsize = NonZeroUsize::new(1000).unwrap();

fn config(neighbours: usize) -> ClassificationConfig {
    ClassificationConfig { neighbours: NonZeroUsize::new(neighbours).unwrap(), ..ClassificationConfig::default() }
}

/// Labelled points.
struct Set {
    rows: Vec<Vec<f64>>,
    labels: Vec<i64>,
}

impl Set {
    /// Clouds around a centre for each of the labels 10, 20, ..., so wide that they overlap.
    fn clouds(size: usize, classes: usize, stream: u64) -> Self {
        let mut centres = generator(1, Purpose::Sampler, 0, 0);
        let centres: Vec<Vec<f64>> = (0..classes).map(|_| (0..5).map(|_| normal(&mut centres)).collect()).collect();
        let mut random = generator(1, Purpose::Sampler, 1, stream);
        let chosen: Vec<usize> = (0..size).map(|at| at * at % (classes + 1) % classes).collect();
        let row = |class: &usize| centres[*class].iter().map(|at| at + normal(&mut random)).collect();
        Self {
            rows: chosen.iter().map(row).collect(),
            labels: chosen.iter().map(|class| 10 + 10 * *class as i64).collect(),
        }
    }

    /// Points with whole coordinates from -1 to 1, so that many distances are equal.
    fn grid(size: usize, stream: u64) -> Self {
        let mut random = generator(1, Purpose::Sampler, 2, stream);
        let rows = (0..size).map(|_| (0..3).map(|_| (random.next_u64() % 3) as f64 - 1.0).collect()).collect();
        let mut random = generator(1, Purpose::Sampler, 3, stream);
        Self { rows, labels: (0..size).map(|_| (random.next_u64() % 5) as i64 - 2).collect() }
    }

    /// The points as the distance takes them.
    fn scaled(&self, distance: Distance) -> Vec<Vec<f64>> {
        self.rows.iter().map(|row| if distance == Distance::Cosine { unit(row) } else { row.clone() }).collect()
    }

    fn tensors(&self) -> (Tensor, Tensor) {
        (Tensor::from_slice2(&self.rows), Tensor::from_slice(&self.labels))
    }
}

fn unit(row: &[f64]) -> Vec<f64> {
    let length = row.iter().map(|at| at * at).sum::<f64>().sqrt();
    row.iter().map(|at| if length > 0.0 { at / length } else { 0.0 }).collect()
}

/// A squared distance to single precision.
fn apart(one: &[f64], other: &[f64]) -> f32 {
    one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f64>() as f32
}

/// The label that a vote of the `count` nearest gives.
fn slow_vote(query: &[f64], rows: &[Vec<f64>], labels: &[i64], count: usize) -> i64 {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|a, b| apart(query, &rows[*a]).total_cmp(&apart(query, &rows[*b])).then(a.cmp(b)));
    let voters: Vec<i64> = order.iter().take(count).map(|at| labels[*at]).collect();
    let votes = |label: i64| voters.iter().filter(|voter| **voter == label).count();
    let most = voters.iter().map(|label| votes(*label)).max().unwrap();
    *voters.iter().find(|label| votes(**label) == most).unwrap()
}

/// The label whose mean is nearest, the least of several.
fn slow_mean(query: &[f64], rows: &[Vec<f64>], labels: &[i64], distance: Distance) -> i64 {
    let classes: BTreeSet<i64> = labels.iter().copied().collect();
    let mean = |class: i64| -> Vec<f64> {
        let members: Vec<_> = rows.iter().zip(labels).filter(|(_, label)| **label == class).collect();
        let mean = |at: usize| members.iter().map(|(row, _)| row[at]).sum::<f64>() / members.len() as f64;
        let mean: Vec<f64> = (0..query.len()).map(mean).collect();
        if distance == Distance::Cosine { unit(&mean) } else { mean }
    };
    let distances = classes.into_iter().map(|class| (apart(query, &mean(class)), class));
    distances.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).unwrap().1
}

/// The confusion of queries with what a rule finds for each of them.
fn confusion(queries: &Set, classes: &[i64], found: impl Fn(usize) -> i64) -> Vec<Vec<u64>> {
    let pairs: Vec<(i64, i64)> = queries.labels.iter().enumerate().map(|(at, label)| (*label, found(at))).collect();
    let count = |label: i64, found: i64| pairs.iter().filter(|pair| **pair == (label, found)).count() as u64;
    classes.iter().map(|label| classes.iter().map(|found| count(*label, *found)).collect()).collect()
}

#[test]
fn votes_and_means_are_those_of_brute_force() {
    let clouds = (Set::clouds(150, 6, 0), Set::clouds(70, 7, 1));
    let grid = (Set::grid(60, 0), Set::grid(80, 1));
    for (training, queries) in [clouds, grid] {
        let ((features, labels), (asked, asked_labels)) = (training.tensors(), queries.tensors());
        for distance in [Distance::Cosine, Distance::Euclidean] {
            let (rows, points) = (training.scaled(distance), queries.scaled(distance));
            for count in [1, 2, 3, 4, 10, 1000] {
                let config = config(count);
                let found = classify(&features, &labels, &asked, &asked_labels, &config, distance, BLOCKS).unwrap();
                let vote = &found[&Classifier::NearestNeighbours];
                let slow =
                    confusion(&queries, &vote.classes, |at| slow_vote(&points[at], &rows, &training.labels, count));
                assert_eq!(vote.confusion, slow, "{distance:?} {count}");
                let mean = &found[&Classifier::ClassMean];
                let slow =
                    confusion(&queries, &mean.classes, |at| slow_mean(&points[at], &rows, &training.labels, distance));
                assert_eq!(mean.confusion, slow, "{distance:?}");
            }
        }
    }
}

#[test]
fn the_block_and_a_second_call_change_nothing() {
    let ((features, labels), (queries, query_labels)) = (Set::clouds(90, 4, 0).tensors(), Set::grid(40, 1).tensors());
    let queries = Tensor::cat(&[&queries, &queries.narrow(1, 0, 2)], 1);
    let with = |block| {
        let block = NonZeroUsize::new(block).unwrap();
        classify(&features, &labels, &queries, &query_labels, &config(5), Distance::Cosine, block).unwrap()
    };
    assert_eq!(with(7), with(1000));
    assert_eq!(with(1000), with(1000));
    assert_eq!(with(1000).len(), 3);
}

#[test]
fn equal_votes_go_to_the_class_of_the_nearest() {
    // From 0: 1 B, 2 A, 3 A, 4 B, 5 C. One voter B; two: B A, the nearer B; three: A; four: two each, the nearest is a
    // B.
    let features = Tensor::from_slice(&[2.0, 3.0, 1.0, 4.0, 5.0]).unsqueeze(1);
    let labels = Tensor::from_slice(&[0_i64, 0, 1, 1, 2]);
    let query = Tensor::from_slice(&[0.0]).unsqueeze(1);
    for (count, winner) in [(1, 1_i64), (2, 1), (3, 0), (4, 1), (5, 1), (100, 1)] {
        let is = Tensor::from_slice(&[winner]);
        let found = classify(&features, &labels, &query, &is, &config(count), Distance::Euclidean, BLOCKS).unwrap();
        assert_eq!(found[&Classifier::NearestNeighbours].accuracy(), 1.0, "{count}");
    }
}

#[test]
fn separable_classes_are_all_found() {
    let (training, queries) = (Set::clouds(100, 5, 0), Set::clouds(60, 5, 1));
    let near = |set: &Set| {
        let (rows, labels) = set.tensors();
        // Each label has an axis to itself.
        let axis =
            Tensor::eye(5, (Kind::Double, Device::Cpu)).index_select(0, &(&labels / 10 - 1).to_kind(Kind::Int64));
        (axis * 100.0 + rows, labels)
    };
    let ((features, labels), (asked, asked_labels)) = (near(&training), near(&queries));
    for distance in [Distance::Cosine, Distance::Euclidean] {
        let found = classify(&features, &labels, &asked, &asked_labels, &config(3), distance, BLOCKS).unwrap();
        assert_eq!(found.len(), 3);
        for (classifier, result) in found {
            assert_eq!((result.accuracy(), result.mean_class_accuracy()), (1.0, 1.0), "{classifier} {distance:?}");
        }
    }
}

#[test]
fn only_the_classifiers_that_are_asked_for() {
    let (features, labels) = Set::grid(10, 0).tensors();
    let config = ClassificationConfig { classifiers: vec![Classifier::ClassMean], ..config(1) };
    let found = classify(&features, &labels, &features, &labels, &config, Distance::Cosine, BLOCKS).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), [&Classifier::ClassMean]);
}

#[test]
fn shares_by_hand() {
    // Class 3 has no queries, class 9 no features: 2 of 3, 1 of 2, 0 of 1.
    let confusion = vec![vec![2, 0, 1, 0], vec![0, 0, 0, 0], vec![1, 0, 1, 0], vec![0, 0, 1, 0]];
    let found = Classification { classes: vec![1, 3, 4, 9], confusion };
    assert_eq!(found.accuracy(), 3.0 / 6.0);
    assert_eq!(found.class_accuracy(), BTreeMap::from([(1, 2.0 / 3.0), (4, 0.5), (9, 0.0)]));
    assert!((found.mean_class_accuracy() - 7.0 / 18.0).abs() < 1e-15);
}

#[test]
fn a_class_without_features_is_never_right() {
    let features = Tensor::from_slice(&[0.0_f32, 1.0]).unsqueeze(1);
    let labels = Tensor::from_slice(&[0_i64, 2]);
    let queries = Tensor::from_slice(&[0.1_f32, 0.9, 0.5]).unsqueeze(1);
    let query_labels = Tensor::from_slice(&[0_i64, 1, 1]);
    let found = classify(&features, &labels, &queries, &query_labels, &config(1), Distance::Euclidean, BLOCKS).unwrap();
    for (classifier, result) in found {
        assert_eq!(result.classes, [0, 1, 2]);
        assert_eq!(result.class_accuracy(), BTreeMap::from([(0, 1.0), (1, 0.0)]), "{classifier}");
    }
}

#[test]
fn few_and_equal_features() {
    let ones = Tensor::ones([4, 3], (Kind::Float, Device::Cpu));
    let zeros = ones.zeros_like();
    let labels = Tensor::from_slice(&[1_i64, 0, 0, 0]);
    for distance in [Distance::Cosine, Distance::Euclidean] {
        for rows in [&ones, &zeros] {
            // One class; two features; all on one spot, where the frequent class wins but for the first of equal means.
            let at = |count: i64, labels: &Tensor| {
                let (rows, labels) = (rows.narrow(0, 0, count), labels.narrow(0, 0, count));
                let found = classify(&rows, &labels, &rows, &labels, &config(4), distance, BLOCKS).unwrap();
                found.values().map(Classification::accuracy).collect::<Vec<_>>()
            };
            assert_eq!(at(4, &labels.zeros_like()), [1.0; 3]);
            assert_eq!(at(2, &labels), [0.5; 3]);
            assert_eq!(at(4, &labels), [0.75; 3]);
        }
    }
}

#[test]
fn bad_input() {
    let (features, labels) = Set::grid(6, 0).tensors();
    let run = |features: &Tensor, labels: &Tensor, queries: &Tensor, query_labels: &Tensor| {
        classify(features, labels, queries, query_labels, &config(1), Distance::Cosine, BLOCKS)
    };
    let (none, no_labels) = (features.narrow(0, 0, 0), labels.narrow(0, 0, 0));
    let error = run(&none, &no_labels, &features, &labels);
    assert!(matches!(error, Err(EvalError::NothingToClassify { queries: 6, features: 0 })));
    let error = run(&features, &labels, &none, &no_labels);
    assert!(matches!(error, Err(EvalError::NothingToClassify { queries: 0, features: 6 })));
    let error = run(&features, &labels, &features.narrow(1, 0, 2), &labels);
    assert!(matches!(error, Err(EvalError::Dimensions { queries: 2, references: 3 })));
    assert!(matches!(run(&features, &no_labels, &features, &labels), Err(EvalError::Labels { rows: 6, .. })));
    assert!(matches!(run(&(&features / 0.0), &labels, &features, &labels), Err(EvalError::NotFinite { .. })));
}
