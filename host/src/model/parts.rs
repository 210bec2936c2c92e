//! A batch in parts, which a network computes one after the other: then only one part's activations are in memory.

use std::num::NonZeroUsize;

use tch::{TchError, Tensor};

/// How a batch is divided.
///
/// Every part has rows from all over the batch: of `n` parts, part `p` has the rows `p`, `p + n`, `p + 2 n` and so on.
/// Images of a class stand side by side in a batch, so parts of neighbouring rows would have few classes each, and
/// batch normalisation would normalise these away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    images: usize,
    count: usize,
}

impl Parts {
    /// As few parts as have at most `most` images each; their sizes differ by 1 at most. One part without a limit.
    #[must_use]
    pub fn new(images: usize, most: Option<NonZeroUsize>) -> Self {
        let count = most.map_or(1, |most| images.div_ceil(most.get()).max(1));
        Self { images, count }
    }

    /// As many parts of a batch with other images.
    #[must_use]
    pub fn of(self, images: usize) -> Self {
        Self { images, ..self }
    }

    /// How many there are, at least 1.
    #[must_use]
    pub fn count(self) -> usize {
        self.count
    }

    /// Whether the batch is not divided.
    #[must_use]
    pub fn are_one(self) -> bool {
        self.count == 1
    }

    /// The rows of a part, of a tensor with a row for each image: a view.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn rows(self, tensor: &Tensor, part: usize) -> Result<Tensor, TchError> {
        if self.are_one() {
            return Ok(tensor.shallow_clone());
        }
        tensor.f_slice(0, Some(part as i64), None, self.count as i64)
    }

    /// What `each` gives for all parts in order, joined: embeddings with a row for each image of the part and, where
    /// there are any, feature maps.
    ///
    /// # Errors
    /// The first error of `each`, or what libtorch says.
    pub fn join<E: From<TchError>>(
        self,
        mut each: impl FnMut(usize) -> Result<(Tensor, Option<Tensor>), E>,
    ) -> Result<(Tensor, Option<Tensor>), E> {
        if self.are_one() {
            return each(0);
        }
        let (mut embeddings, mut maps) = (None, None);
        for part in 0..self.count {
            let (embedding, map) = each(part)?;
            self.put(&mut embeddings, &embedding, part)?;
            if let Some(map) = map {
                self.put(&mut maps, &map, part)?;
            }
        }
        // There is at least one part, so there are embeddings.
        let embeddings = embeddings.ok_or_else(|| TchError::Torch("a batch without parts".to_owned()))?;
        Ok((embeddings, maps))
    }

    /// Copies the rows of a part to their places; the first that comes makes room for all.
    fn put(self, whole: &mut Option<Tensor>, rows: &Tensor, part: usize) -> Result<(), TchError> {
        let whole = match whole {
            Some(whole) => whole,
            None => {
                let size: Vec<i64> =
                    std::iter::once(self.images as i64).chain(rows.size().into_iter().skip(1)).collect();
                whole.insert(Tensor::f_empty(size, (rows.f_kind()?, rows.device()))?)
            }
        };
        self.rows(whole, part)?.f_copy_(rows)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use tch::{Device, Kind};

    fn parts(images: usize, most: usize) -> Parts {
        Parts::new(images, NonZeroUsize::new(most))
    }

    #[test]
    fn parts_are_as_few_and_as_equal_as_can_be() {
        for (images, most, count) in [(8, 8, 1), (8, 100, 1), (9, 8, 2), (1024, 256, 4), (1025, 256, 5), (3, 1, 3)] {
            let parts = parts(images, most);
            assert_eq!(parts.count(), count, "{images} in {most}");
            let whole = Tensor::arange(images as i64, (Kind::Int64, Device::Cpu));
            let sizes: Vec<_> = (0..count).map(|part| parts.rows(&whole, part).unwrap().numel()).collect();
            assert_eq!(sizes.iter().sum::<usize>(), images);
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1 && sizes[0] <= most, "{sizes:?}");
        }
        assert!(Parts::new(8, None).are_one());
    }

    #[test]
    fn joined_parts_are_the_whole() {
        let whole = Tensor::arange(7 * 6, (Kind::Double, Device::Cpu)).reshape([7, 6]);
        let map = whole.reshape([7, 2, 3, 1]) * 2.0;
        for most in [1, 2, 3, 7] {
            let parts = parts(7, most);
            let (joined, maps) = parts
                .join(|part| Ok::<_, TchError>((parts.rows(&whole, part)?, Some(parts.rows(&map, part)?))))
                .unwrap();
            assert!(joined.equal(&whole) && maps.unwrap().equal(&map), "at most {most}");
            let (_, none) = parts.join(|part| Ok::<_, TchError>((parts.rows(&whole, part)?, None))).unwrap();
            assert!(none.is_none());
        }
    }

    #[test]
    fn images_that_stand_side_by_side_come_into_different_parts() {
        // Four images of each of three classes.
        let labels = Tensor::f_from_slice(&[0i64, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]).unwrap();
        let parts = parts(12, 3);
        for part in 0..4 {
            assert_eq!(Vec::<i64>::try_from(parts.rows(&labels, part).unwrap()).unwrap(), [0, 1, 2]);
        }
    }
}
