//! What can go wrong with a network.

use super::state::Difference;
use miette::Diagnostic;
use std::path::PathBuf;
use tch::TchError;
use thiserror::Error;

/// An error of the network or its description.
#[derive(Debug, Error, Diagnostic)]
pub enum ModelError {
    /// A count that must be at least 1.
    #[error("`model.{key}` is 0")]
    #[diagnostic(help("it must be at least 1"))]
    Zero {
        /// The key in `[model]`.
        key: &'static str,
    },
    /// The slices are not equal.
    #[error("an embedding of {embedding} dimensions cannot be cut into {slices} equal slices")]
    #[diagnostic(help("make `model.embedding` a multiple of `model.slices`"))]
    NotDivisible {
        /// `model.embedding`.
        embedding: u32,
        /// `model.slices`.
        slices: u32,
    },
    /// The backbone is a TorchScript module, and its file is not named.
    #[error("the backbone `torchscript` needs a file")]
    #[diagnostic(help("set `model.path` to the file that torch.jit.save wrote"))]
    NoPath,
    /// A key that a TorchScript module cannot obey.
    #[error("`model.{key}` cannot be used with the backbone `torchscript`")]
    #[diagnostic(help("do it in Python, before the module is saved"))]
    NotForScript {
        /// The key in `[model]`.
        key: &'static str,
    },
    /// A key that only a TorchScript module has.
    #[error("`model.{key}` is for the backbone `torchscript` only")]
    #[diagnostic(help("remove it, or set `model.backbone = \"torchscript\"`"))]
    OnlyForScript {
        /// The key in `[model]`.
        key: &'static str,
    },
    /// The convnet would pool the image away.
    #[error("images of {size} x {size} pixels are too small for the convnet")]
    #[diagnostic(help("it halves them three times: use at least 8 x 8"))]
    ImageTooSmall {
        /// Pixels on a side.
        size: i64,
    },
    /// There are no weights.
    #[error("there is no file {} with weights", path.display())]
    #[diagnostic(help(
        "a relative path starts beside the file that it is written in; one of `--set` in the current folder"
    ))]
    NoWeights {
        /// The file.
        path: PathBuf,
    },
    /// The weights could not be read.
    #[error("cannot read the weights in {}", path.display())]
    #[diagnostic(help(
        "weights must be a safetensors file; Python makes one of a .pth file: \
         `safetensors.torch.save_file(torch.load(\"a.pth\", map_location=\"cpu\"), \"a.safetensors\")`"
    ))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TchError,
    },
    /// A number of the weights is no number.
    #[error("`{name}` in {} has numbers that are not finite", path.display())]
    #[diagnostic(help("the network would compute nothing else: take an earlier checkpoint"))]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// The file has the tensors of the network twice.
    #[error("{} has two networks of this kind: under `{first}` and under `{second}`", path.display())]
    #[diagnostic(help("write one of them into a file of its own"))]
    TwoNetworks {
        /// The file.
        path: PathBuf,
        /// What stands in front of the names of the first.
        first: String,
        /// And of the second.
        second: String,
    },
    /// The weights are of another network.
    #[error("the weights in {} do not fit the backbone: {difference}", path.display())]
    #[diagnostic(help(
        "choose the `model.backbone` that the weights were made for, and images with its number of channels"
    ))]
    Weights {
        /// The file.
        path: PathBuf,
        /// What differs.
        difference: Difference,
    },
    /// A saved state is of another network.
    #[error("the saved state does not fit the network: {0}")]
    #[diagnostic(help("build the network with the `[model]` that it was saved with"))]
    State(Difference),
    /// The TorchScript file could not be loaded or run.
    #[error("the TorchScript module {} failed", path.display())]
    #[diagnostic(help("it must take images of B x {channels} x {size} x {size} and return features of B x F"))]
    Script {
        /// The file.
        path: PathBuf,
        /// Channels of the images.
        channels: i64,
        /// Pixels on a side.
        size: i64,
        /// Why.
        source: TchError,
    },
    /// The TorchScript module returns something else than features.
    #[error(
        "the TorchScript module {} returns {found:?} for 2 images, not [2, {}]",
        path.display(),
        expected.map_or("F".to_owned(), |features| features.to_string())
    )]
    #[diagnostic(help("it must return one row of features for an image; `model.features` must be their number"))]
    Features {
        /// The file.
        path: PathBuf,
        /// `model.features`, if given.
        expected: Option<u32>,
        /// The shape of its result.
        found: Vec<i64>,
    },
    /// An operation of libtorch failed.
    #[error("libtorch failed in the network")]
    Torch(#[from] TchError),
}
