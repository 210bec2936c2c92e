//! Random thresholds that still cover the range.

use lossmith_sdk::prelude::*;

use crate::range::Range;

choices! {
    /// How long drawn thresholds are kept.
    pub enum Draw {
        /// For the whole run.
        Run = "run",
        /// For an epoch.
        Epoch = "epoch",
        /// For a step.
        Step = "step",
    }
}

strategy! {
    /// One random threshold from each of K equal parts of the range, lowest first.
    ///
    /// `t_k = minimum + (k + u_k) (maximum - minimum) / K` with u_k uniform in [0, 1). What is drawn depends on the
    /// run's seed and is kept by the host, so a resumed run has the same thresholds.
    pub struct StratifiedRandom as "stratified-random" {
        /// Lower end of the range.
        minimum: f64 = 0.1, range above(0.0);
        /// Upper end of the range.
        maximum: f64 = 1.4, range above(0.0);
        /// How long drawn thresholds are kept.
        draw: Draw = Draw::Run;
    }
}

impl Schedule for StratifiedRandom {
    fn thresholds(&self, batch: &Batch, progress: &Progress) -> Result<Vec<f64>> {
        let range = Range::new(self.minimum, self.maximum)?;
        let count = batch.slice_count();
        let period = match self.draw {
            Draw::Run => 0,
            Draw::Epoch => progress.epoch(),
            Draw::Step => progress.step(),
        };
        // Places from 0 to 1, so that an edit of the range moves what was drawn; behind them the period that they are
        // for.
        let kept = state::buffer("places").map(|kept| kept.to_doubles());
        let kept = kept.filter(|kept| kept.len() as i64 == count + 1 && kept.last() == Some(&(period as f64)));
        let places = match kept {
            Some(kept) => kept,
            None => {
                let drawn = (random::uniform(&[count]) + Tensor::arange(0, count).to_float()) / count as f64;
                let drawn = Tensor::cat(&[&drawn, &Tensor::full(&[1], period as f64)], 0);
                state::set_buffer("places", &drawn);
                drawn.to_doubles()
            }
        };
        Ok(places.iter().take(count as usize).map(|place| range.at(*place)).collect())
    }
}
