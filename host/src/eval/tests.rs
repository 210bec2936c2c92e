//! Retrieval and mean distances against tables made by hand and against scikit-learn.

#![expect(clippy::unwrap_used, reason = "a test")]

use super::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use tch::{Device, Kind, Tensor};

fn config(distance: Distance, recall_at: &[usize]) -> EvaluationConfig {
    let recall_at = recall_at.iter().map(|k| NonZeroUsize::new(*k).unwrap()).collect();
    EvaluationConfig { distance, recall_at, ..EvaluationConfig::default() }
}

/// Points on a line.
pub(super) fn line(positions: &[f64]) -> Tensor {
    Tensor::from_slice(positions).unsqueeze(1)
}

/// Of distances, whose squares are kept a little too small (see [`points`]).
fn near(ours: Option<f64>, theirs: f64) {
    assert!(ours.is_some_and(|ours| (ours - theirs).abs() < 1e-10), "{ours:?} is not {theirs}");
}

pub(super) fn close(ours: f64, theirs: f64) {
    assert!((ours - theirs).abs() < 1e-12, "{ours} is not {theirs}");
}

#[test]
fn a_table_by_hand() {
    // Points at 0 A, 1 B, 3 A, 7 A, 15 B. Their neighbours, nearest first, with * for the relevant ones:
    //   0 A (R=2): B A* A* B   P@1 0  R@2 1  RP 1/2  MAP@R (1/2)(1/2) = 1/4
    //   1 B (R=1): A A A B*    P@1 0  R@2 0  RP 0    MAP@R 0
    //   3 A (R=2): B A* A* B   P@1 0  R@2 1  RP 1/2  MAP@R (1/2)(1/2) = 1/4
    //   7 A (R=2): A* B A* B   P@1 1  R@2 1  RP 1/2  MAP@R (1/2)(1/1) = 1/2
    //  15 B (R=1): A A B* A    P@1 0  R@2 0  RP 0    MAP@R 0
    let labels = Tensor::from_slice(&[0_i64, 1, 0, 0, 1]);
    let found = retrieval(&line(&[0.0, 1.0, 3.0, 7.0, 15.0]), &labels, &config(Distance::Euclidean, &[2, 4])).unwrap();
    let scores = |queries, p, r2, rp, map| Scores {
        queries,
        precision_at_1: p,
        recall_at: BTreeMap::from([(2, r2), (4, 1.0)]),
        r_precision: rp,
        map_at_r: map,
    };
    let (a, b) = (scores(3, 1.0 / 3.0, 1.0, 1.0 / 2.0, 1.0 / 3.0), scores(2, 0.0, 0.0, 0.0, 0.0));
    assert_eq!(found.per_class, BTreeMap::from([(0, a), (1, b)]));
    assert_eq!(found.overall, scores(5, 1.0 / 5.0, 3.0 / 5.0, 3.0 / 10.0, 1.0 / 5.0));
    assert_eq!(found.macro_average, scores(5, 1.0 / 6.0, 1.0 / 2.0, 1.0 / 4.0, 1.0 / 6.0));
    assert_eq!(found.excluded, 0);
}

#[test]
fn queries_are_searched_for_in_a_gallery() {
    // Gallery: 1 B, 3 A, 7 A. Of the queries 0 A, 7 A and 15 B the second is in the gallery and does not find itself.
    //   0 A (R=2): B A* A*   P@1 0  R@2 1  R@3 1  RP 1/2  MAP@R (1/2)(1/2) = 1/4
    //   7 A (R=1): A* B      P@1 1  R@2 1  R@3 1  RP 1    MAP@R 1
    //  15 B (R=1): A A B*    P@1 0  R@2 0  R@3 1  RP 0    MAP@R 0
    let embeddings = line(&[0.0, 1.0, 3.0, 7.0, 15.0, 0.5]);
    let labels = Tensor::from_slice(&[0_i64, 1, 0, 0, 1, 0]);
    let queries = [true, false, false, true, true, false];
    let gallery = [false, true, true, true, false, false];
    let roles = Roles { queries: &queries, gallery: &gallery };
    for block in [1, 2, 100] {
        let block = NonZeroUsize::new(block).unwrap();
        let config = EvaluationConfig { block, ..config(Distance::Euclidean, &[2, 3]) };
        let found = retrieval_in_gallery(&embeddings, &labels, roles, &config).unwrap();
        let scores = |queries, p, r2, rp, map| Scores {
            queries,
            precision_at_1: p,
            recall_at: BTreeMap::from([(2, r2), (3, 1.0)]),
            r_precision: rp,
            map_at_r: map,
        };
        assert_eq!(found.per_class[&0], scores(2, 0.5, 1.0, 0.75, 0.625));
        assert_eq!(found.per_class[&1], scores(1, 0.0, 0.0, 0.0, 0.0));
        close(found.overall.map_at_r, 1.25 / 3.0);
        assert_eq!((found.overall.queries, found.excluded), (3, 0));
    }
    // Whatever is in the gallery only by itself has nothing to find.
    let only = Roles { queries: &queries, gallery: &[false, false, false, true, false, false] };
    let found = retrieval_in_gallery(&embeddings, &labels, only, &config(Distance::Euclidean, &[1])).unwrap();
    assert_eq!((found.overall.queries, found.excluded), (1, 2));
    let all = Roles { queries: &[true; 6], gallery: &[true; 6] };
    let config = config(Distance::Cosine, &[1, 4]);
    let everything = retrieval_in_gallery(&embeddings, &labels, all, &config).unwrap();
    assert_eq!(everything, retrieval(&embeddings, &labels, &config).unwrap());
    let nobody = Roles { queries: &[true; 6], gallery: &[false; 6] };
    let error = retrieval_in_gallery(&embeddings, &labels, nobody, &config);
    assert!(matches!(error, Err(EvalError::NoQueries { queries: 6 })));
}

#[test]
fn what_can_be_measured_without_pairs_is_measured() {
    let found = evaluate(
        &line(&[0.0, 1.0, 3.0]),
        &Tensor::from_slice(&[0_i64, 1, 2]),
        None,
        &config(Distance::Euclidean, &[1]),
        0,
        &mut |_| (),
    );
    let values = found.unwrap().values(&[]);
    assert_eq!(values.keys().collect::<Vec<_>>(), ["inter-distance", "nmi"]);
}

#[test]
fn a_perfect_ranking_and_its_worst_permutation() {
    // Three A at 0, 1, 2 and two B at 100, 101: everything relevant comes first.
    let embeddings = line(&[0.0, 1.0, 2.0, 100.0, 101.0]);
    let labels = Tensor::from_slice(&[0_i64, 0, 0, 1, 1]);
    let found = retrieval(&embeddings, &labels, &config(Distance::Euclidean, &[1])).unwrap().overall;
    assert_eq!((found.precision_at_1, found.r_precision, found.map_at_r), (1.0, 1.0, 1.0));
    // One A between two B on each side: the B are nearer to it than the other A, and nobody finds anything at R.
    let labels = Tensor::from_slice(&[0_i64, 1, 0, 1]);
    let found = retrieval(&line(&[0.0, 1.0, 10.0, 11.0]), &labels, &config(Distance::Euclidean, &[1])).unwrap().overall;
    assert_eq!((found.precision_at_1, found.r_precision, found.map_at_r), (0.0, 0.0, 0.0));
}

#[test]
fn a_query_with_nothing_to_find_is_excluded_but_remains_a_reference() {
    // 0 A, 1 C, 3 A: each A finds the single C first.
    let labels = Tensor::from_slice(&[5_i64, 9, 5]);
    let found = retrieval(&line(&[0.0, 1.0, 3.0]), &labels, &config(Distance::Euclidean, &[1, 2])).unwrap();
    assert_eq!(found.excluded, 1);
    assert_eq!(found.per_class.keys().collect::<Vec<_>>(), [&5]);
    assert_eq!(found.overall.recall_at, BTreeMap::from([(1, 0.0), (2, 1.0)]));
    let error = retrieval(&line(&[0.0, 1.0]), &Tensor::from_slice(&[1_i64, 2]), &EvaluationConfig::default());
    assert!(matches!(error, Err(EvalError::NoQueries { queries: 2 })));
}

#[test]
fn separate_references() {
    // Query 0 A against references 1 B, 2 A, 3 A: R = 2, ranking B A* A*, MAP@R (1/2)(1/2). Query 9 D has no reference.
    let found = retrieval_against(
        &line(&[0.0, 9.0]),
        &Tensor::from_slice(&[0_i64, 3]),
        &line(&[1.0, 2.0, 3.0]),
        &Tensor::from_slice(&[1_i64, 0, 0]),
        &config(Distance::Euclidean, &[1, 2]),
    )
    .unwrap();
    assert_eq!((found.excluded, found.overall.queries), (1, 1));
    assert_eq!((found.overall.precision_at_1, found.overall.r_precision, found.overall.map_at_r), (0.0, 0.5, 0.25));
    let other = retrieval_against(
        &Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)),
        &Tensor::from_slice(&[0_i64, 0]),
        &Tensor::zeros([2, 4], (Kind::Float, Device::Cpu)),
        &Tensor::from_slice(&[0_i64, 0]),
        &EvaluationConfig::default(),
    );
    assert!(matches!(other, Err(EvalError::Dimensions { queries: 3, references: 4 })));
}

#[test]
fn equal_distances_are_ranked_by_position() {
    // All references lie on one spot, so each query's first neighbour is the first reference that is not itself.
    let spot = Tensor::from_slice(&[0.1_f32, 0.7, -0.3]).expand([4, 3], false);
    let labels = Tensor::from_slice(&[0_i64, 1, 1, 0]);
    for distance in [Distance::Cosine, Distance::Euclidean] {
        let found = retrieval(&spot, &labels, &config(distance, &[1, 3])).unwrap();
        // Rankings (positions): 0: 1 2 3; 1: 0 2 3; 2: 0 1 3; 3: 0 1 2. Only 3 finds its like (0) first.
        assert_eq!(found.overall.precision_at_1, 0.25);
        assert_eq!(found.overall.recall_at, BTreeMap::from([(1, 0.25), (3, 1.0)]));
    }
}

#[test]
fn bad_input() {
    let default = EvaluationConfig::default();
    let labels = Tensor::from_slice(&[0_i64, 0, 1]);
    let nan = Tensor::from_slice(&[1.0_f32, f32::NAN, 2.0, 3.0, f32::INFINITY, 1.0]).view([3, 2]);
    let error = retrieval(&nan, &labels, &default).unwrap_err();
    assert!(matches!(error, EvalError::NotFinite { rows: 2, total: 3 }), "{error}");
    let flat = Tensor::zeros([3], (Kind::Float, Device::Cpu));
    assert!(matches!(retrieval(&flat, &labels, &default), Err(EvalError::NotAMatrix { .. })));
    let integers = Tensor::zeros([3, 2], (Kind::Int64, Device::Cpu));
    assert!(matches!(retrieval(&integers, &labels, &default), Err(EvalError::NotAMatrix { .. })));
    let rows = Tensor::ones([3, 2], (Kind::Float, Device::Cpu));
    assert!(matches!(retrieval(&rows, &labels.narrow(0, 0, 2), &default), Err(EvalError::Labels { rows: 3, .. })));
    assert!(matches!(k_means(&rows, 4, Distance::Cosine, 0), Err(EvalError::Clusters { points: 3, clusters: 4 })));
}

/// The generator of the reference script.
struct Lcg(u64);

impl Lcg {
    fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64 * 2.0 - 1.0
    }
}

/// The inputs of the reference script.
pub(super) fn imbalanced() -> (Tensor, Tensor) {
    let mut generator = Lcg(1);
    let centres: Vec<Vec<f64>> = (0..8).map(|_| (0..8).map(|_| generator.draw()).collect()).collect();
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for ((label, centre), size) in (0_i64..).zip(&centres).zip([90, 50, 30, 15, 9, 4, 1, 1]) {
        for _ in 0..size {
            rows.extend(centre.iter().map(|at| 0.5 * at + generator.draw()));
            labels.push(label);
        }
    }
    (Tensor::from_slice(&rows).view([200, 8]), Tensor::from_slice(&labels))
}

fn same(ours: &Scores, theirs: &Value) {
    close(ours.precision_at_1, theirs["precision-at-1"].as_f64().unwrap());
    close(ours.r_precision, theirs["r-precision"].as_f64().unwrap());
    close(ours.map_at_r, theirs["map-at-r"].as_f64().unwrap());
    let recall = theirs["recall-at"].as_object().unwrap();
    assert_eq!(recall.len(), ours.recall_at.len());
    for (k, value) in recall {
        close(ours.recall_at[&k.parse().unwrap()], value.as_f64().unwrap());
    }
}

#[test]
fn as_scikit_learn() {
    let text = include_str!("../../../tests/data/eval/reference.json");
    let reference: Value = serde_json::from_str(text).unwrap();
    let (embeddings, labels) = imbalanced();
    let half = |tensor: &Tensor, first| tensor.slice(0, first, None, 2);
    for distance in [Distance::Cosine, Distance::Euclidean] {
        let config = config(distance, &[1, 2, 4, 8, 100]);
        let name = serde_json::to_value(distance).unwrap();
        let one = retrieval(&embeddings, &labels, &config).unwrap();
        let (queries, references) = (half(&embeddings, 0), half(&embeddings, 1));
        let two = retrieval_against(&queries, &half(&labels, 0), &references, &half(&labels, 1), &config).unwrap();
        for (ours, form) in [(one, "one-set"), (two, "two-sets")] {
            let theirs = &reference["cases"][name.as_str().unwrap()][form];
            same(&ours.overall, &theirs["overall"]);
            same(&ours.macro_average, &theirs["macro-average"]);
            assert_eq!(theirs["per-class"].as_object().unwrap().len(), ours.per_class.len());
            for (label, scores) in &ours.per_class {
                same(scores, &theirs["per-class"][label.to_string()]);
            }
            assert_eq!(theirs["excluded"].as_u64().unwrap(), ours.excluded as u64);
        }
    }
    let clusters: Vec<i64> = serde_json::from_value(reference["clusters"].clone()).unwrap();
    let labels = Vec::<i64>::try_from(labels).unwrap();
    close(normalised_mutual_information(&labels, &clusters), reference["nmi"].as_f64().unwrap());
}

#[test]
fn the_block_changes_nothing() {
    let (embeddings, labels) = imbalanced();
    // Duplicates, as data sets have them, are the hard case: their distances must be equal whatever the block.
    let embeddings = Tensor::cat(&[&embeddings, &embeddings.narrow(0, 40, 80)], 0).to_kind(Kind::Float);
    let labels = Tensor::cat(&[&labels, &labels.narrow(0, 90, 80)], 0);
    for distance in [Distance::Cosine, Distance::Euclidean] {
        let with = |block| {
            let block = NonZeroUsize::new(block).unwrap();
            retrieval(&embeddings, &labels, &EvaluationConfig { block, ..config(distance, &[1, 10]) }).unwrap()
        };
        assert_eq!(with(7), with(1000));
        assert_eq!(with(1), with(1000));
    }
}

#[test]
fn more_images_than_a_block_holds() {
    // 5000 points on a circle, class by class: the neighbours of all but the points at a border are of their class.
    let angles = Tensor::arange(5000, (Kind::Double, Device::Cpu)) * (std::f64::consts::TAU / 5000.0);
    let embeddings = Tensor::stack(&[angles.cos(), angles.sin()], 1).to_kind(Kind::Float);
    let labels = Tensor::arange(5000, (Kind::Int64, Device::Cpu)).divide_scalar_mode(500, "floor");
    let block = NonZeroUsize::new(100).unwrap();
    let found =
        retrieval(&embeddings, &labels, &EvaluationConfig { block, ..config(Distance::Cosine, &[1, 4]) }).unwrap();
    assert_eq!((found.overall.queries, found.excluded, found.per_class.len()), (5000, 0, 10));
    assert_eq!(found.overall.recall_at[&4], 1.0);
    assert!(found.overall.r_precision > 0.7 && found.overall.r_precision < 1.0, "{found:?}");
}

#[test]
fn neighbours_are_the_nearest_others_with_their_distances() {
    let found = |queries: &[usize], count| -> Vec<Vec<(usize, f64)>> {
        let found = neighbours(&line(&[0.0, 1.0, 3.0, 7.0, 3.0]), queries, None, count, Distance::Euclidean).unwrap();
        found.into_iter().map(|all| all.into_iter().map(|one| (one.row, one.distance.round())).collect()).collect()
    };
    let expected: Vec<Vec<(usize, f64)>> = vec![vec![(2, 4.0), (4, 4.0), (1, 6.0)], vec![(4, 0.0), (1, 2.0), (0, 3.0)]];
    assert_eq!(found(&[3, 2], 3), expected);
    assert_eq!(found(&[1, 9], 100)[0], [(0, 1.0), (2, 2.0), (4, 2.0), (3, 6.0)]);
    assert!(found(&[9], 2)[0].is_empty() && found(&[0], 0)[0].is_empty());
    let gallery = [true, false, false, true, true];
    let found = |query| {
        let points = line(&[0.0, 1.0, 3.0, 7.0, 3.0]);
        let found = neighbours(&points, &[query], Some(&gallery), 100, Distance::Euclidean).unwrap();
        found[0].iter().map(|one| one.row).collect::<Vec<_>>()
    };
    assert_eq!((found(1), found(3)), (vec![0, 4, 3], vec![4, 0]));
    // Directions 0, 90 and 45 degrees, of any length.
    let angles = Tensor::from_slice(&[5.0, 0.0, 0.0, 1.0, 0.1, 0.1]).view([3, 2]);
    let found = neighbours(&angles, &[0], None, 2, Distance::Cosine).unwrap();
    assert_eq!((found[0][0].row, found[0][1].row), (2, 1));
    assert!((found[0][0].distance - (2.0 - 2.0_f64.sqrt()).sqrt()).abs() < 1e-9);
    assert!((found[0][1].distance - 2.0_f64.sqrt()).abs() < 1e-9);
}

#[test]
fn distances_within_and_between_classes_by_hand() {
    // A at 0, 1 and 3, B at 10: within A 1, 3 and 2, between 10, 9 and 7.
    let embeddings = line(&[0.0, 1.0, 3.0, 10.0]);
    let euclidean = config(Distance::Euclidean, &[1]);
    let found = class_distances(&embeddings, &Tensor::from_slice(&[0_i64, 0, 0, 1]), &euclidean).unwrap();
    near(found.intra, 2.0);
    near(found.inter, 26.0 / 3.0);
    near(found.ratio(), 6.0 / 26.0);
    // Right angles: 3 A and 4 B on two axes. Scaled to length 1 they are the root of 2 apart, and nothing within a
    // class.
    let crossed = Tensor::from_slice(&[3.0, 0.0, 1.0, 0.0, 0.0, 4.0]).view([3, 2]);
    let found =
        class_distances(&crossed, &Tensor::from_slice(&[0_i64, 0, 1]), &config(Distance::Cosine, &[1])).unwrap();
    assert_eq!(found.intra, Some(0.0));
    near(found.inter, 2.0_f64.sqrt());
    assert_eq!(found.ratio(), Some(0.0));
}

#[test]
fn a_half_without_pairs_has_no_distance() {
    let embeddings = line(&[0.0, 1.0, 3.0]);
    let euclidean = config(Distance::Euclidean, &[1]);
    let found = |labels: [i64; 3]| class_distances(&embeddings, &Tensor::from_slice(&labels), &euclidean).unwrap();
    let one_class = found([4, 4, 4]);
    near(one_class.intra, 2.0);
    assert_eq!((one_class.inter, one_class.ratio()), (None, None));
    assert_eq!(one_class.values().into_keys().collect::<Vec<_>>(), ["intra-distance"]);
    let singles = found([1, 2, 3]);
    near(singles.inter, 2.0);
    assert_eq!((singles.intra, singles.ratio()), (None, None));
    // All on one spot: distances of zero, whose ratio is nothing.
    let spot = class_distances(&line(&[1.0; 3]), &Tensor::from_slice(&[0_i64, 0, 1]), &euclidean).unwrap();
    assert_eq!((spot.intra, spot.inter, spot.ratio()), (Some(0.0), Some(0.0), None));
}

#[test]
fn distances_are_those_of_a_loop_over_all_pairs_whatever_the_block() {
    let (embeddings, labels) = imbalanced();
    let rows: Vec<Vec<f64>> =
        Vec::<f64>::try_from(embeddings.flatten(0, 1)).unwrap().chunks(8).map(<[f64]>::to_vec).collect();
    let of = Vec::<i64>::try_from(&labels).unwrap();
    for distance in [Distance::Cosine, Distance::Euclidean] {
        let length = |row: &[f64]| match distance {
            Distance::Cosine => row.iter().map(|x| x * x).sum::<f64>().sqrt(),
            Distance::Euclidean => 1.0,
        };
        let (mut intra, mut inter) = ((0.0, 0), (0.0, 0));
        for (a, row) in rows.iter().enumerate() {
            for (b, other) in rows.iter().enumerate().skip(a + 1) {
                let (one, two) = (length(row), length(other));
                let apart = row.iter().zip(other).map(|(x, y)| (x / one - y / two).powi(2)).sum::<f64>().sqrt();
                let half = if of[a] == of[b] { &mut intra } else { &mut inter };
                *half = (half.0 + apart, half.1 + 1);
            }
        }
        let (intra, inter) = (intra.0 / f64::from(intra.1), inter.0 / f64::from(inter.1));
        for block in [7, 1000] {
            let config = EvaluationConfig { block: NonZeroUsize::new(block).unwrap(), ..config(distance, &[1]) };
            let values = class_distances(&embeddings, &labels, &config).unwrap().values();
            let near =
                |name: &str, slow: f64| assert!((values[name] - slow).abs() < 1e-10, "{name}: {values:?}, {slow}");
            near("intra-distance", intra);
            near("inter-distance", inter);
            near("distance-ratio", intra / inter);
        }
    }
}

#[test]
fn evaluate_names_its_values() {
    let (embeddings, labels) = imbalanced();
    let mut config = config(Distance::Cosine, &[1, 2]);
    let found = evaluate(&embeddings, &labels, None, &config, 0, &mut |_| ()).unwrap();
    let values = found.values(&[]);
    for name in ["precision-at-1", "recall-at-2", "r-precision", "map-at-r", "macro-map-at-r", "distance-ratio", "nmi"]
    {
        assert!(values.contains_key(name), "{name} is missing in {values:?}");
    }
    config.nmi = false;
    assert_eq!(evaluate(&embeddings, &labels, None, &config, 0, &mut |_| ()).unwrap().nmi, None);
}

#[test]
fn the_table_of_an_experiment_file() {
    let config: EvaluationConfig = toml::from_str("distance = \"euclidean\"\nrecall-at = [1, 10]").unwrap();
    assert_eq!((config.distance, config.recall_at.len(), config.nmi), (Distance::Euclidean, 2, true));
    assert!(toml::from_str::<EvaluationConfig>("block = 0").is_err());
    assert!(toml::from_str::<EvaluationConfig>("blocks = 10").is_err());
}
