//! TorchScript modules. `tch` has them too, but shows no buffers, so that a module with batch normalisation could not
//! be saved.

use crate::bridge::ffi;
use crate::{error, owned, pointer};
use std::path::Path;
use tch::{Device, TchError, Tensor};

/// A TorchScript module in memory.
pub struct ScriptModule(cxx::UniquePtr<ffi::ScriptModule>);

/// A tensor of a [`ScriptModule`]; changing it in place changes the module.
#[derive(Debug)]
pub struct ScriptTensor {
    /// Its path in the module, joined by dots.
    pub name: String,
    /// The tensor.
    pub tensor: Tensor,
    /// Whether it is a parameter; else it is a buffer.
    pub parameter: bool,
}

impl ScriptModule {
    /// Loads what `torch.jit.save` wrote.
    ///
    /// # Errors
    /// If the file cannot be read or is no TorchScript module, the path is not UTF-8, or the device is neither the CPU
    /// nor a CUDA device of this machine.
    pub fn load(path: &Path, device: Device) -> Result<Self, TchError> {
        let path = path.to_str().ok_or_else(|| TchError::Torch("the path is not UTF-8".to_owned()))?;
        let index = match device {
            Device::Cpu => -1,
            Device::Cuda(index) => {
                i32::try_from(index).map_err(|_| TchError::Torch(format!("no device {device:?}")))?
            }
            Device::Mps | Device::Vulkan => return Err(TchError::Torch(format!("no TorchScript on {device:?}"))),
        };
        ffi::load_script(path, index).map(Self).map_err(error)
    }

    /// Makes a module of tensors and of the source of its methods, in TorchScript. The parts of a tensor's name between
    /// dots are those of the module; each has an attribute `training`, which is off. The tensors are shared, and so is
    /// `backbone`, which becomes the part of this name.
    ///
    /// # Errors
    /// If the source does not compile.
    pub fn define(tensors: &[ScriptTensor], backbone: Option<&Self>, source: &str) -> Result<Self, TchError> {
        let backbone = backbone.map_or(std::ptr::null(), |module| module.0.as_ptr());
        // SAFETY: the pointer is null or that of a module which outlives the call.
        unsafe { ffi::define_script(&pointers(tensors), backbone, source) }.map(Self).map_err(error)
    }

    /// The bytes of the file that `torch.jit.load` reads.
    ///
    /// # Errors
    /// If libtorch cannot write the module.
    pub fn save(&self) -> Result<Vec<u8>, TchError> {
        self.0.save().map(|bytes| bytes.as_bytes().to_vec()).map_err(error)
    }

    /// All parameters, then all buffers, each in the module's order.
    ///
    /// # Errors
    /// If a name is not UTF-8.
    pub fn tensors(&self) -> Result<Vec<ScriptTensor>, TchError> {
        let tensors = self.0.tensors().map_err(error)?;
        Ok(tensors
            .into_iter()
            .map(|item| ScriptTensor { name: item.name, tensor: owned(item.tensor), parameter: item.parameter })
            .collect())
    }

    /// Runs the module on one tensor, in training or evaluation mode. The JIT's optimizer is off, so that the first
    /// call and the tenth compute the same bits.
    ///
    /// # Errors
    /// What the module throws, and if it does not return one tensor.
    pub fn forward(&self, input: &Tensor, train: bool) -> Result<Tensor, TchError> {
        // SAFETY: the pointer is that of a tensor which outlives the call.
        let input = unsafe { &*pointer(input) };
        self.0.forward(input, train).map(owned).map_err(error)
    }
}

/// The bytes of the file of a state dict, which `torch.load` reads.
///
/// # Errors
/// If libtorch cannot write the tensors.
pub fn pickle_state(tensors: &[ScriptTensor]) -> Result<Vec<u8>, TchError> {
    ffi::pickle_state(&pointers(tensors)).map(|bytes| bytes.as_bytes().to_vec()).map_err(error)
}

fn pointers(tensors: &[ScriptTensor]) -> Vec<ffi::NamedPointer> {
    let item = |ScriptTensor { name, tensor, parameter }: &ScriptTensor| ffi::NamedPointer {
        name: name.clone(),
        tensor: pointer(tensor),
        parameter: *parameter,
    };
    tensors.iter().map(item).collect()
}

impl std::fmt::Debug for ScriptModule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScriptModule")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_file_that_is_no_module_is_an_error() {
        let error = ScriptModule::load(Path::new("Cargo.toml"), Device::Cpu).unwrap_err();
        assert!(!error.to_string().is_empty());
    }
}
