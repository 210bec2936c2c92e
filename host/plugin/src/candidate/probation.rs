//! Probation: the first steps of a revision, in which its loss is looked at.

use tch::{TchError, Tensor};

/// The first steps of a revision.
pub struct Probation {
    /// The first step after them.
    until: u64,
    /// What losses are compared to; `None` before the first of these steps.
    reference: Option<f64>,
}

/// Why a revision cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ProbationError {
    /// Its loss is not finite.
    #[error("the loss of step {step} is {value}")]
    NotFinite {
        /// The loss.
        value: f64,
        /// The step.
        step: u64,
    },
    /// Its loss is far above what it was.
    #[error("the loss of step {step} is {value}, and {bound} at most was expected")]
    Divergence {
        /// The loss.
        value: f64,
        /// The largest that would be taken.
        bound: f64,
        /// The step.
        step: u64,
    },
    /// The loss cannot be read.
    #[error(transparent)]
    Tensor(#[from] TchError),
}

impl Probation {
    /// Of a revision that takes over at a step, for so many steps.
    #[must_use]
    pub fn new(step: u64, steps: u64) -> Self {
        Self { until: step + steps, reference: None }
    }

    /// Of a revision that took over at a step, inside of its first steps: `reference` is what losses are compared to.
    #[must_use]
    pub fn restored(step: u64, steps: u64, reference: f64) -> Self {
        Self { until: step + steps, reference: Some(reference) }
    }

    /// What losses are compared to; `None` before the first of these steps.
    #[must_use]
    pub fn reference(&self) -> Option<f64> {
        self.reference
    }

    /// Whether these steps are over when so many of the run are complete.
    #[must_use]
    pub fn is_over(&self, step: u64) -> bool {
        step >= self.until
    }

    /// Looks at the loss of a step. It waits for the device. `before` is the loss before these steps; losses are
    /// compared to the larger of that and the first one.
    ///
    /// # Errors
    /// The loss is not finite, or more than `divergence` times what it is compared to.
    pub fn check(&mut self, loss: &Tensor, step: u64, before: f64, divergence: f64) -> Result<(), ProbationError> {
        let value = loss.f_double_value(&[])?;
        if !value.is_finite() {
            return Err(ProbationError::NotFinite { value, step });
        }
        let reference = *self.reference.get_or_insert(value.abs().max(before.abs()));
        let bound = divergence * reference;
        if value.abs() > bound { Err(ProbationError::Divergence { value, bound, step }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn losses_are_compared_to_the_first_one_or_the_one_before() {
        let loss = |value: f64| Tensor::from(value);
        let mut probation = Probation::new(10, 3);
        probation.check(&loss(2.0), 10, 5.0, 10.0).unwrap();
        assert_eq!(probation.reference(), Some(5.0));
        probation.check(&loss(50.0), 11, 5.0, 10.0).unwrap();
        let error = probation.check(&loss(-51.0), 12, 5.0, 10.0).unwrap_err();
        assert!(matches!(error, ProbationError::Divergence { bound: 50.0, step: 12, .. }), "{error}");
        let mut again = Probation::restored(10, 3, 5.0);
        assert!(again.check(&loss(50.5), 11, 0.0, 10.0).is_err());
        assert!(matches!(again.check(&loss(f64::NAN), 11, 0.0, 10.0), Err(ProbationError::NotFinite { .. })));
        assert!(!again.is_over(12) && again.is_over(13));
    }
}
