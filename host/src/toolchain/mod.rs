//! From a plugin's folder to a component: finding the compiler for its language and calling it.
//!
//! Crates are built for `wasm32-unknown-unknown`, whose standard library imports nothing, so a component can import
//! only what the contract offers. `scripts/setup/wasm.sh` sets up what [`detect`] looks for. Folders with a
//! `plugin.toml` are in Python or JavaScript, see `scripts/setup/languages.sh`.

mod build;
mod build_folder;
mod built;
mod cargo;
mod command;
mod component_cache;
mod componentizer;
mod detect;
mod error;
mod folders;
mod javascript;
mod plugin_toml;
mod python;
mod python_mistakes;
mod script;
pub mod sources;
mod spoken;
mod under_way;
mod wit_world;

pub use build::build;
pub(crate) use build::encode;
pub use built::{Built, Messages};
pub use detect::{Toolchain, detect};
pub use error::ToolchainError;
pub use folders::tools;
pub use script::componentizers;
pub use sources::Sources;
pub use under_way::UnderWay;
