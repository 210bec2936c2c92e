//! Lossmith: a platform for experimenting with metric-learning losses that live in WebAssembly components.

pub mod bench;
pub mod check;
pub mod cli;
pub mod data;
pub mod doctor;
pub mod eval;
pub mod experiment;
pub mod model;
pub mod objective;
pub mod plot;
mod plugin_fault;
pub mod ranks;
pub mod retrieve;
pub mod run;
pub mod scaffold;
pub mod session;
pub mod standard;
pub mod started;
pub mod sweep;
pub mod teacher;
pub mod toolchain;
pub mod train;
mod unique;

pub use plugin_fault::PluginFault;
