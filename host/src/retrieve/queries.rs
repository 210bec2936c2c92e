//! Draws the images that are the queries.

use std::collections::BTreeMap;

use lossmith_plugin::random_streams::{Purpose, generator};
use rand::seq::SliceRandom;

/// Draws `count` rows as queries, given the class of each row: of different classes as far as there are, then again one
/// of each class, and so on. Only rows with another row of their class to find are drawn; all of them if there are
/// fewer than `count`. `roles` says which rows are queries and which are in the gallery that they are searched for in;
/// without it all are both.
#[must_use]
pub fn queries(labels: &[i64], roles: Option<(&[bool], &[bool])>, count: usize, seed: u64) -> Vec<usize> {
    let mut random = generator(seed, Purpose::Queries, 0, 0);
    let is = |of: Option<&[bool]>, row: usize| of.is_none_or(|of| of.get(row).copied().unwrap_or(false));
    let (queries, gallery) = roles.unzip();
    let mut sizes = BTreeMap::<i64, usize>::new();
    for (row, label) in labels.iter().enumerate() {
        *sizes.entry(*label).or_default() += usize::from(is(gallery, row));
    }
    let mut rows = BTreeMap::<i64, Vec<usize>>::new();
    for (row, label) in labels.iter().enumerate() {
        let others = sizes.get(label).copied().unwrap_or(0) - usize::from(is(gallery, row));
        if is(queries, row) && others > 0 {
            rows.entry(*label).or_default().push(row);
        }
    }
    let mut classes: Vec<Vec<usize>> = rows.into_values().collect();
    classes.shuffle(&mut random);
    classes.iter_mut().for_each(|rows| rows.shuffle(&mut random));
    let rounds = classes.iter().map(Vec::len).max().unwrap_or(0);
    let drawn = (0..rounds).flat_map(|round| classes.iter().filter_map(move |rows| rows.get(round).copied()));
    drawn.take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::queries;
    use std::collections::BTreeSet;

    #[test]
    fn classes_come_before_images_and_single_images_never() {
        let labels = [5, 5, 5, 7, 8, 8, 5, 9, 9, 8];
        let classes = |rows: &[usize]| rows.iter().map(|row| labels[*row]).collect::<BTreeSet<i64>>();
        for seed in 0..20 {
            let three = queries(&labels, None, 3, seed);
            assert_eq!((three.len(), classes(&three)), (3, BTreeSet::from([5, 8, 9])));
            let all = queries(&labels, None, 100, seed);
            assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (9, 9));
            assert!(!all.contains(&3));
            assert_eq!(all[..3], three);
        }
        assert!((0..20).any(|seed| queries(&labels, None, 3, seed) != queries(&labels, None, 3, 99)));
        assert!(queries(&[1, 2, 3], None, 2, 0).is_empty());
    }

    #[test]
    fn only_queries_with_something_in_the_gallery_are_drawn() {
        let labels = [5, 5, 5, 7, 7, 8, 8];
        let query = [true, true, false, true, false, true, true];
        let gallery = [false, false, true, true, false, true, true];
        let found: BTreeSet<usize> = queries(&labels, Some((&query, &gallery)), 9, 0).into_iter().collect();
        assert_eq!(found, BTreeSet::from([0, 1, 5, 6]));
    }
}
