//! The choice of a value by the validation part.

use super::statistics::mean;

/// The place of the value with the best mean, the first of equals. Each entry has what a value reached with each of the seeds
/// that choose; one that is missing (its run failed) rules the value out, since the others would be compared with more seeds.
/// None if no value is left.
pub(super) fn best(values: &[Vec<Option<f64>>]) -> Option<usize> {
    let means = values.iter().enumerate().filter_map(|(place, of_seeds)| {
        let of_seeds = of_seeds.iter().copied().collect::<Option<Vec<f64>>>()?;
        mean(&of_seeds).filter(|mean| !mean.is_nan()).map(|mean| (place, mean))
    });
    means.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::best;

    fn values<const N: usize>(rows: &[[f64; N]]) -> Vec<Vec<Option<f64>>> {
        rows.iter().map(|row| row.map(Some).to_vec()).collect()
    }

    #[test]
    fn the_best_mean_is_chosen_not_the_best_seed() {
        // Means 0.3, 0.35 and 0.25; the best single run is of the last.
        assert_eq!(best(&values(&[[0.2, 0.4], [0.3, 0.4], [0.0, 0.5]])), Some(1));
        // Equal means: the first of them.
        assert_eq!(best(&values(&[[0.0, 0.25], [0.25, 0.25], [0.5, 0.0]])), Some(1));
    }

    #[test]
    fn what_is_not_complete_is_not_chosen() {
        assert_eq!(best(&[vec![Some(0.9), None], vec![Some(0.1), Some(0.1)]]), Some(1));
        assert_eq!(best(&[vec![None]]), None);
        assert_eq!(best(&values(&[[f64::NAN], [0.1]])), Some(1));
        assert_eq!(best(&[]), None);
    }
}
