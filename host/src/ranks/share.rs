//! Which rows of a batch are whose.

use std::ops::Range;

/// A rank's part of each batch: rows side by side. The shares of a batch differ by one row at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    rank: usize,
    size: usize,
}

impl Share {
    /// All rows, of the only process.
    pub const WHOLE: Self = Self { rank: 0, size: 1 };

    /// That of one of `size` ranks.
    #[must_use]
    pub fn new(rank: usize, size: usize) -> Self {
        Self { rank, size: size.max(1) }
    }

    /// That of another rank.
    #[must_use]
    pub fn of(self, rank: usize) -> Self {
        Self { rank, ..self }
    }

    /// The rank.
    #[must_use]
    pub fn rank(self) -> usize {
        self.rank
    }

    /// How many ranks there are.
    #[must_use]
    pub fn size(self) -> usize {
        self.size
    }

    /// Its rows of a batch with so many.
    #[must_use]
    pub fn rows(self, count: usize) -> Range<usize> {
        self.rank * count / self.size..(self.rank + 1) * count / self.size
    }

    /// The rows of the largest share of a batch with so many.
    #[must_use]
    pub fn most(self, count: usize) -> usize {
        count.div_ceil(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_the_batch_in_order_and_as_equal_as_can_be() {
        for (count, size) in [(12, 4), (13, 4), (3, 3), (7, 1), (40, 3)] {
            let shares: Vec<_> = (0..size).map(|rank| Share::new(rank, size).rows(count)).collect();
            assert!(shares.iter().cloned().flatten().eq(0..count), "{shares:?}");
            let lengths = shares.iter().map(ExactSizeIterator::len);
            assert_eq!(lengths.clone().max(), Some(Share::new(0, size).most(count)));
            assert!(lengths.min() >= Some(count / size));
        }
    }
}
