//! The teacher of an embedding transfer: a trained network that is only looked at.
//!
//! Where training images are not augmented, [`Teacher::load`] computes their embeddings once and keeps them on the
//! disk; otherwise the teacher sees the same crops as the student, prepared as it wants them.

mod cache;
mod digest;
mod error;
mod load;
mod source;

pub use error::TeacherError;
pub use load::{Teacher, View};
