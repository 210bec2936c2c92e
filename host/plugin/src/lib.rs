//! Plugins: components that are loaded, limited and called.
//!
//! This crate knows nothing of training. What a strategy may use stands in `wit/`; each interface of it has a file in
//! `contract/`.

mod bindings;
pub mod candidate;
mod catch_panic;
mod charge;
mod component;
mod context;
mod contract;
mod debug_info;
mod description;
mod dtype;
mod engine;
mod error;
mod fault;
mod fused;
mod handles;
mod host;
mod host_fault;
mod limits;
mod memory_limit;
mod not_finite;
pub mod objective;
mod operation;
mod parameters;
pub mod printable;
mod probe;
mod program;
pub mod random_streams;
mod replay;
mod report;
mod scan;
mod slot;
mod source_line;
mod state;
mod storages;
pub mod suggest;
mod system;

pub use component::{Plugin, stem};
pub use context::{Input, PairLosses, Progress, Tuples};
pub use description::{Parameter, ParameterType, Range, Role, Strategy, UnknownRole};
pub use engine::{Runtime, compiled_components};
pub use error::{Cause, Phase, PluginError, ResultFault, SourceLine};
pub use fused::Outline;
pub use host_fault::{brief, is_exhausted};
pub use limits::Limits;
pub use not_finite::{Computed, Watch, explain, is_finite};
pub use parameters::{ParameterError, Params, Value};
pub use probe::{Cost, Probe, Stopped};
pub use program::Way;
pub use report::{Level, Metric, Report};
pub use slot::{Setting, Slot};
pub use state::{State, StateParameter};
pub use system::System;
