//! How unequal the two halves of a transfer are: pairs of one class (intra) and pairs of two classes (inter).
//!
//! The thesis observes that a transfer carries far more knowledge between classes than within them. What is measured
//! here is our reading of that: how many pairs each half has, its share of the loss, and its share of the gradient that
//! reaches the student's embeddings. Shares are those of the intra half; the inter half has the rest. The pairs of an
//! image with itself count in neither.

use tch::{Kind, TchError, Tensor};

use crate::context::PairLosses;
use crate::report::Metric;

/// Measurements of imbalance, by name.
pub(super) type Imbalance = Vec<(&'static str, Metric)>;

/// Measures a batch. `balanced` is what a balance made of the pair losses, if it computed with their values alone.
/// Scalars on the device; nothing waits for it.
///
/// - `intra-pairs`, `inter-pairs`: numbers of ordered pairs;
/// - `intra-loss-share`: intra / (intra + inter) of the summed pair losses before a balance. It can leave [0, 1] where
///   pair losses can be negative, as those of a divergence;
/// - `intra-gradient-share`: |g_intra| / (|g_intra| + |g_inter|), Euclidean norms of the gradients of both sums with
///   respect to the embeddings (B x D), before a balance;
/// - `intra-weight`: mean derivative of the balanced loss by an intra pair loss, divided by that by an inter pair loss;
/// - `balanced-intra-loss-share`, `balanced-intra-gradient-share`: the shares with every pair loss times that
///   derivative.
///
/// A share of nothing is 0, as is the weight without intra pairs.
pub(super) fn measure(
    pairs: &PairLosses,
    balanced: Option<&Tensor>,
    embeddings: &Tensor,
    labels: &Tensor,
) -> Result<Imbalance, TchError> {
    let halves = Halves::of(labels, pairs.values.kind())?;
    let (loss, gradient) = halves.shares(&pairs.values, embeddings)?;
    let mut metrics =
        vec![("intra-pairs", sum(&halves.intra)?), ("inter-pairs", sum(&halves.inter)?), ("intra-loss-share", loss)];
    metrics.extend(gradient.map(|share| ("intra-gradient-share", share)));
    if let Some(balanced) = balanced
        && let Some(weights) = derivative(balanced, &pairs.values)?
    {
        let mean = |half: &Tensor| ratio(&sum(&weights.f_mul(half)?)?, &sum(half)?);
        let (loss, gradient) = halves.shares(&pairs.values.f_mul(&weights)?, embeddings)?;
        metrics.push(("intra-weight", ratio(&mean(&halves.intra)?, &mean(&halves.inter)?)?));
        metrics.push(("balanced-intra-loss-share", loss));
        metrics.extend(gradient.map(|share| ("balanced-intra-gradient-share", share)));
    }
    metrics.into_iter().map(|(name, value)| Ok((name, Metric::Tensor(value.f_detach()?)))).collect()
}

/// B x B masks of ordered pairs, as floats.
struct Halves {
    intra: Tensor,
    inter: Tensor,
}

impl Halves {
    fn of(labels: &Tensor, kind: Kind) -> Result<Self, TchError> {
        let inter = labels.f_unsqueeze(1)?.f_ne_tensor(&labels.f_unsqueeze(0)?)?.f_to_kind(kind)?;
        let itself = Tensor::f_eye(labels.numel() as i64, (kind, labels.device()))?;
        Ok(Self { intra: inter.f_add(&itself)?.f_rsub_scalar(1.0)?, inter })
    }

    /// The intra half's share of the sum of `values`, and of the gradients' norms if both halves reach the embeddings.
    fn shares(&self, values: &Tensor, embeddings: &Tensor) -> Result<(Tensor, Option<Tensor>), TchError> {
        let (intra, inter) = (sum(&values.f_mul(&self.intra)?)?, sum(&values.f_mul(&self.inter)?)?);
        let share = |intra: &Tensor, inter: &Tensor| ratio(intra, &intra.f_add(inter)?);
        let gradient = match (derivative(&intra, embeddings)?, derivative(&inter, embeddings)?) {
            (Some(intra), Some(inter)) => Some(share(&intra.f_norm()?, &inter.f_norm()?)?),
            _ => None,
        };
        Ok((share(&intra, &inter)?, gradient))
    }
}

/// The derivative of a scalar, whose graph stays; none if it does not depend on `of`.
fn derivative(scalar: &Tensor, of: &Tensor) -> Result<Option<Tensor>, TchError> {
    // libtorch's engine crashes on a constant.
    if !scalar.requires_grad() || !of.requires_grad() {
        return Ok(None);
    }
    let gradients = Tensor::f_run_backward(&[scalar], &[of], true, false)?;
    Ok(gradients.into_iter().next().filter(Tensor::defined))
}

fn sum(tensor: &Tensor) -> Result<Tensor, TchError> {
    tensor.f_sum(None::<Kind>)
}

/// `a / b`, and `a` where `b` is 0.
fn ratio(a: &Tensor, b: &Tensor) -> Result<Tensor, TchError> {
    a.f_div(&b.f_add(&b.f_eq(0.0)?)?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use std::collections::BTreeMap;

    use super::*;

    fn measured(
        pairs: &PairLosses,
        balanced: Option<&Tensor>,
        x: &Tensor,
        labels: &[i64],
    ) -> BTreeMap<&'static str, f64> {
        let metrics = measure(pairs, balanced, x, &Tensor::f_from_slice(labels).unwrap()).unwrap();
        let number = |metric| match metric {
            Metric::Tensor(tensor) => tensor.f_double_value(&[]).unwrap(),
            Metric::Number(number) => number,
        };
        metrics.into_iter().map(|(name, metric)| (name, number(metric))).collect()
    }

    /// Three numbers as embeddings of one dimension; the loss of a pair is the product of its numbers.
    fn products(numbers: &[f64]) -> (Tensor, PairLosses) {
        let x = Tensor::f_from_slice(numbers).unwrap().f_unsqueeze(1).unwrap().set_requires_grad(true);
        let values = x.f_matmul(&x.f_transpose(0, 1).unwrap()).unwrap();
        (x, PairLosses::new(values, 9.0))
    }

    #[test]
    fn shares_are_those_of_a_case_done_by_hand() {
        // Images 0 and 1 are of one class. Intra: 2 x0 x1 = 4. Inter: 2 x0 x2 + 2 x1 x2 = 18.
        let (x, pairs) = products(&[1.0, 2.0, 3.0]);
        let found = measured(&pairs, None, &x, &[0, 0, 1]);
        // Gradients: intra (2 x1, 2 x0, 0) = (4, 2, 0); inter (2 x2, 2 x2, 2 (x0 + x1)) = (6, 6, 6).
        let (intra, inter) = (20.0_f64.sqrt(), 108.0_f64.sqrt());
        let expected = BTreeMap::from([
            ("intra-pairs", 2.0),
            ("inter-pairs", 4.0),
            ("intra-loss-share", 4.0 / 22.0),
            ("intra-gradient-share", intra / (intra + inter)),
        ]);
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        assert!(expected.iter().all(|(name, value)| (found[name] - value).abs() < 1e-12), "{found:?}");
    }

    #[test]
    fn the_weight_in_force_is_seen_whatever_the_balance() {
        let (x, pairs) = products(&[1.0, 2.0, 3.0]);
        let mask =
            Tensor::f_from_slice(&[0.0, 5.0, 2.0, 5.0, 0.0, 2.0, 2.0, 2.0, 0.0]).unwrap().f_reshape([3, 3]).unwrap();
        let balanced = pairs.values.f_mul(&mask).unwrap().f_sum(None::<Kind>).unwrap();
        let found = measured(&pairs, Some(&balanced), &x, &[0, 0, 1]);
        let (intra, inter) = (5.0 * 20.0_f64.sqrt(), 2.0 * 108.0_f64.sqrt());
        assert!((found["intra-weight"] - 2.5).abs() < 1e-12, "{found:?}");
        assert!((found["balanced-intra-loss-share"] - 20.0 / 56.0).abs() < 1e-12, "{found:?}");
        assert!((found["balanced-intra-gradient-share"] - intra / (intra + inter)).abs() < 1e-12, "{found:?}");
        // The graph is still there for the training's own backward pass.
        balanced.f_backward().unwrap();
    }

    #[test]
    fn an_empty_half_has_no_share_and_no_weight() {
        let (x, pairs) = products(&[1.0, 2.0, 3.0]);
        let balanced = pairs.total().unwrap();
        let found = measured(&pairs, Some(&balanced), &x, &[0, 1, 2]);
        assert_eq!((found["intra-pairs"], found["inter-pairs"]), (0.0, 6.0));
        for name in ["intra-loss-share", "intra-gradient-share", "intra-weight", "balanced-intra-gradient-share"] {
            assert_eq!(found[name], 0.0, "{name}");
        }
        let found = measured(&pairs, Some(&balanced), &x, &[0, 0, 0]);
        assert_eq!((found["inter-pairs"], found["intra-gradient-share"]), (0.0, 1.0));
        assert!(found.values().all(|value| value.is_finite()), "{found:?}");
    }

    #[test]
    fn equal_embeddings_give_finite_shares() {
        let (x, pairs) = products(&[0.0, 0.0, 0.0]);
        let found = measured(&pairs, Some(&pairs.total().unwrap()), &x, &[0, 0, 1]);
        assert!(found.values().all(|value| value.is_finite()), "{found:?}");
    }

    #[test]
    fn pair_losses_that_do_not_reach_the_embeddings_have_no_gradient_share() {
        let (x, pairs) = products(&[1.0, 2.0, 3.0]);
        let other = Tensor::f_from_slice(&[1.0]).unwrap().set_requires_grad(true);
        let values = pairs.values.f_detach().unwrap().f_mul(&other).unwrap();
        let found = measured(&PairLosses::new(values, 9.0), None, &x, &[0, 0, 1]);
        assert!(!found.contains_key("intra-gradient-share") && found.contains_key("intra-loss-share"), "{found:?}");
    }
}
