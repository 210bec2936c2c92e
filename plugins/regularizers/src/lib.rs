//! Losses on the embeddings alone, without labels, for a second objective beside a loss that knows classes. Each is on
//! the embeddings as the network gives them, and does not use mined tuples.

pub mod equal_norm;
pub mod lp_norm;
pub mod zero_mean;

lossmith_sdk::export! { losses: [lp_norm::LpNorm, zero_mean::ZeroMean, equal_norm::EqualNorm] }
