//! Candidates: strategies that are to take over from those at work, tried out before and looked at after they did.
//!
//! ```text
//! try_out: a batch of the run, with copies of the states (canary) --> what it made of it, or why it is not taken
//! try_alone: the same for a strategy that is called by itself, outside of an objective
//! probation: the losses of its first steps                        --> an error if one is not finite or too large
//! ```

mod alone;
mod canary;
mod error;
mod probation;
mod state_layout;
mod trial;

pub use alone::try_alone;
pub use canary::{Measured, Sample, States, copies, cosine, measure};
pub use error::CandidateError;
pub use probation::{Probation, ProbationError};
pub use state_layout::{Misfit, TensorLayout};
pub use trial::{TriedOut, try_out};
