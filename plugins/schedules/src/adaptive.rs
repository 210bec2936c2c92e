//! Thresholds that follow how many triplets of a slice are active.

use lossmith_sdk::prelude::*;

use crate::range::{Range, places};

strategy! {
    /// Thresholds that move, epoch by epoch, until a wanted share of each slice's triplets is active. Our own.
    ///
    /// They begin at equal steps in the range. At the start of each later epoch a threshold is multiplied by
    /// `exp(rate (target - active))`, where `active` is the share of the slice's triplets above 0 in the epoch before,
    /// as the loss reports it (`active.K`), and moved into the range: a slice in which too many triplets are active
    /// gets a smaller threshold. Thresholds are kept by the host.
    pub struct Adaptive as "adaptive" {
        /// Lower end of the range.
        minimum: f64 = 0.1, range above(0.0);
        /// Upper end of the range.
        maximum: f64 = 1.4, range above(0.0);
        /// Wanted share of active triplets.
        target: f64 = 0.5, range 0.0..=1.0;
        /// How fast thresholds move; 0 leaves them where they begin.
        rate: f64 = 0.5, range 0.0..;
    }
}

impl Schedule for Adaptive {
    fn thresholds(&self, batch: &Batch, progress: &Progress) -> Result<Vec<f64>> {
        let range = Range::new(self.minimum, self.maximum)?;
        let (count, epoch) = (batch.slice_count(), progress.epoch());
        // Thresholds, and behind them the epoch that they are for.
        let kept = state::buffer("thresholds").map(|kept| kept.to_doubles());
        let kept = kept.filter(|kept| kept.len() as i64 == count + 1);
        let (mut thresholds, of) = match kept.as_deref() {
            Some([thresholds @ .., of]) => (thresholds.to_vec(), Some(*of)),
            _ => (places(count).map(|place| range.at(place)).collect(), None),
        };
        if of == Some(epoch as f64) {
            return Ok(thresholds);
        }
        if of.is_some() {
            for (slice, threshold) in thresholds.iter_mut().enumerate() {
                let active = progress.metric(&format!("loss/active.{slice}")).ok_or_else(|| {
                    format!(
                        "the objective's loss reported no `active.{slice}`: take one that says how many triplets are \
                         active, such as `multi-threshold`"
                    )
                })?;
                *threshold = range.clamp(*threshold * (self.rate * (self.target - active)).exp());
            }
        }
        thresholds.push(epoch as f64);
        let keep = Tensor::from_doubles(&thresholds, &[count + 1]);
        state::set_buffer("thresholds", &keep);
        // As later steps read them: rounded to the dtype of the host.
        Ok(keep.to_doubles().into_iter().take(count as usize).collect())
    }
}
