//! From the folder of a Rust crate to a component: finding a compiler for WebAssembly and calling it.
//!
//! Plugins are built for `wasm32-unknown-unknown`, whose standard library imports nothing, so a component can import only
//! what the contract offers. `scripts/setup/wasm.sh` sets up what [`detect`] looks for.

mod build;
mod command;
mod detect;
mod error;

pub use build::{Built, Messages, build_crate};
pub use detect::{Toolchain, detect};
pub use error::ToolchainError;
