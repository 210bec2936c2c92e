//! Gradient caching: a step on a batch whose activations do not fit into memory at once.
//!
//! Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup": the network embeds the
//! batch part by part and keeps no graph; the objective sees the whole batch and leaves its gradient at the
//! embeddings; the network computes each part again, now with a graph, and the gradient of the part's embeddings goes
//! on from there. The sum over parts is the gradient of the whole batch, as long as the network treats images one by
//! one.

use tch::{TchError, Tensor};

use crate::model::Parts;

/// The results of a network for a whole batch, computed in parts without a graph: embeddings and maybe feature maps,
/// where gradients are left for [`second_pass`].
///
/// # Errors
/// The first error of `network`, or what libtorch says.
pub fn first_pass<E: From<TchError>>(
    parts: Parts,
    network: impl FnMut(usize) -> Result<(Tensor, Option<Tensor>), E>,
) -> Result<(Tensor, Option<Tensor>), E> {
    let (embeddings, map) = tch::no_grad(|| parts.join(network))?;
    let leaf = |mut tensor: Tensor| tensor.f_requires_grad_(true);
    Ok((leaf(embeddings)?, map.map(leaf).transpose()?))
}

/// Carries the gradients that were left at the results of [`first_pass`] into the parameters of the network, which
/// must compute each part as it did there. Does nothing where none was left.
///
/// # Errors
/// The first error of `network`, or what libtorch says.
pub fn second_pass<E: From<TchError>>(
    parts: Parts,
    (embeddings, map): (&Tensor, Option<&Tensor>),
    mut network: impl FnMut(usize) -> Result<(Tensor, Option<Tensor>), E>,
) -> Result<(), E> {
    let gradients = (left_at(embeddings)?, map.map(left_at).transpose()?.flatten());
    if let (None, None) = gradients {
        return Ok(());
    }
    for part in 0..parts.count() {
        let (embeddings, map) = network(part)?;
        let of_embeddings = product(parts, part, Some(&embeddings), gradients.0.as_ref())?;
        let of_map = product(parts, part, map.as_ref(), gradients.1.as_ref())?;
        let total = match (of_embeddings, of_map) {
            (Some(embeddings), Some(map)) => embeddings.f_add(&map)?,
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => continue,
        };
        total.f_backward()?;
    }
    Ok(())
}

/// Carries the gradients that were left at leaves into the graph of results of which they are copies.
///
/// # Errors
/// What libtorch says.
pub(super) fn carry_back(
    results: (&Tensor, Option<&Tensor>),
    leaves: (&Tensor, Option<&Tensor>),
) -> Result<(), TchError> {
    let whole = Parts::new(0, None);
    let gradients = (left_at(leaves.0)?, leaves.1.map(left_at).transpose()?.flatten());
    let of_embeddings = product(whole, 0, Some(results.0), gradients.0.as_ref())?;
    let of_map = product(whole, 0, results.1, gradients.1.as_ref())?;
    match (of_embeddings, of_map) {
        (Some(embeddings), Some(map)) => embeddings.f_add(&map)?.f_backward(),
        (Some(one), None) | (None, Some(one)) => one.f_backward(),
        (None, None) => Ok(()),
    }
}

fn left_at(leaf: &Tensor) -> Result<Option<Tensor>, TchError> {
    let gradient = leaf.f_grad()?;
    Ok(gradient.defined().then_some(gradient))
}

/// A scalar whose gradient with respect to the part's result is exactly the part's rows of the cached gradient.
fn product(
    parts: Parts,
    part: usize,
    result: Option<&Tensor>,
    gradient: Option<&Tensor>,
) -> Result<Option<Tensor>, TchError> {
    let (Some(result), Some(gradient)) = (result, gradient) else { return Ok(None) };
    Ok(Some(result.f_mul(&parts.rows(gradient, part)?)?.f_sum(None::<tch::Kind>)?))
}
