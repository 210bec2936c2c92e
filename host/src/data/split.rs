//! Dividing images into a training, a validation and a test part.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use super::source::Scan;
use super::{DataConfig, DataError, SplitKind};
use crate::random::{Purpose, generator};

/// Image numbers of each part, ascending. Every image is in at most one part, and without a limit in exactly one.
pub(super) struct Split {
    pub(super) train: Vec<usize>,
    pub(super) validation: Vec<usize>,
    pub(super) test: Vec<usize>,
}

/// What a draw is for: each has its own stream of random numbers.
#[derive(Clone, Copy)]
enum Draw {
    TestClasses = 0,
    Test = 1,
    Validation = 2,
    Limit = 3,
    ValidationClasses = 4,
}

/// The images of each class.
type Classes = BTreeMap<i64, Vec<usize>>;

/// Splits as the configuration says.
pub(super) fn split(config: &DataConfig, scan: &Scan, seed: u64) -> Result<Split, DataError> {
    let all = 0..scan.labels.len();
    let (train, validation, test) = match config.split() {
        SplitKind::ClassDisjoint => {
            let classes = classes(&scan.labels, all);
            let count = share(config.test_classes, classes.len()).max(1);
            let (rest, test) = draw_classes(classes, count, seed, Draw::TestClasses);
            let (train, validation) = divide_classes(config, rest, &test, seed)?;
            (train, validation, test)
        }
        SplitKind::Official => {
            let mut train = classes(&scan.labels, all);
            let test = train.split_off(&scan.first_test_class.ok_or(DataError::NoOfficialSplit { kind: config.kind })?);
            let (train, validation) = divide_classes(config, train, &test, seed)?;
            (train, validation, test)
        }
        SplitKind::Auto | SplitKind::ClosedSet => {
            let (train, test) = match scan.own_test {
                Some(first) => (0..first, classes(&scan.labels, first..all.end)),
                None => (all, Classes::new()),
            };
            let train = classes(&scan.labels, train);
            let (train, test) =
                if scan.own_test.is_some() { (train, test) } else { divide(train, config.test, seed, Draw::Test) };
            let (train, validation) = divide(train, config.validation, seed, Draw::Validation);
            (train, validation, test)
        }
    };
    let finish = |part| limit(part, config.limit.unwrap_or(usize::MAX), seed);
    Ok(Split { train: finish(train), validation: finish(validation), test: finish(test) })
}

fn classes(labels: &[i64], images: std::ops::Range<usize>) -> Classes {
    let mut classes = Classes::new();
    for (image, label) in labels.iter().enumerate().take(images.end).skip(images.start) {
        classes.entry(*label).or_default().push(image);
    }
    classes
}

/// Shuffles the images of each class; a class's order does not depend on the others.
fn shuffle(classes: &mut Classes, seed: u64, draw: Draw) {
    for (label, images) in classes {
        let mut random = generator(seed, Purpose::Split, draw as u64, label.unsigned_abs());
        images.shuffle(&mut random);
    }
}

/// Moves `share` of all images into a second part. What rounding takes from one class it gives to a later one, so the total is
/// right for small classes too. A class keeps at least one image.
fn divide(mut kept: Classes, share: f64, seed: u64, draw: Draw) -> (Classes, Classes) {
    shuffle(&mut kept, seed, draw);
    let (mut seen, mut moved) = (0, 0);
    let mut other = Classes::new();
    for (label, images) in &mut kept {
        seen += images.len();
        let due = ((seen as f64 * share).round() as usize).saturating_sub(moved);
        let count = due.min(images.len().saturating_sub(1));
        moved += count;
        if count > 0 {
            other.insert(*label, images.split_off(images.len() - count));
        }
    }
    (kept, other)
}

/// `share` of a number of classes, rounded to the nearest whole number.
fn share(share: f64, of: usize) -> usize {
    (of as f64 * share).round() as usize
}

/// Takes the classes for validation from those that are not for testing. One class would make no validation part: among
/// images of one class every neighbour is right.
fn divide_classes(
    config: &DataConfig,
    rest: Classes,
    test: &Classes,
    seed: u64,
) -> Result<(Classes, Classes), DataError> {
    let validation = if config.validation > 0.0 { share(config.validation, rest.len()).max(2) } else { 0 };
    let left = rest.len().saturating_sub(validation);
    if left < 2 {
        let classes = rest.len() + test.len();
        return Err(DataError::FewClasses { classes, test: test.len(), validation, left });
    }
    Ok(draw_classes(rest, validation, seed, Draw::ValidationClasses))
}

/// Moves `count` classes into a second part.
fn draw_classes(mut classes: Classes, count: usize, seed: u64, draw: Draw) -> (Classes, Classes) {
    let mut labels: Vec<i64> = classes.keys().copied().collect();
    labels.shuffle(&mut generator(seed, Purpose::Split, draw as u64, 0));
    let drawn = labels.split_off(labels.len().saturating_sub(count));
    let drawn = drawn.into_iter().filter_map(|label| classes.remove_entry(&label)).collect();
    (classes, drawn)
}

/// At most `most` images in ascending order, taken from one class after the other, round by round.
fn limit(mut classes: Classes, most: usize, seed: u64) -> Vec<usize> {
    let total: usize = classes.values().map(Vec::len).sum();
    let mut images: Vec<usize> = if total <= most {
        classes.into_values().flatten().collect()
    } else {
        shuffle(&mut classes, seed, Draw::Limit);
        let longest = classes.values().map(Vec::len).max().unwrap_or(0);
        let rounds = (0..longest).flat_map(|round| classes.values().filter_map(move |images| images.get(round)));
        rounds.copied().take(most).collect()
    };
    images.sort_unstable();
    images
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use std::collections::BTreeSet;

    use super::super::DataKind;
    use super::super::source::Source;
    use super::*;

    /// Images of which class `c` has `counts[c]`, class by class.
    fn scan(counts: &[usize], own_test: Option<usize>) -> Scan {
        let labels = (0..).zip(counts).flat_map(|(label, count)| vec![label; *count]).collect();
        let class_names = counts.iter().map(usize::to_string).collect();
        Scan {
            source: Source::Files(Vec::new()),
            labels,
            class_names,
            own_test,
            first_test_class: None,
            skipped: 0,
            digest: String::new(),
        }
    }

    fn config(change: impl FnOnce(&mut DataConfig)) -> DataConfig {
        let mut config = DataConfig::new(DataKind::Folder);
        change(&mut config);
        config
    }

    fn count(scan: &Scan, part: &[usize]) -> Vec<usize> {
        let labels = classes(&scan.labels, 0..scan.labels.len());
        labels.values().map(|images| images.iter().filter(|image| part.contains(image)).count()).collect()
    }

    /// The parts are disjoint and hold all images.
    fn assert_partition(scan: &Scan, split: &Split) {
        let parts = [&split.train, &split.validation, &split.test];
        assert!(parts.iter().all(|part| part.is_sorted()));
        let all: BTreeSet<usize> = parts.into_iter().flatten().copied().collect();
        assert_eq!(all.len(), scan.labels.len());
        assert_eq!(parts.iter().map(|part| part.len()).sum::<usize>(), all.len());
    }

    #[test]
    fn closed_set_takes_its_shares_from_every_class() {
        let scan = scan(&[100, 50, 10], None);
        let split = split(&config(|c| (c.test, c.validation) = (0.2, 0.25)), &scan, 1).unwrap();
        assert_partition(&scan, &split);
        assert_eq!(count(&scan, &split.test), [20, 10, 2]);
        assert_eq!(count(&scan, &split.validation), [20, 10, 2]);
    }

    #[test]
    fn small_classes_give_the_right_total_and_keep_an_image() {
        let scan = scan(&[3; 40], None);
        let split = split(&config(|c| (c.test, c.validation) = (0.1, 0.0)), &scan, 1).unwrap();
        assert_partition(&scan, &split);
        assert_eq!((split.test.len(), split.validation.len()), (12, 0));
        let single = super::split(&config(|c| c.test = 0.9), &self::scan(&[1; 5], None), 1).unwrap();
        assert_eq!((single.train.len(), single.test.len()), (5, 0));
    }

    #[test]
    fn the_own_test_part_is_used_as_it_is() {
        let mut scan = scan(&[10, 10], None);
        scan.own_test = Some(14);
        let split = split(&config(|c| c.validation = 0.5), &scan, 1).unwrap();
        assert_partition(&scan, &split);
        assert_eq!(split.test, Vec::from_iter(14..20));
        assert_eq!((split.train.len(), split.validation.len()), (7, 7));
    }

    #[test]
    fn class_disjoint_parts_share_no_class() {
        let scan = scan(&[5, 6, 7, 8, 9, 10, 11, 12, 13, 14], Some(40));
        let disjoint = |validation| config(|c| (c.split, c.validation) = (SplitKind::ClassDisjoint, validation));
        let split = split(&disjoint(0.1), &scan, 1).unwrap();
        assert_partition(&scan, &split);
        let parts = [&split.train, &split.validation, &split.test].map(|part| count(&scan, part));
        assert_eq!(parts.clone().map(|part| part.iter().filter(|count| **count > 0).count()), [3, 2, 5]);
        let whole = |class: usize| parts.iter().any(|part| part[class] == class + 5);
        assert!((0..10).all(whole), "{parts:?}");
        let without = super::split(&disjoint(0.0), &scan, 1).unwrap();
        assert_eq!((without.test, without.validation.len()), (split.test, 0));
    }

    #[test]
    fn too_few_classes_to_be_disjoint_is_an_error() {
        let error = split(&config(|c| c.split = SplitKind::ClassDisjoint), &scan(&[5; 4], None), 1).err().unwrap();
        let text = error.to_string();
        assert!(text.contains("of 4 classes, 2 are for testing and 2 for validation, which leaves 0"), "{text}");
    }

    #[test]
    fn official_validation_comes_from_the_training_classes() {
        let scan = Scan { first_test_class: Some(6), ..scan(&[3; 10], None) };
        let official = |validation| {
            let change =
                |c: &mut DataConfig| (c.kind, c.split, c.validation) = (DataKind::Cub, SplitKind::Auto, validation);
            split(&config(change), &scan, 1)
        };
        let classes = |part: &[usize]| (0..10).filter(|class| part.contains(&(class * 3))).collect::<Vec<usize>>();
        let split = official(0.1).unwrap();
        assert_partition(&scan, &split);
        assert_eq!(classes(&split.test), [6, 7, 8, 9]);
        assert_eq!((split.validation.len(), split.train.len()), (2 * 3, 4 * 3));
        assert!(classes(&split.validation).iter().all(|class| *class < 6));
        let without = official(0.0).unwrap();
        assert_eq!((classes(&without.train), without.validation.len()), (vec![0, 1, 2, 3, 4, 5], 0));
        let error = official(0.9).err().unwrap().to_string();
        assert!(error.contains("of 10 classes, 4 are for testing and 5 for validation, which leaves 1"), "{error}");
    }

    #[test]
    fn the_seed_draws_images_and_classes() {
        let scan = scan(&[30; 10], None);
        for kind in [SplitKind::ClosedSet, SplitKind::ClassDisjoint] {
            let parts = |seed| split(&config(|c| c.split = kind), &scan, seed).unwrap();
            assert_eq!(parts(1).test, parts(1).test);
            assert_eq!(parts(1).validation, parts(1).validation);
            assert_ne!(parts(1).test, parts(2).test);
        }
    }

    #[test]
    fn a_limit_is_shared_by_the_classes() {
        let scan = scan(&[100, 3, 100], None);
        let limited = |seed| split(&config(|c| (c.limit, c.test) = (Some(20), 0.0)), &scan, seed).unwrap().train;
        let train = limited(1);
        assert_eq!(train.len(), 20);
        let counts = count(&scan, &train);
        assert!(counts[0].abs_diff(counts[2]) <= 1 && counts[1] >= 2, "{counts:?}");
        assert_ne!(limited(2), train);
        let most = split(&config(|c| c.limit = Some(1000)), &scan, 1).unwrap();
        assert_partition(&scan, &most);
    }
}
