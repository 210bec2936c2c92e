//! What the slices report, and the alarm for a collapse.

use lossmith_sdk::prelude::*;

use super::PerSlice;
use super::slices::Slices;

/// Below this spread the features of a slice are one point for all purposes: their distances are below 0.15.
const POINT: f64 = 0.01;

/// How near to its value at a collapse a loss must be, as a share of that value.
const NEAR: f64 = 0.05;

/// Looks at the slices of a step.
pub(super) struct Monitor<'a> {
    pub(super) thresholds: &'a [f64],
    /// What a slice costs whose images are at one point, in thresholds; none where the reducer gives no mean of the
    /// triplets.
    pub(super) cost_of_a_point: Option<f64>,
    pub(super) slices: &'a Slices,
}

impl Monitor<'_> {
    /// Reports for each slice k `active.k`, the share of its triplets that are active, and `spread.k`, the variance of
    /// its unit vectors from 0 (all equal) to 1. In the last step of an epoch it warns of slices that have collapsed:
    /// all images are at one point, so each triplet costs just the threshold, which is seen in a mean only. That waits
    /// for the device, once an epoch.
    pub(super) fn watch(&self, found: &PerSlice, progress: &Progress) {
        let unit = self.slices.unit.detach();
        let spreads = (unit.square().sum(2).mean(1) - unit.mean(1).square().sum(1)).at_least(0.0);
        for slice in 0..self.slices.count {
            report::metric(&format!("active.{slice}"), &found.active.select(0, slice));
            report::metric(&format!("spread.{slice}"), &spreads.select(0, slice));
        }
        if progress.is_last_step_of_epoch() {
            let (losses, spreads) = (found.losses.to_doubles(), spreads.to_doubles());
            for (slice, threshold) in self.thresholds.iter().enumerate() {
                let (loss, spread) = (losses[slice], spreads[slice]);
                let near = |cost: f64| (loss - cost * threshold).abs() < NEAR * threshold;
                if spread < POINT && self.cost_of_a_point.is_some_and(near) {
                    report::warn(&format!(
                        "slice {slice} has collapsed: its features are one point (spread {spread:.1e}), and its loss \
                         of {loss:.4} is what that costs with the threshold {threshold}; a smaller threshold or \
                         learning rate, or triplets that are less hard (`mining`), may help"
                    ));
                }
            }
        }
    }
}
