//! Dividing images into a training, a validation and a test part.

use super::class_disjoint::{divide_classes, draw_classes, share};
use super::closed_set::closed_set;
use super::draw::{Classes, Draw, classes, shuffle};
use super::subject_folds::subject_folds;
use crate::data::files::Scan;
use crate::data::{DataConfig, DataError, SplitKind};

/// Image numbers of each part, ascending. Every image is in at most one part, and without a limit in exactly one.
pub(in crate::data) struct Split {
    pub(in crate::data) train: Vec<usize>,
    pub(in crate::data) validation: Vec<usize>,
    pub(in crate::data) test: Vec<usize>,
}

/// Splits as the configuration says.
pub(in crate::data) fn split(config: &DataConfig, scan: &Scan, seed: u64) -> Result<Split, DataError> {
    let all = 0..scan.labels.len();
    let kind = match config.split {
        SplitKind::Auto if scan.own_folds.is_some() => SplitKind::SubjectFolds,
        _ => config.split(),
    };
    let (train, validation, test) = match kind {
        SplitKind::ClassDisjoint => {
            let classes = classes(&scan.labels, all);
            let count = share(config.test_classes, classes.len()).max(1);
            let (rest, test) = draw_classes(classes, count, seed, Draw::TestClasses);
            let (train, validation) = divide_classes(config, rest, &test, seed)?;
            (train, validation, test)
        }
        SplitKind::Official => {
            let mut train = classes(&scan.labels, all);
            let test = train.split_off(&scan.first_test_class.ok_or_else(|| no_official_split(config))?);
            let (train, validation) = divide_classes(config, train, &test, seed)?;
            (train, validation, test)
        }
        SplitKind::SubjectFolds => {
            let [train, validation, test] = subject_folds(config, scan, seed)?.map(|part| classes(&scan.labels, part));
            (train, validation, test)
        }
        SplitKind::Auto | SplitKind::ClosedSet => closed_set(config, scan, seed)?,
    };
    let finish = |part, pairs| limit(part, config.limit.unwrap_or(usize::MAX), pairs, seed);
    Ok(Split { train: finish(train, false), validation: finish(validation, true), test: finish(test, true) })
}

/// Why data has no official split of its classes.
fn no_official_split(config: &DataConfig) -> DataError {
    if config.kind.has_official_split() {
        DataError::RelabelledSplit
    } else {
        DataError::NoOfficialSplit { kind: config.kind }
    }
}

/// At most `most` images in ascending order, taken from one class after the other, round by round. If that would give
/// no class two images, `pairs` takes two each from as many classes as it may.
fn limit(mut classes: Classes, most: usize, pairs: bool, seed: u64) -> Vec<usize> {
    let total: usize = classes.values().map(Vec::len).sum();
    let paired = classes.values().filter(|images| images.len() > 1).count();
    if pairs && (4..=classes.len()).contains(&most) && paired > 1 {
        classes.retain(|_, images| images.len() > 1);
        let labels: Vec<i64> = classes.keys().copied().skip(most / 2).collect();
        labels.iter().for_each(|label| _ = classes.remove(label));
    }
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
    use super::*;
    use crate::data::DataKind;
    use crate::data::files::OwnPart;
    use crate::data::fixtures::{assert_partition, config, count, counted_scan};

    #[test]
    fn folds_of_the_data_are_the_split_if_nobody_says_another() {
        let subjects = Some((0..20).map(|image| format!("S{}", image % 4)).collect());
        let own_folds = Some((0..20).map(|image| image % 4).collect());
        let scan = Scan { subjects, own_folds, ..counted_scan(&[10, 10], &[]) };
        let parts = |kind| split(&config(|c| (c.split, c.fold) = (kind, 1)), &scan, 1).unwrap();
        let found = parts(SplitKind::Auto);
        assert_partition(&scan, &found);
        assert_eq!((found.test.clone(), found.validation.len()), (vec![1, 5, 9, 13, 17], 5));
        assert_eq!(parts(SplitKind::SubjectFolds).test, found.test);
        assert_ne!(parts(SplitKind::ClosedSet).test, found.test);
    }

    #[test]
    fn class_disjoint_parts_share_no_class() {
        let scan = counted_scan(&[5, 6, 7, 8, 9, 10, 11, 12, 13, 14], &[(OwnPart::Test, 40)]);
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
        let error =
            split(&config(|c| c.split = SplitKind::ClassDisjoint), &counted_scan(&[5; 4], &[]), 1).err().unwrap();
        let text = error.to_string();
        assert!(text.contains("of 4 classes, 2 are for testing and 2 for validation, which leaves 0"), "{text}");
    }

    #[test]
    fn official_validation_comes_from_the_training_classes() {
        let scan = Scan { first_test_class: Some(6), ..counted_scan(&[3; 10], &[]) };
        let official = |validation| {
            let change =
                |c: &mut DataConfig| (c.kind, c.split, c.validation) = (DataKind::Cub, SplitKind::Auto, validation);
            split(&config(change), &scan, 1)
        };
        let split_of = |scan: &Scan| split(&DataConfig::new(DataKind::Cub), scan, 1);
        let classes = |part: &[usize]| (0..10).filter(|class| part.contains(&(class * 3))).collect::<Vec<usize>>();
        let split = official(0.1).unwrap();
        assert_partition(&scan, &split);
        assert_eq!(classes(&split.test), [6, 7, 8, 9]);
        assert_eq!((split.validation.len(), split.train.len()), (2 * 3, 4 * 3));
        assert!(classes(&split.validation).iter().all(|class| *class < 6));
        let without = official(0.0).unwrap();
        assert_eq!((classes(&without.train), without.validation.len()), (vec![0, 1, 2, 3, 4, 5], 0));
        let mixed = Scan { first_test_class: None, ..counted_scan(&[3; 10], &[]) };
        let error = split_of(&mixed).err().unwrap().to_string();
        assert!(error.contains("`data.relabel` gives one label to classes for training and to classes"), "{error}");
        let error = official(0.9).err().unwrap().to_string();
        assert!(error.contains("of 10 classes, 4 are for testing and 5 for validation, which leaves 1"), "{error}");
    }

    #[test]
    fn the_seed_draws_images_and_classes() {
        let scan = counted_scan(&[30; 10], &[]);
        for kind in [SplitKind::ClosedSet, SplitKind::ClassDisjoint] {
            let parts = |seed| split(&config(|c| c.split = kind), &scan, seed).unwrap();
            assert_eq!(parts(1).test, parts(1).test);
            assert_eq!(parts(1).validation, parts(1).validation);
            assert_ne!(parts(1).test, parts(2).test);
        }
    }

    #[test]
    fn a_limit_is_shared_by_the_classes() {
        let scan = counted_scan(&[100, 3, 100], &[]);
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
