//! Where tensors live.

use lossmith_torch_shim::load_cuda;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Device;

/// Where tensors live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum DeviceChoice {
    /// CUDA when there is a device, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device by number.
    Cuda(usize),
}

/// There is no such device.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is no device {name}{}", .why.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
#[diagnostic(help(
    "`lossmith doctor` lists the devices; `device = \"auto\"` takes what there is, and `--device cpu` another one for \
     a run that is measured"
))]
pub struct DeviceError {
    /// As `cuda:0`.
    pub name: String,
    /// Why libtorch's part for CUDA is not there, if that is the reason.
    pub why: Option<String>,
}

impl DeviceChoice {
    /// The device. Where libtorch's part for CUDA was not linked, it is loaded for all but `cpu`.
    ///
    /// # Errors
    /// There is none of this number.
    pub fn find(&self) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto => {
                // Without it there is no device, which is no error here.
                let _ = load_cuda();
                Ok(Device::cuda_if_available())
            }
            Self::Cuda(number) => {
                let name = format!("cuda:{number}");
                if let Err(error) = load_cuda() {
                    return Err(DeviceError { name, why: Some(lossmith_plugin::brief(&error)) });
                }
                match i64::try_from(*number) {
                    Ok(index) if index < tch::Cuda::device_count() => Ok(Device::Cuda(*number)),
                    Ok(_) | Err(_) => Err(DeviceError { name, why: None }),
                }
            }
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "auto" => return Ok(Self::Auto),
            "cpu" => return Ok(Self::Cpu),
            _ => {}
        }
        let number = text.strip_prefix("cuda:").and_then(|number| number.parse().ok());
        number.map(Self::Cuda).ok_or_else(|| format!("`{text}` is not a device: expected auto, cpu, or cuda:0"))
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        match choice {
            DeviceChoice::Auto => "auto".into(),
            DeviceChoice::Cpu => "cpu".into(),
            DeviceChoice::Cuda(number) => format!("cuda:{number}"),
        }
    }
}
