//! What a slot keeps and what new code would make in its place, compared by shape and dtype.

use std::collections::BTreeMap;
use std::fmt;

use tch::{Kind, Tensor};

use crate::State;

/// The shape and the dtype of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorLayout {
    size: Vec<i64>,
    kind: Kind,
}

/// A tensor that is kept and that new code makes in another shape or dtype.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{place} keeps `{name}` of shape {kept}, and the new code makes it {wanted}")]
pub struct Misfit {
    /// The slot.
    pub place: String,
    /// The name of the tensor.
    pub name: String,
    /// As it is kept.
    pub kept: TensorLayout,
    /// As it would be made.
    pub wanted: TensorLayout,
}

impl Misfit {
    /// The first tensor of a slot that does not fit.
    pub(super) fn first(place: &str, kept: &State, fresh: &State) -> Option<Self> {
        let fresh = layouts(fresh);
        let differs = |(name, kept): (String, TensorLayout)| {
            let wanted = fresh.get(&name).filter(|wanted| **wanted != kept)?.clone();
            Some(Self { place: place.to_owned(), name, kept, wanted })
        };
        layouts(kept).into_iter().find_map(differs)
    }
}

impl fmt::Display for TensorLayout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} ({:?})", self.size, self.kind) // For people.
    }
}

fn layouts(state: &State) -> BTreeMap<String, TensorLayout> {
    let layout = |tensor: &Tensor| TensorLayout { size: tensor.size(), kind: tensor.kind() };
    let parameters = state.parameters.iter().map(|(name, parameter)| (name.clone(), layout(&parameter.tensor)));
    parameters.chain(state.buffers.iter().map(|(name, buffer)| (name.clone(), layout(buffer)))).collect()
}
