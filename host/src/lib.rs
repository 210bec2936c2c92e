//! Lossmith: a platform for experimenting with metric-learning losses that live in WebAssembly components.

pub mod model;
pub mod random;
pub mod train;
