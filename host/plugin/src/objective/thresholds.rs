//! The thresholds of a schedule, and the largest that has a meaning.

/// The thresholds of a schedule.
#[derive(Debug, Default)]
pub(super) struct Thresholds {
    /// One for each slice.
    pub(super) values: Vec<f64>,
    warned: bool,
}

impl Thresholds {
    /// A text, once, if a threshold is larger than all pairs of `classes` classes can meet.
    pub(super) fn warning(&mut self, classes: i64) -> Option<String> {
        let largest = largest_threshold(classes);
        let (slice, value) = self.values.iter().enumerate().find(|(_, value)| **value > largest)?;
        (!std::mem::replace(&mut self.warned, true)).then(|| {
            format!(
                "the threshold of slice {slice} is {value}, and {classes} classes cannot all be farther from each \
                 other than {largest:.4} = sqrt(2 x {classes} / {}) on unit slices: its loss never becomes 0",
                classes - 1
            )
        })
    }
}

/// The distance of C points of the unit sphere that are as far from each other as all can be, `sqrt(2C / (C - 1))`: the
/// vertices of a simplex, which need C - 1 dimensions. Two for one class, since no points are farther.
fn largest_threshold(classes: i64) -> f64 {
    let classes = classes as f64;
    if classes > 1.0 { (2.0 * classes / (classes - 1.0)).sqrt() } else { 2.0 }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn the_largest_threshold_is_the_side_of_a_simplex() {
        // Opposite points, a triangle and a tetrahedron in a unit sphere.
        for (classes, side) in [(2, 2.0), (3, 3_f64.sqrt()), (4, (8.0_f64 / 3.0).sqrt())] {
            assert!((largest_threshold(classes) - side).abs() < 1e-12, "{classes}");
        }
        assert!(largest_threshold(100_000) > 2_f64.sqrt() && largest_threshold(1) == 2.0);
    }

    #[test]
    fn a_warning_comes_once_and_names_the_slice() {
        let mut thresholds = Thresholds { values: vec![0.1, 1.5, 1.6], warned: false };
        assert_eq!(thresholds.warning(7), Some(thresholds_of(2, 1.6)));
        assert_eq!(thresholds.warning(7), None);
        let mut fine = Thresholds { values: vec![0.1, 1.5], warned: false };
        assert_eq!(fine.warning(7), None);
        assert!(fine.warning(10).unwrap().contains("slice 1 is 1.5"));
    }

    /// The text for seven classes.
    fn thresholds_of(slice: usize, value: f64) -> String {
        format!(
            "the threshold of slice {slice} is {value}, and 7 classes cannot all be farther from each other than \
             1.5275 = sqrt(2 x 7 / 6) on unit slices: its loss never becomes 0"
        )
    }
}
