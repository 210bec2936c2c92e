//! Parts of a recorded call that run as one: all that is between two operations that only libtorch has.
//!
//! [`Plan`] divides a program; `lower` makes a graph of a part; [`Fused`] runs it, with a backward pass of its own, by
//! `lossmith-program` on libtorch's threads and with its matrix products. Which operations become a part depends on the
//! program alone: a choice by what was measured would make two runs of one experiment differ.

mod lower;
mod part;
mod parts;
mod plan;
mod torch;

pub(crate) use part::{Fused, Part};
pub use plan::Outline;
pub(crate) use plan::Plan;
