//! Cross-validation over subjects: no subject is in two parts.

use std::collections::{BTreeMap, BTreeSet};

use lossmith_plugin::random_streams::{Purpose, generator};
use rand::seq::SliceRandom;

use super::draw::Draw;
use crate::data::config::DEFAULT_FOLDS;
use crate::data::files::Scan;
use crate::data::{DataConfig, DataError};

/// Image numbers of the training, the validation and the test part, each ascending.
pub(super) type Parts = [Vec<usize>; 3];

/// The parts when fold `data.fold` is tested. The folds are the data's own, or the subjects in an order that the seed
/// draws, each put into the fold that has the fewest images so far.
pub(super) fn subject_folds(config: &DataConfig, scan: &Scan, seed: u64) -> Result<Parts, DataError> {
    let names = scan.subjects.as_ref().ok_or(DataError::NoSubjects { kind: config.kind })?;
    let mut subjects: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (image, subject) in names.iter().enumerate() {
        subjects.entry(subject).or_default().push(image);
    }
    let folds = match &scan.own_folds {
        Some(folds) => own(config, folds)?,
        None => config.folds.unwrap_or(DEFAULT_FOLDS),
    };
    if config.fold >= folds {
        let expected = format!("below {folds}, the number of folds");
        return Err(DataError::Setting { key: "data.fold", found: config.fold.to_string(), expected });
    }
    let tested: BTreeSet<&str> = match &scan.own_folds {
        Some(folds) => {
            let here = names.iter().zip(folds).filter(|(_, fold)| **fold == config.fold);
            here.map(|(subject, _)| subject.as_str()).collect()
        }
        None if folds > subjects.len() => return Err(DataError::FewSubjects { folds, subjects: subjects.len() }),
        None => draw_fold(&subjects, folds, config.fold, seed),
    };
    if tested.is_empty() {
        return Err(DataError::EmptyFold { fold: config.fold });
    }
    let mut rest: Vec<&str> = subjects.keys().copied().filter(|subject| !tested.contains(subject)).collect();
    let due = (rest.len() as f64 * config.validation).round() as usize;
    let validation = if config.validation > 0.0 { due.max(1) } else { 0 };
    let left = rest.len().saturating_sub(validation);
    if left < 2 {
        let (subjects, test) = (subjects.len(), tested.len());
        return Err(DataError::FewTrainingSubjects { subjects, test, validation, left });
    }
    // Each fold draws by itself, so that a subject is not for validation in most folds.
    rest.shuffle(&mut generator(seed, Purpose::Split, Draw::ValidationSubjects as u64, config.fold as u64));
    let validation = rest.split_off(left).into_iter().collect();
    let images = |chosen: &BTreeSet<&str>| {
        let mut images: Vec<usize> =
            chosen.iter().filter_map(|subject| subjects.get(subject)).flatten().copied().collect();
        images.sort_unstable();
        images
    };
    Ok([images(&rest.into_iter().collect()), images(&validation), images(&tested)])
}

/// The number of the data's own folds.
fn own(config: &DataConfig, folds: &[usize]) -> Result<usize, DataError> {
    let found = folds.iter().max().map_or(0, |last| last + 1);
    match config.folds {
        Some(asked) if asked != found => Err(DataError::OwnFolds { asked, found }),
        _ => Ok(found),
    }
}

/// The subjects of fold `fold` of `folds`.
fn draw_fold<'a>(subjects: &BTreeMap<&'a str, Vec<usize>>, folds: usize, fold: usize, seed: u64) -> BTreeSet<&'a str> {
    let mut order: Vec<(&str, usize)> = subjects.iter().map(|(subject, images)| (*subject, images.len())).collect();
    order.shuffle(&mut generator(seed, Purpose::Split, Draw::SubjectFolds as u64, 0));
    let mut filled = vec![0_usize; folds];
    let mut drawn = BTreeSet::new();
    for (subject, images) in order {
        // The first of equal minima.
        let Some((number, count)) = filled.iter_mut().enumerate().min_by_key(|(_, count)| **count) else { break };
        *count += images;
        if number == fold {
            drawn.insert(subject);
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::data::fixtures::counted_scan;
    use crate::data::{DataKind, SplitKind};

    /// Subject `s` has `counts[s]` images; the subjects take turns, so that their images are not side by side.
    fn scan(counts: &[usize]) -> Scan {
        let most = counts.iter().max().copied().unwrap_or(0);
        let turn = |turn: usize| (0..counts.len()).filter(move |subject| counts[*subject] > turn);
        let subjects: Vec<String> = (0..most).flat_map(turn).map(|subject| format!("S{subject:03}")).collect();
        Scan {
            labels: (0..subjects.len() as i64).map(|image| image % 3).collect(),
            class_names: ["a", "b", "c"].map(str::to_owned).to_vec(),
            subjects: Some(subjects),
            ..counted_scan(&[], &[])
        }
    }

    fn config(folds: Option<usize>, fold: usize, validation: f64) -> DataConfig {
        let split = SplitKind::SubjectFolds;
        DataConfig { split, folds, fold, validation, ..DataConfig::new(DataKind::CkPlus) }
    }

    fn subjects<'a>(scan: &'a Scan, images: &[usize]) -> BTreeSet<&'a String> {
        images.iter().map(|image| scan.subjects.as_ref().unwrap().get(*image).unwrap()).collect()
    }

    fn message(config: &DataConfig, scan: &Scan) -> String {
        subject_folds(config, scan, 1).err().unwrap().to_string()
    }

    #[test]
    fn every_subject_is_tested_once_and_in_one_part_only() {
        let scan = scan(&[3, 9, 1, 4, 4, 7, 2, 5, 6, 3, 8, 2]);
        let mut tested = BTreeSet::new();
        let mut sizes = Vec::new();
        for fold in 0..4 {
            let parts = subject_folds(&config(Some(4), fold, 0.25), &scan, 1).unwrap();
            assert!(parts.iter().all(|part| part.is_sorted() && !part.is_empty()));
            assert_eq!(parts.iter().flatten().collect::<BTreeSet<_>>().len(), 54);
            let [train, validation, test] = parts.each_ref().map(|part| subjects(&scan, part));
            assert_eq!(train.len() + validation.len() + test.len(), 12);
            assert_eq!(validation.len(), ((12 - test.len()) as f64 * 0.25).round() as usize);
            assert!(train.is_disjoint(&validation) && train.is_disjoint(&test) && validation.is_disjoint(&test));
            assert!(test.iter().all(|subject| tested.insert((*subject).clone())));
            sizes.push(parts[2].len());
        }
        assert_eq!(tested.len(), 12);
        // No fold has more than the largest subject above another.
        assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 9, "{sizes:?}");
    }

    #[test]
    fn equal_subjects_make_equal_folds() {
        let scan = scan(&[2; 23]);
        let mut sizes: Vec<usize> =
            (0..10).map(|fold| subject_folds(&config(None, fold, 0.1), &scan, 3).unwrap()[2].len()).collect();
        assert_eq!(sizes, [6, 6, 6, 4, 4, 4, 4, 4, 4, 4]);
        sizes.dedup();
        assert_eq!(sizes, [6, 4]);
    }

    #[test]
    fn as_many_folds_as_subjects_leave_one_out() {
        let scan = scan(&[5, 1, 3, 2]);
        let tested: Vec<_> =
            (0..4).map(|fold| subject_folds(&config(Some(4), fold, 0.0), &scan, 1).unwrap()[2].clone()).collect();
        assert!(tested.iter().all(|images| subjects(&scan, images).len() == 1));
        assert_eq!(tested.concat().len(), 11);
    }

    #[test]
    fn the_seed_draws_folds_and_validation() {
        let scan = scan(&[2; 20]);
        let parts = |seed| subject_folds(&config(Some(5), 0, 0.2), &scan, seed).unwrap();
        assert_eq!(parts(1), parts(1));
        let ([_, first_validation, first], [_, second_validation, second]) = (parts(1), parts(2));
        assert!(first != second && first_validation != second_validation);
    }

    #[test]
    fn a_small_share_takes_one_subject_for_validation() {
        let scan = scan(&[2; 4]);
        let validation =
            |share| subjects(&scan, &subject_folds(&config(Some(4), 0, share), &scan, 1).unwrap()[1]).len();
        assert_eq!([validation(0.0), validation(0.01), validation(0.34)], [0, 1, 1]);
    }

    #[test]
    fn folds_of_the_data_are_used() {
        let mut scan = scan(&[2; 6]);
        scan.own_folds = Some([0, 1, 2, 0, 1, 2].repeat(2));
        let [train, validation, test] = subject_folds(&config(None, 2, 0.0), &scan, 1).unwrap();
        assert_eq!((train, validation.len(), test), (vec![0, 1, 3, 4, 6, 7, 9, 10], 0, vec![2, 5, 8, 11]));
        assert!(
            message(&config(None, 3, 0.0), &scan).contains("`data.fold` is 3, expected below 3, the number of folds")
        );
        let error = message(&config(Some(10), 0, 0.0), &scan);
        assert!(error.contains("`data.folds` is 10, but the data has 3 folds of its own"), "{error}");
        scan.own_folds = Some([0, 2, 2, 0, 2, 2].repeat(2));
        assert!(message(&config(None, 1, 0.0), &scan).contains("fold 1 has no image"));
    }

    #[test]
    fn what_cannot_be_divided_is_an_error() {
        let none = Scan { subjects: None, ..scan(&[2; 4]) };
        assert!(message(&config(Some(2), 0, 0.0), &none).contains("data of kind `ck-plus` names no subjects"));
        let few = scan(&[2; 4]);
        assert!(
            message(&config(None, 0, 0.0), &few).contains("10 folds need at least 10 subjects, but the data has 4")
        );
        assert!(message(&config(Some(4), 4, 0.0), &few).contains("`data.fold` is 4, expected below 4"));
        let error = message(&config(Some(2), 0, 0.1), &few);
        assert!(error.contains("of 4 subjects, 2 are for testing and 1 for validation, which leaves 1"), "{error}");
        assert!(subject_folds(&config(Some(2), 0, 0.0), &few, 1).is_ok());
    }
}
