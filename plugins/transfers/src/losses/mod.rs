//! Losses that learn from a teacher and are not sums over pairs, so that no balance applies.

pub mod attention;
pub mod dark_rank;
pub mod fit_net;
pub mod rkd_angle;
