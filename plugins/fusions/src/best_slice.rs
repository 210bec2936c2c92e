//! The one slice that is best on the validation part.

use lossmith_sdk::prelude::*;

use crate::slices::normalized;

strategy! {
    /// The normalised slice with the best metric on the validation part; the first one before it was measured.
    ///
    /// It chooses whenever the validation part is measured, and keeps the choice (the buffer `slice`) for all else, so
    /// a checkpoint is tested with the slice that was best when it was written.
    pub struct BestSlice as "best-slice" {
        /// The metric of a slice that chooses, as the record names it behind `validation/slice.K.`; larger is better.
        metric: String = "map-at-r".to_owned();
    }
}

impl Fusion for BestSlice {
    fn fuse(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        let measured = |slice: i64| progress.metric(&format!("validation/slice.{slice}.{}", self.metric));
        let values: Option<Vec<f64>> = (0..batch.slice_count()).map(measured).collect();
        let best = match values {
            Some(values) => {
                let best = (0..).zip(values).reduce(|best, next| if next.1 > best.1 { next } else { best });
                let best = best.map_or(0, |(slice, _)| slice);
                state::set_buffer("slice", &Tensor::from_integers(&[best], &[1]));
                best
            }
            None => state::buffer("slice").map_or(0, |slice| slice.item() as i64),
        };
        Ok(normalized(batch).select(1, best))
    }
}
