use std::slice;

/// Over all dimensions: `x.sum(ALL)`.
pub const ALL: [i64; 0] = [];

/// Which dimensions a reduction is over: `1`, `[0, 2]` or [`ALL`]; the reduced dimensions go away, except with
/// [`keep`].
pub trait Dims {
    /// The dimensions; empty for all.
    fn dims(&self) -> &[i64];

    /// Whether reduced dimensions stay, with size 1.
    fn keep(&self) -> bool {
        false
    }
}

/// Dimensions that stay, with size 1, when they are reduced. See [`keep`].
#[derive(Clone, Copy, Debug)]
pub struct Keep<D>(D);

/// Keeps the reduced dimensions with size 1: `x.sum(keep(1))`.
pub fn keep<D: Dims>(dims: D) -> Keep<D> {
    Keep(dims)
}

impl Dims for i64 {
    fn dims(&self) -> &[i64] {
        slice::from_ref(self)
    }
}

impl<const N: usize> Dims for [i64; N] {
    fn dims(&self) -> &[i64] {
        self
    }
}

impl Dims for &[i64] {
    fn dims(&self) -> &[i64] {
        self
    }
}

impl<D: Dims> Dims for Keep<D> {
    fn dims(&self) -> &[i64] {
        self.0.dims()
    }

    fn keep(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(dims: impl Dims) -> (Vec<i64>, bool) {
        (dims.dims().to_vec(), dims.keep())
    }

    #[test]
    fn dims_are_one_some_or_all() {
        assert_eq!(seen(-1), (vec![-1], false));
        assert_eq!(seen([0, 2]), (vec![0, 2], false));
        assert_eq!(seen(ALL), (vec![], false));
        assert_eq!(seen(keep(1)), (vec![1], true));
        assert_eq!(seen(keep(ALL)), (vec![], true));
    }
}
