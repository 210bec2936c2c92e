//! The learning rate over a run.

use std::f64::consts::PI;

use crate::experiment::{LearningRateConfig, Schedule};

impl LearningRateConfig {
    /// The factor for a step of the run, counted from 0; `epochs` is the length of the run.
    ///
    /// The last step of the warm-up has the full rate, and the first step of the run never has 0.
    #[must_use]
    pub fn factor(&self, step: u64, steps_per_epoch: u64, epochs: u64) -> f64 {
        let warmup = (self.warmup_epochs * steps_per_epoch as f64).round();
        let done = step as f64;
        let rise = if done < warmup { (done + 1.0) / warmup } else { 1.0 };
        let course = match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Cosine => {
                let length = steps_per_epoch as f64 * epochs as f64 - warmup;
                let part = if length > 0.0 { ((done - warmup) / length).clamp(0.0, 1.0) } else { 0.0 };
                self.minimum + (1.0 - self.minimum) * (1.0 + (PI * part).cos()) / 2.0
            }
            Schedule::Step => {
                let drops = step / steps_per_epoch.max(1) / self.step_epochs.max(1);
                self.gamma.powf(drops as f64).max(self.minimum)
            }
        };
        rise * course
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn parse(text: &str) -> LearningRateConfig {
        toml::from_str(text).unwrap()
    }

    /// Ten epochs of ten steps.
    fn factors(text: &str) -> Vec<f64> {
        (0..=100).map(|step| parse(text).factor(step, 10, 10)).collect()
    }

    #[test]
    fn the_default_is_constant() {
        assert!(factors("").iter().all(|&factor| factor == 1.0));
    }

    #[test]
    fn warm_up_rises_in_equal_steps_to_one() {
        let factors = factors("warmup-epochs = 0.5");
        assert_eq!(factors[..6], [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]);
    }

    #[test]
    fn cosine_starts_after_the_warm_up_and_ends_at_the_minimum() {
        let factors = factors("schedule = \"cosine\"\nwarmup-epochs = 2\nminimum = 0.1");
        assert_eq!(factors[19], 1.0);
        assert_eq!(factors[20], 1.0);
        assert!((factors[60] - 0.55).abs() < 1e-12);
        assert!((factors[40] - (0.1 + 0.9 * (1.0 + 0.5f64.sqrt()) / 2.0)).abs() < 1e-12);
        assert!((factors[100] - 0.1).abs() < 1e-12);
        assert!(factors[20..].windows(2).all(|pair| pair[0] > pair[1]));
    }

    #[test]
    fn cosine_stays_at_its_end() {
        let config = parse("schedule = \"cosine\"\nminimum = 0.25");
        assert_eq!(config.factor(1000, 10, 10), 0.25);
    }

    #[test]
    fn steps_drop_at_their_epochs_down_to_the_minimum() {
        let factors = factors("schedule = \"step\"\nstep-epochs = 3\ngamma = 0.5\nminimum = 0.2");
        for (step, expected) in [(0, 1.0), (29, 1.0), (30, 0.5), (59, 0.5), (60, 0.25), (90, 0.2)] {
            assert_eq!(factors[step], expected, "{step}");
        }
    }

    #[test]
    fn a_run_of_nothing_but_warm_up_has_no_infinity() {
        let factors = factors("schedule = \"cosine\"\nwarmup-epochs = 10");
        assert!(factors.iter().all(|factor| factor.is_finite()));
    }
}
