//! Programs: the operations of a call, recorded, to be run again without the plugin.
//!
//! A plugin that reads no tensor's values can only depend on what it asks for: shapes, dtypes, parameters, and what it
//! is told of the batch and the training. [`Recorder`] keeps what was asked and answered ([`Observation`]) beside the
//! operations that were ordered. Where each answer is the same again, the plugin would order the same operations with
//! the same attributes in the same order, so the [`Program`] runs in its place (`replay/`) and makes the same bits.
//!
//! Whether a call can be recorded depends on that call alone, never on what was called before.

mod observation;
mod recorded;
mod recorder;
mod returned;
mod way;

pub(crate) use observation::{Observation, Situation, Source};
pub(crate) use recorded::{Effect, Meta, Program, Step, ValueId};
pub(crate) use recorder::Recorder;
pub(crate) use returned::Returned;
pub use way::Way;
