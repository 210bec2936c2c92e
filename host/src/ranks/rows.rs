//! The rows of all ranks as one tensor, in the order of the batch.

use tch::{TchError, Tensor};

use super::error::RanksError;
use super::joined::Ranks;

impl Ranks {
    /// A tensor with a row for each of the `count` images of a batch, of which `own` has those of this rank's share.
    /// These stay what they are in the graph, so that their gradient is that of the whole; the rows of others are
    /// constants.
    ///
    /// # Errors
    /// A rank is lost.
    pub fn whole(&self, own: &Tensor, count: usize) -> Result<Tensor, RanksError> {
        let share = self.share();
        let most = share.most(count);
        let all = self.explained(self.group().gather(&padded(own, most)?))?;
        let rows = (0..share.size()).map(|rank| {
            let rows = share.of(rank).rows(count).len() as i64;
            if rank == share.rank() { Ok(own.shallow_clone()) } else { all.f_narrow(0, (rank * most) as i64, rows) }
        });
        Ok(Tensor::f_cat(&rows.collect::<Result<Vec<_>, TchError>>()?, 0)?)
    }

    /// A tensor with a row for each of `count` images, of which each rank has those of every so many-th batch, as many
    /// as there are ranks: rank 0 those of the first, and so on. There are at least as many batches as ranks.
    ///
    /// # Errors
    /// A rank is lost.
    pub fn in_turns(&self, own: &Tensor, count: usize, batch: usize) -> Result<Tensor, RanksError> {
        let (size, batches) = (self.share().size(), count.div_ceil(batch));
        let rows = |number: usize| batch.min(count - number * batch);
        // Nobody has more than rank 0.
        let most = (0..batches).step_by(size).map(rows).sum::<usize>();
        let all = self.explained(self.group().gather(&padded(own, most)?))?;
        let parts = (0..batches).map(|number| {
            let first = (number % size) * most + (number / size) * batch;
            all.f_narrow(0, first as i64, rows(number) as i64)
        });
        Ok(Tensor::f_cat(&parts.collect::<Result<Vec<_>, TchError>>()?, 0)?)
    }
}

/// Rows without a graph, so many: the last may be zeros.
fn padded(own: &Tensor, most: usize) -> Result<Tensor, TchError> {
    let own = own.f_detach()?;
    let missing = most as i64 - own.size().first().copied().unwrap_or_default();
    if missing == 0 {
        return Ok(own);
    }
    // From the last dimension to the first: before and behind.
    let mut padding = vec![0; 2 * own.dim()];
    if let Some(behind) = padding.last_mut() {
        *behind = missing;
    }
    own.f_constant_pad_nd(padding)
}
