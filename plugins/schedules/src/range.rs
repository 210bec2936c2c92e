//! The range that thresholds are taken from.

use lossmith_sdk::prelude::*;

/// A range with a lower and an upper end.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    minimum: f64,
    maximum: f64,
}

impl Range {
    /// An error if the ends are the wrong way round.
    pub(crate) fn new(minimum: f64, maximum: f64) -> Result<Self> {
        if minimum > maximum {
            return Err(format!("`minimum` is {minimum} and must not be above `maximum`, which is {maximum}").into());
        }
        Ok(Self { minimum, maximum })
    }

    /// The place `share` (0 to 1) of the way from the lower end to the upper one.
    pub(crate) fn at(self, share: f64) -> f64 {
        self.minimum + share * (self.maximum - self.minimum)
    }

    /// As [`at`](Self::at), with equal ratios for equal steps.
    pub(crate) fn geometrically_at(self, share: f64) -> f64 {
        self.minimum * (self.maximum / self.minimum).powf(share)
    }

    /// `value`, moved into the range.
    pub(crate) fn clamp(self, value: f64) -> f64 {
        value.clamp(self.minimum, self.maximum)
    }
}

/// `count` places from 0 to 1 at equal steps; of one place, the middle.
pub(crate) fn places(count: i64) -> impl Iterator<Item = f64> {
    (0..count).map(move |place| if count == 1 { 0.5 } else { place as f64 / (count - 1) as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_at_equal_steps_and_one_is_in_the_middle() {
        assert_eq!(places(1).collect::<Vec<_>>(), [0.5]);
        assert_eq!(places(5).collect::<Vec<_>>(), [0.0, 0.25, 0.5, 0.75, 1.0]);
    }

    #[test]
    fn a_range_has_its_ends_and_equal_ratios() {
        let Ok(range) = Range::new(0.1, 1.6) else { unreachable!() };
        assert!((range.at(0.5) - 0.85).abs() < 1e-12 && (range.geometrically_at(0.25) - 0.2).abs() < 1e-12);
        assert_eq!((range.clamp(0.0), range.clamp(9.0)), (0.1, 1.6));
        assert!(Range::new(0.2, 0.1).is_err());
    }
}
