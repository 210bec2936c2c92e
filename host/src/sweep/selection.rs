//! Selects the best value by the validation part.

use crate::run::Direction;
use crate::run::mean;

/// The place of the value with the best mean, the first of equals. Each entry has what a value reached with each of the
/// seeds that choose; one that is missing (its run failed) rules the value out, since the others would be compared with
/// more seeds. None if no value is left.
pub(super) fn best(values: &[Vec<Option<f64>>], direction: Direction) -> Option<usize> {
    let means = values.iter().enumerate().filter_map(|(place, of_seeds)| {
        let of_seeds = of_seeds.iter().copied().collect::<Option<Vec<f64>>>()?;
        mean(&of_seeds).map(|mean| (place, mean))
    });
    let better = |best: Option<(usize, f64)>, (place, mean)| {
        if direction.is_better(mean, best.map(|(_, best)| best)) { Some((place, mean)) } else { best }
    };
    means.fold(None, better).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::Direction;

    fn best(values: &[Vec<Option<f64>>]) -> Option<usize> {
        super::best(values, Direction::Higher)
    }

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
    fn of_a_ratio_the_lowest_mean_is_chosen() {
        let ratios = values(&[[0.6, 0.8], [0.4, 0.5], [0.3, 0.9], [f64::NAN, 0.1]]);
        assert_eq!(super::best(&ratios, Direction::Lower), Some(1));
    }

    #[test]
    fn what_is_not_complete_is_not_chosen() {
        assert_eq!(best(&[vec![Some(0.9), None], vec![Some(0.1), Some(0.1)]]), Some(1));
        assert_eq!(best(&[vec![None]]), None);
        assert_eq!(best(&values(&[[f64::NAN], [0.1]])), Some(1));
        assert_eq!(best(&[]), None);
    }
}
