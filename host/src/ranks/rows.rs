//! The rows of all ranks as one tensor, in the order of the batch.

use tch::{TchError, Tensor};

use super::error::RanksError;
use super::ranks::Ranks;

impl Ranks {
    /// A tensor with a row for each of the `count` images of a batch, of which `own` has those of this rank's share.
    /// These stay what they are in the graph, so that their gradient is that of the whole; the rows of others are
    /// constants.
    ///
    /// # Errors
    /// A rank is lost.
    pub fn whole(&self, own: &Tensor, count: usize) -> Result<Tensor, RanksError> {
        let (padded, most) = self.padded(own, count)?;
        let all = self.explained(self.group().gather(&padded))?;
        let share = self.share();
        let rows = (0..share.size()).map(|rank| {
            let rows = share.of(rank).rows(count).len() as i64;
            if rank == share.rank() { Ok(own.shallow_clone()) } else { all.f_narrow(0, rank as i64 * most, rows) }
        });
        Ok(Tensor::f_cat(&rows.collect::<Result<Vec<_>, TchError>>()?, 0)?)
    }

    /// Own rows without a graph, as many as the largest share has: the last may be zeros.
    fn padded(&self, own: &Tensor, count: usize) -> Result<(Tensor, i64), TchError> {
        let (own, most) = (own.f_detach()?, self.share().most(count) as i64);
        let missing = most - own.size().first().copied().unwrap_or_default();
        if missing == 0 {
            return Ok((own, most));
        }
        // From the last dimension to the first: before and behind.
        let mut padding = vec![0; 2 * own.dim()];
        if let Some(behind) = padding.last_mut() {
            *behind = missing;
        }
        Ok((own.f_constant_pad_nd(padding)?, most))
    }
}
