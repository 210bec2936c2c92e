//! The split that has every class in all parts, and the data's own parts.

use std::cmp::Reverse;

use lossmith_plugin::random_streams::{Purpose, generator};
use rand::seq::SliceRandom;

use super::class_disjoint::divide_classes;
use super::draw::{Classes, Draw, classes, shuffle};
use crate::data::files::{OwnPart, Scan};
use crate::data::{DataConfig, DataError, SplitKind};

/// The training, the validation and the test part with every class in all of them. The data's own parts stay as they
/// are; those that it does not have are drawn from the training images. Unless the configuration asks for a closed set,
/// the data's own parts may have classes that are not trained on; then whole classes are drawn for validation, and none
/// for testing.
pub(super) fn closed_set(
    config: &DataConfig,
    scan: &Scan,
    seed: u64,
) -> Result<(Classes, Classes, Classes), DataError> {
    let own = |part| {
        let parts = scan.own_parts.iter().flatten().enumerate();
        classes(&scan.labels, parts.filter(|(_, own)| **own == part).map(|(image, _)| image))
    };
    let [train, validation, test] = match scan.own_parts {
        Some(_) => OwnPart::ALL.map(own),
        None => [classes(&scan.labels, 0..scan.labels.len()), Classes::new(), Classes::new()],
    };
    if train.is_empty() {
        return Err(DataError::NoTraining);
    }
    let untrained =
        [(OwnPart::Validation, &validation), (OwnPart::Test, &test)].into_iter().find_map(|(part, images)| {
            let label = images.keys().find(|label| !train.contains_key(label))?;
            let name = usize::try_from(*label).ok().and_then(|label| scan.class_names.get(label));
            Some(DataError::UntrainedClass { class: name.cloned().unwrap_or_default(), part: part.name() })
        });
    match untrained {
        None => {}
        Some(_) if config.split == SplitKind::Auto => {
            let (train, validation) = match validation.is_empty() {
                true => divide_classes(config, train, &test, seed)?,
                false => (train, validation),
            };
            return Ok((train, validation, test));
        }
        Some(error) => return Err(error),
    }
    let (train, test) = if test.is_empty() { divide(train, config.test, seed, Draw::Test) } else { (train, test) };
    let (train, validation) = if validation.is_empty() {
        divide(train, config.validation, seed, Draw::Validation)
    } else {
        (train, validation)
    };
    Ok((train, validation, test))
}

/// Moves `share` of all images into a second part. What rounding takes from one class it gives to a later one, so the
/// total is right for small classes too. A class keeps at least one image. If no two images of a class are moved so,
/// they are moved in pairs, as a part in which no image has another of its class cannot be searched.
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
    if moved == 0 || other.values().any(|images| images.len() > 1) {
        return (kept, other);
    }
    let pairs = pairs(&kept, &other, moved, seed, draw);
    if pairs.len() < 2 {
        return (kept, other);
    }
    for (label, images) in &mut other {
        kept.entry(*label).or_default().append(images);
    }
    let pair = |label| {
        let images = kept.get_mut(&label)?;
        Some((label, images.split_off(images.len().saturating_sub(2))))
    };
    let other = pairs.into_iter().filter_map(pair).collect();
    (kept, other)
}

/// The classes that give two images each when `moved` are to be moved, at least two classes. They keep as many, so the
/// largest come first.
fn pairs(kept: &Classes, other: &Classes, moved: usize, seed: u64, draw: Draw) -> Vec<i64> {
    let size = |label: &i64| [kept, other].into_iter().filter_map(|part| part.get(label)).map(Vec::len).sum::<usize>();
    let mut labels: Vec<i64> = kept.keys().copied().filter(|label| size(label) >= 4).collect();
    labels.shuffle(&mut generator(seed, Purpose::Split, draw as u64, u64::MAX));
    labels.sort_by_key(|label| Reverse(size(label)));
    labels.truncate((moved / 2).max(2));
    labels
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::data::fixtures::{assert_partition, config, count, counted_scan};
    use crate::data::split::split;

    #[test]
    fn closed_set_takes_its_shares_from_every_class() {
        let scan = counted_scan(&[100, 50, 10], &[]);
        let split = split(&config(|c| (c.test, c.validation) = (0.2, 0.25)), &scan, 1).unwrap();
        assert_partition(&scan, &split);
        assert_eq!(count(&scan, &split.test), [20, 10, 2]);
        assert_eq!(count(&scan, &split.validation), [20, 10, 2]);
    }

    #[test]
    fn small_classes_give_the_right_total_and_keep_an_image() {
        let scan = counted_scan(&[3; 40], &[]);
        let found = split(&config(|c| (c.test, c.validation) = (0.1, 0.0)), &scan, 1).unwrap();
        assert_partition(&scan, &found);
        assert_eq!((found.test.len(), found.validation.len()), (12, 0));
        let single = split(&config(|c| c.test = 0.9), &counted_scan(&[1; 5], &[]), 1).unwrap();
        assert_eq!((single.train.len(), single.test.len()), (5, 0));
    }

    #[test]
    fn small_data_is_divided_in_pairs_wherever_it_allows_that() {
        for (counts, expected) in [(vec![8; 10], [58, 6, 16]), (vec![4; 5], [12, 4, 4]), (vec![10; 2], [12, 4, 4])] {
            for seed in 0..20 {
                let scan = counted_scan(&counts, &[]);
                let found = split(&config(|_| ()), &scan, seed).unwrap();
                assert_partition(&scan, &found);
                let pairs = |part| count(&scan, part).into_iter().filter(|count| *count > 1).count();
                assert!(pairs(&found.test) > 1, "{counts:?}");
                assert!(pairs(&found.validation) > 1, "{counts:?}");
                assert!(count(&scan, &found.train).into_iter().all(|count| count > 0));
                let sizes = [found.train.len(), found.validation.len(), found.test.len()];
                assert_eq!(sizes, expected);
            }
        }
    }

    #[test]
    fn own_parts_without_a_common_class_are_used_as_they_are() {
        // Three classes to train, one to validate, two to test.
        let scan = counted_scan(&[4; 6], &[(OwnPart::Validation, 12), (OwnPart::Test, 16)]);
        let found = split(&config(|_| ()), &scan, 1).unwrap();
        let expected = [Vec::from_iter(0..12), Vec::from_iter(12..16), Vec::from_iter(16..24)];
        assert_eq!([found.train, found.validation, found.test], expected);
        let only_test = counted_scan(&[4; 6], &[(OwnPart::Test, 16)]);
        let found = split(&config(|_| ()), &only_test, 1).unwrap();
        assert_eq!(found.test, Vec::from_iter(16..24));
        let classes = |part| count(&only_test, part).into_iter().filter(|count| *count > 0).count();
        assert_eq!((classes(&found.train), classes(&found.validation)), (2, 2));
        let only_validation = counted_scan(&[4; 6], &[(OwnPart::Validation, 16)]);
        let found = split(&config(|_| ()), &only_validation, 1).unwrap();
        assert_eq!((found.train.len(), found.validation.len(), found.test.len()), (16, 8, 0));
    }

    #[test]
    fn the_own_test_part_is_used_as_it_is() {
        let scan = counted_scan(&[10, 10], &[(OwnPart::Test, 14)]);
        let split = split(&config(|c| c.validation = 0.5), &scan, 1).unwrap();
        assert_partition(&scan, &split);
        assert_eq!(split.test, Vec::from_iter(14..20));
        assert_eq!((split.train.len(), split.validation.len()), (7, 7));
    }

    #[test]
    fn own_parts_are_used_as_they_are_and_others_drawn() {
        let change = |c: &mut DataConfig| (c.validation, c.test) = (0.5, 0.25);
        let both = counted_scan(&[10, 10], &[(OwnPart::Validation, 12), (OwnPart::Test, 15)]);
        let found = split(&config(change), &both, 1).unwrap();
        let expected = [Vec::from_iter(0..12), Vec::from_iter(12..15), Vec::from_iter(15..20)];
        assert_eq!([found.train, found.validation, found.test], expected);
        let validation = counted_scan(&[10, 10], &[(OwnPart::Validation, 16)]);
        let found = split(&config(change), &validation, 1).unwrap();
        assert_partition(&validation, &found);
        assert_eq!((found.train.len(), found.validation, found.test.len()), (12, vec![16, 17, 18, 19], 4));
    }

    #[test]
    fn own_parts_must_train_what_they_test() {
        let message = |parts: &[(OwnPart, usize)], kind| {
            let scan = counted_scan(&[10, 10], parts);
            split(&config(|c| c.split = kind), &scan, 1).err().map(|error| error.to_string())
        };
        let error = message(&[(OwnPart::Test, 8)], SplitKind::ClosedSet).unwrap();
        assert!(error.contains("class `10` is in `test` but not in `train`"), "{error}");
        let error = message(&[(OwnPart::Validation, 8), (OwnPart::Train, 10), (OwnPart::Test, 12)], SplitKind::Auto);
        assert_eq!(error, None);
        let error = message(&[(OwnPart::Test, 0)], SplitKind::Auto).unwrap();
        assert!(error.contains("no image is for training"), "{error}");
    }
}
