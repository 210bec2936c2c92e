//! Messages of rank 0 to all others, with tensors.

use std::time::Duration;

use lossmith_torch_shim::Pending;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, TchError, Tensor};

use super::error::RanksError;
use super::joined::Ranks;

/// How long a message may be under way: as long as rank 0 gives signs of life.
const LONG: Duration = Duration::from_secs(365 * 24 * 3600);

#[derive(Serialize, Deserialize)]
struct Parcel<M> {
    message: M,
    tensors: Vec<Form>,
}

/// A tensor that follows.
#[derive(Serialize, Deserialize)]
struct Form {
    name: String,
    kind: String,
    shape: Vec<i64>,
}

const KINDS: [(Kind, &str); 10] = [
    (Kind::Uint8, "uint8"),
    (Kind::Int8, "int8"),
    (Kind::Int16, "int16"),
    (Kind::Int, "int32"),
    (Kind::Int64, "int64"),
    (Kind::Half, "float16"),
    (Kind::BFloat16, "bfloat16"),
    (Kind::Float, "float32"),
    (Kind::Double, "float64"),
    (Kind::Bool, "bool"),
];

impl Ranks {
    /// Sends a message, as rank 0. Tensors arrive on the CPU.
    ///
    /// # Errors
    /// A rank is lost.
    pub fn send(&self, message: &impl Serialize, tensors: &[(String, Tensor)]) -> Result<(), RanksError> {
        let forms = tensors.iter().map(|(name, tensor)| {
            let kind = KINDS.iter().find(|(kind, _)| *kind == tensor.kind());
            let kind = kind.ok_or_else(|| RanksError::Torch(format!("`{name}` is of {:?}", tensor.kind())))?.1;
            Ok(Form { name: name.clone(), kind: kind.to_owned(), shape: tensor.size() })
        });
        let parcel = Parcel { message, tensors: forms.collect::<Result<_, RanksError>>()? };
        let text = serde_json::to_vec(&parcel).map_err(unreadable)?;
        let length = Tensor::f_from_slice(&[text.len() as i64])?;
        self.hand_out(&length)?;
        self.hand_out(&Tensor::f_from_slice(&text)?)?;
        for (_, tensor) in tensors {
            self.hand_out(&flat(tensor)?)?;
        }
        Ok(())
    }

    /// Waits for a message of rank 0, as another rank.
    ///
    /// # Errors
    /// Rank 0 is lost.
    pub fn receive<M: DeserializeOwned>(&self) -> Result<(M, Vec<(String, Tensor)>), RanksError> {
        let length = Tensor::f_zeros([1], (Kind::Int64, Device::Cpu))?;
        self.patiently(self.group().begin_broadcast(&length, LONG))?;
        let length = length.f_int64_value(&[0])?;
        let text = Tensor::f_zeros([length], (Kind::Uint8, Device::Cpu))?;
        self.hand_out(&text)?;
        let text = Vec::<u8>::try_from(&text)?;
        let parcel: Parcel<M> = serde_json::from_slice(&text).map_err(unreadable)?;
        let mut tensors = Vec::with_capacity(parcel.tensors.len());
        for Form { name, kind, shape } in parcel.tensors {
            let kind = KINDS.iter().find(|(_, known)| *known == kind);
            let kind = kind.ok_or_else(|| RanksError::Torch(format!("`{name}` has no known type")))?.0;
            let flat = Tensor::f_zeros([shape.iter().product::<i64>()], (kind, Device::Cpu))?;
            self.hand_out(&flat)?;
            tensors.push((name, flat.f_reshape(shape)?));
        }
        Ok((parcel.message, tensors))
    }

    /// Waits for an operation for as long as the ranks give signs of life.
    pub(super) fn patiently(&self, pending: Result<Pending, TchError>) -> Result<(), RanksError> {
        let pending = self.explained(pending)?;
        loop {
            if self.explained(pending.wait(Duration::from_secs(1)))? {
                return Ok(());
            }
            self.check_signs()?;
        }
    }

    fn hand_out(&self, tensor: &Tensor) -> Result<(), RanksError> {
        if tensor.numel() == 0 { Ok(()) } else { self.explained(self.group().broadcast(tensor)) }
    }
}

fn flat(tensor: &Tensor) -> Result<Tensor, TchError> {
    tensor.f_detach()?.f_to_device(Device::Cpu)?.f_reshape([-1])?.f_contiguous()
}

fn unreadable(error: serde_json::Error) -> RanksError {
    RanksError::Torch(format!("a message between ranks: {error}"))
}
