//! The network: a backbone from images to features, and a head from features to the embedding and its slices.
//!
//! All tensors have names, so that they can be saved, loaded and told apart by the optimizer. Initial weights come from
//! the run's seed alone.

mod archive;
mod backbone;
mod buffers;
mod config;
mod convnet;
mod error;
mod layers;
mod network;
mod parts;
mod program;
mod registry;
mod resnet;
mod script;
mod state;
mod torchscript;
mod weights;

pub use config::{Architecture, ModelConfig};
pub use error::ModelError;
pub use network::Model;
pub use parts::Parts;
pub use registry::{Group, NetworkParameter};
pub use state::{StateDifference, copy_state};
pub(crate) use weights::{prefix, read};
