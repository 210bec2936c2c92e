//! Which points of a long curve are drawn: all of them where there are few, else those that make its outline.

use lossmith_run::Point;

/// The points between two steps, and one at each side so that the line leaves the picture. Of more than `most`, the
/// first, the lowest, the highest and the last of each of equal stretches: no peak is lost.
pub(crate) fn thin(points: &[Point], from: u64, to: u64, most: usize) -> Vec<Point> {
    let first = points.partition_point(|point| point.step < from).saturating_sub(1);
    let last = points.len().min(points.partition_point(|point| point.step <= to) + 1);
    let inside = points.get(first..last.max(first)).unwrap_or_default();
    let (Some(begin), Some(end)) = (inside.first(), inside.last()) else { return Vec::new() };
    if inside.len() <= most {
        return inside.to_vec();
    }
    let stretches = (most / 4).max(1) as u64;
    let width = (end.step - begin.step) / stretches + 1;
    let stretch = |point: &Point| (point.step - begin.step) / width;
    inside.chunk_by(|one, other| stretch(one) == stretch(other)).flat_map(outline).collect()
}

/// Four points of a stretch, in their order; fewer where they coincide.
fn outline(points: &[Point]) -> Vec<Point> {
    let finite = || points.iter().enumerate().filter(|(_, point)| point.value.is_finite());
    let by_value = |one: &(usize, &Point), other: &(usize, &Point)| one.1.value.total_cmp(&other.1.value);
    let ends = [Some(0), points.len().checked_sub(1)];
    let extremes = [finite().min_by(by_value), finite().max_by(by_value)].map(|found| found.map(|(at, _)| at));
    let mut places: Vec<usize> = ends.into_iter().chain(extremes).flatten().collect();
    places.sort_unstable();
    places.dedup();
    places.into_iter().filter_map(|at| points.get(at).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: impl IntoIterator<Item = f64>) -> Vec<Point> {
        (1..).zip(values).map(|(step, value)| Point { step, epoch: 0, value }).collect()
    }

    #[test]
    fn few_points_stay_and_the_neighbours_come_along() {
        let all = points([1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(thin(&all, 0, u64::MAX, 5), all);
        assert_eq!(thin(&all, 3, 3, 9), all[1..4]);
        assert_eq!(thin(&all, 9, 20, 9), all[4..]);
        assert_eq!(thin(&[], 0, 9, 9), []);
    }

    #[test]
    fn no_peak_is_lost() {
        let mut all = points((0..100_000).map(|_| 0.0));
        all[54_321].value = 7.0;
        all[54_322].value = -7.0;
        all[60_000].value = f64::NAN;
        let thinned = thin(&all, 0, u64::MAX, 400);
        assert!(thinned.len() <= 400, "{}", thinned.len());
        let has = |at: usize| thinned.contains(&all[at]);
        assert!(has(54_321) && has(54_322) && has(0) && has(99_999));
        assert!(thinned.windows(2).all(|pair| pair[0].step < pair[1].step));
    }
}
