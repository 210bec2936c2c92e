//! Clusters and their agreement with classes, by hand and against the plain algorithm.

#![expect(clippy::unwrap_used, reason = "a test")]

use tch::{Device, Kind};

use super::*;
use crate::eval::tests::{close, imbalanced, line};

#[test]
fn k_means_finds_separate_classes() {
    let (embeddings, labels) = imbalanced();
    let far = embeddings * 0.01 + labels.to_kind(Kind::Double).unsqueeze(1);
    let labels = Vec::<i64>::try_from(&labels).unwrap();
    let clusters = k_means(&far, 8, Distance::Euclidean, 3).unwrap();
    close(normalised_mutual_information(&labels, &clusters), 1.0);
    assert_eq!(clusters, k_means(&far, 8, Distance::Euclidean, 3).unwrap());
}

#[test]
fn k_means_ends_where_every_point_is_nearest_to_its_own_mean() {
    let (embeddings, _) = imbalanced();
    let clusters = k_means(&embeddings, 5, Distance::Euclidean, 1).unwrap();
    let of_points = Tensor::from_slice(&clusters);
    let means: Vec<Tensor> = (0..5)
        .map(|cluster| embeddings.index_select(0, &of_points.eq(cluster).nonzero().view([-1])).mean_dim(0, false, None))
        .collect();
    let distances = Tensor::cdist(&embeddings, &Tensor::stack(&means, 0), 2.0, None::<i64>);
    assert_eq!(Vec::<i64>::try_from(distances.argmin(1, false)).unwrap(), clusters);
}

#[test]
fn k_means_of_fewer_spots_than_clusters() {
    let spots = line(&[1.0, 1.0, 2.0, 2.0]);
    let clusters = k_means(&spots, 3, Distance::Euclidean, 0).unwrap();
    assert_eq!((clusters[0], clusters[2]), (clusters[1], clusters[3]));
    assert_ne!(clusters[0], clusters[2]);
}

/// Groups of three points around well separated spots, as many as there are clusters: several hundred first centres are
/// drawn at once, and none may fall into a group that has one.
#[test]
fn k_means_of_many_classes_starts_in_each_and_says_how_far_it_is() {
    let (groups, dimensions) = (600_i64, 8);
    let noise = (Tensor::arange(groups * 3 * dimensions, (Kind::Double, Device::Cpu)) * 0.7).sin() * 1e-4;
    let spots = (Tensor::arange(groups * dimensions, (Kind::Double, Device::Cpu)).square() * 0.31).sin() * 50.0;
    let spots = spots.view([groups, 1, dimensions]).expand([groups, 3, dimensions], false);
    let points = (noise.view([groups, 3, dimensions]) + spots).reshape([groups * 3, dimensions]);
    let labels: Vec<i64> = (0..groups * 3).map(|point| point / 3).collect();
    for seed in 0..3 {
        let mut told = Vec::new();
        let mut watch = |now: Measuring| told.push((now.what, now.done));
        let clusters = k_means_watched(&points, 600, Distance::Euclidean, seed, &mut watch).unwrap();
        close(normalised_mutual_information(&labels, &clusters), 1.0);
        assert!(told.iter().any(|(what, done)| *what == "NMI: first centres" && *done > 500));
        assert_eq!(told.last().unwrap().0, "NMI: moving the centres");
    }
}

/// What moves is compared with what has moved only; the plain algorithm compares everything each time.
#[test]
fn k_means_is_the_plain_algorithm() {
    let points = (Tensor::arange(400 * 6, (Kind::Double, Device::Cpu)).square() * 0.13).sin().view([400, 6]);
    for (clusters, seed) in [(2, 0), (7, 1), (40, 2), (150, 3)] {
        let found = k_means(&points, clusters, Distance::Euclidean, seed).unwrap();
        // From what was found on, nothing moves: the centres are the means, and every point is at its nearest.
        let of_points = Tensor::from_slice(&found);
        let mean = |cluster: i64| {
            let rows = of_points.eq(cluster).nonzero().view([-1]);
            points.index_select(0, &rows).mean_dim(0, false, None)
        };
        let used: std::collections::BTreeSet<i64> = found.iter().copied().collect();
        let means: Vec<Tensor> = used.iter().map(|cluster| mean(*cluster)).collect();
        let distances = Tensor::cdist(&points, &Tensor::stack(&means, 0), 2.0, None::<i64>);
        let nearest = Vec::<i64>::try_from(distances.argmin(1, false)).unwrap();
        let used: Vec<i64> = used.into_iter().collect();
        let nearest: Vec<i64> = nearest.into_iter().map(|at| used[at as usize]).collect();
        assert_eq!(nearest, found, "{clusters} clusters");
    }
}

#[test]
fn mutual_information_by_hand() {
    // Independent: each cluster has one of each class. The same up to names. One class, two clusters: nothing to say.
    close(normalised_mutual_information(&[0, 0, 1, 1], &[0, 1, 0, 1]), 0.0);
    close(normalised_mutual_information(&[0, 0, 1, 1], &[7, 7, 3, 3]), 1.0);
    close(normalised_mutual_information(&[0, 0, 0], &[0, 0, 0]), 1.0);
    close(normalised_mutual_information(&[0, 0], &[0, 1]), 0.0);
    // Labels 0 0 1 1, clusters 0 0 0 1: I = (1/2)ln(4/3) + (1/4)ln(2/3) + (1/4)ln 2; H = ln 2 and ln 4 - (3/4)ln 3.
    let mutual = 0.5 * (4.0_f64 / 3.0).ln() + 0.25 * (2.0_f64 / 3.0).ln() + 0.25 * 2.0_f64.ln();
    let entropies = 2.0_f64.ln() + 4.0_f64.ln() - 0.75 * 3.0_f64.ln();
    close(normalised_mutual_information(&[0, 0, 1, 1], &[0, 0, 0, 1]), 2.0 * mutual / entropies);
}
