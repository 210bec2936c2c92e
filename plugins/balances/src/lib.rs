//! Balances: how the loss of a transfer weighs pairs of one class, from which a student learns compact classes, against
//! pairs of two classes, from which it learns separable ones.
//!
//! The idea is that of the thesis "Balancing Knowledge Transfer and Expression Feature Fusion Research Based on Metric
//! Learning" (BET), J. Y. Yu 2024, of which only the abstract is public. All formulas here are our own readings of it;
//! none stands in a source.
//!
//! The pairs of a batch are the intra half I (two images of one class) and the inter half E (two classes). The pairs of
//! an image with itself are in neither; where a transfer gives them a loss, it keeps the weight 1 / divisor.
//!
//! Each balance reports the metric `weight`, that of the intra half where the inter half has 1; `pull-push` reports
//! `pull` and `push` instead.

mod split;

pub mod gradient_share;
pub mod mean;
pub mod none;
pub mod pull_push;
pub mod row_wise;
pub mod sum;

lossmith_sdk::export! {
    balances: [
        none::Unbalanced,
        sum::Sum,
        mean::Mean,
        gradient_share::GradientShare,
        pull_push::PullPush,
        row_wise::RowWise,
    ],
}
