//! Losses on rankings: how well similarity sorts the images of a batch.

pub mod fast_ap;
pub mod histogram;
pub mod smooth_ap;
mod soft_histogram;

lossmith_sdk::export! { losses: [fast_ap::FastAp, smooth_ap::SmoothAp, histogram::Histogram] }
