//! The contract of `wit/`, one file for each interface: what a plugin's call of the host does, and what the host makes
//! of a plugin's description.
//!
//! The values that are exchanged ([`crate::context`], [`crate::state`], [`crate::report`], [`crate::description`]) know
//! nothing of this folder.

mod context;
mod describe;
mod random;
mod report;
mod state;
mod tensor;
