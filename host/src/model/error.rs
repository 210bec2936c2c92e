//! Errors of networks and of their files.

use super::state::StateDifference;
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
        difference: StateDifference,
    },
    /// A saved state is of another network.
    #[error("the saved state does not fit the network: {0}")]
    #[diagnostic(help("build the network with the `[model]` that it was saved with"))]
    State(StateDifference),
    /// There is no TorchScript file.
    #[error("there is no TorchScript module {}", path.display())]
    #[diagnostic(help(
        "a relative path starts beside the file that it is written in; one of `--set` in the current folder"
    ))]
    NoModule {
        /// The file.
        path: PathBuf,
    },
    /// The TorchScript file cannot be read.
    #[error("cannot read the TorchScript module {}: {cause}", path.display())]
    ModuleFile {
        /// The file.
        path: PathBuf,
        /// What the system says; the message has it, so it is no source to be told once more.
        cause: std::io::Error,
    },
    /// The file is not what `torch.jit.save` writes.
    #[error("{} is no TorchScript module: {reason}", path.display())]
    #[diagnostic(help("Python makes one of a network: `torch.jit.script(network.eval()).save(\"module.pt\")`"))]
    NoScript {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The TorchScript file says that it becomes too large.
    #[error("the TorchScript module {} unpacks to {size} bytes, more than {limit}", path.display())]
    #[diagnostic(help("torch.jit.save packs the code of a module and nothing else: do not trust this file"))]
    Unpacks {
        /// The file.
        path: PathBuf,
        /// Bytes of what it holds, or of what is packed in it.
        size: u64,
        /// The most that are read.
        limit: u64,
    },
    /// The TorchScript module could not be run.
    #[error("the TorchScript module {} failed: {reason}", path.display())]
    #[diagnostic(help("it must take images of B x {channels} x {size} x {size} and return features of B x F"))]
    Script {
        /// The file.
        path: PathBuf,
        /// Channels of the images.
        channels: i64,
        /// Pixels on a side.
        size: i64,
        /// Why.
        reason: String,
    },
    /// The TorchScript module returns something else than features.
    #[error(
        "the TorchScript module {} returns {dtype} {found:?} for {images} images, not float32 [{images}, {}]",
        path.display(),
        expected.map_or("F".to_owned(), |features| features.to_string())
    )]
    #[diagnostic(help(
        "it must return one row of float32 features for an image, always as many; `model.features` must be their number"
    ))]
    Features {
        /// The file.
        path: PathBuf,
        /// Images that it was given.
        images: i64,
        /// The number of features, if it is known.
        expected: Option<i64>,
        /// The element type of its result.
        dtype: String,
        /// The shape of its result.
        found: Vec<i64>,
    },
    /// A trained tensor of the TorchScript module is not of 32 bits.
    #[error("`{name}` in the TorchScript module {} is of {dtype}, not float32", path.display())]
    #[diagnostic(help("convert it before the module is saved: `network.float()`"))]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its element type.
        dtype: String,
    },
    /// The TorchScript module changes what it is given.
    #[error("the TorchScript module {} changes the images that it is given", path.display())]
    #[diagnostic(help("others look at them too: let it work on a copy, `x = x.clone()`"))]
    ChangesImages {
        /// The file.
        path: PathBuf,
    },
    /// The TorchScript module has a memory that nothing keeps.
    #[error(
        "the TorchScript module {} gives other embeddings for the same images when it is called again: it keeps \
         something that is neither a parameter nor a buffer, which no checkpoint would have",
        path.display()
    )]
    #[diagnostic(help(
        "keep it in a buffer (`register_buffer`) and change that in place: another tensor in its place is lost"
    ))]
    Keeps {
        /// The file.
        path: PathBuf,
    },
    /// The TorchScript module of a teacher changes.
    #[error("the TorchScript module {} changes its buffer `{name}` when it is called", path.display())]
    #[diagnostic(help("no checkpoint has the buffers of a teacher: let it change none in `eval()`"))]
    KeepsBuffer {
        /// The file.
        path: PathBuf,
        /// The buffer.
        name: String,
    },
    /// An operation of libtorch failed.
    #[error("libtorch failed in the network: {}", lossmith_plugin::brief(.0))]
    Torch(TchError),
}

// Its text is told in brief, so it is no source, which would be told in full.
impl From<TchError> for ModelError {
    fn from(error: TchError) -> Self {
        Self::Torch(error)
    }
}
