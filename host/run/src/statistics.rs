//! Means over seeds, with confidence intervals.

/// A mean with the 95 % interval around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Half of the interval's width; none for a single value.
    pub half_width: Option<f64>,
}

/// The mean of some values, with its 95 % interval by Student's t; none if there are no values.
#[must_use]
pub fn estimate(values: &[f64]) -> Option<Estimate> {
    let mean = mean(values)?;
    let half_width = (values.len() > 1).then(|| {
        let (count, degrees) = (values.len() as f64, values.len() - 1);
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / degrees as f64;
        quantile(degrees) * (variance / count).sqrt()
    });
    Some(Estimate { mean, half_width })
}

/// The mean of some values; none if there are none.
#[must_use]
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The 0.975 quantile of Student's t for 1 to 30 degrees of freedom, from any table of it.
const QUANTILES: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// The 0.975 quantile of Student's t, to three digits behind the point.
fn quantile(degrees: usize) -> f64 {
    let tabled = degrees.checked_sub(1).and_then(|place| QUANTILES.get(place));
    tabled.copied().unwrap_or_else(|| {
        // The first terms of the expansion around the normal quantile (Abramowitz and Stegun 26.7.5).
        let (z, n) = (1.959_964_f64, degrees as f64);
        z + (z.powi(3) + z) / (4.0 * n) + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * n * n)
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn an_interval_by_hand() {
        // Mean 4, deviations -2, 0, 2: variance 8/2 = 4, standard error 2/sqrt(3), t of 2 degrees 4.303.
        let found = estimate(&[2.0, 4.0, 6.0]).unwrap();
        assert_eq!(found.mean, 4.0);
        assert!((found.half_width.unwrap() - 4.303 * 2.0 / 3.0_f64.sqrt()).abs() < 1e-12, "{found:?}");
        // Two values a and b: |a - b| / 2 times t of 1 degree.
        assert!((estimate(&[0.1, 0.3]).unwrap().half_width.unwrap() - 1.2706).abs() < 1e-12);
        assert_eq!(estimate(&[5.0, 5.0]).unwrap().half_width, Some(0.0));
    }

    #[test]
    fn one_value_has_no_interval_and_none_has_no_mean() {
        assert_eq!(estimate(&[3.0]), Some(Estimate { mean: 3.0, half_width: None }));
        assert_eq!(estimate(&[]), None);
    }

    #[test]
    fn quantiles_fall_to_that_of_the_normal_distribution() {
        // As printed in tables: 2.021 for 40 degrees of freedom, 2.000 for 60, 1.980 for 120.
        for (degrees, printed) in [(40, 2.021), (60, 2.000), (120, 1.980), (1_000_000, 1.960)] {
            assert!((quantile(degrees) - printed).abs() < 6e-4, "{degrees}: {}", quantile(degrees));
        }
        assert!((1..100).all(|degrees| quantile(degrees) > quantile(degrees + 1)));
    }
}
