//! The interface `random` of the contract.

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::lossmith::plugin::random as wit;
use crate::charge;
use crate::host::Host;
use crate::host_fault::HostFault;
use crate::random_streams::{Purpose, generator, normal};

impl wit::Host for Host {
    fn uniform(&mut self, shape: Vec<i64>) -> Result<Resource<Tensor>> {
        let float = self.float;
        // 24 bits, so that the numbers are the same in 32 and 64 bits.
        self.draw("random.uniform", &shape, float, charge::UNIFORM, |random| {
            f64::from(random.next_u32() >> 8) / f64::from(1 << 24)
        })
    }

    fn normal(&mut self, shape: Vec<i64>) -> Result<Resource<Tensor>> {
        let float = self.float;
        self.draw("random.normal", &shape, float, charge::NORMAL, normal)
    }

    fn integers(&mut self, shape: Vec<i64>, low: i64, high: i64) -> Result<Resource<Tensor>> {
        self.rank(&shape)?;
        if high <= low {
            let message = format!("no integer from {low} to below {high}");
            return Err(HostFault::Operation {
                operation: "random.integers",
                shapes: format!("shape {shape:?}"),
                message,
            }
            .into());
        }
        let span = high.abs_diff(low);
        self.draw("random.integers", &shape, Kind::Int64, charge::UNIFORM, |random| {
            // The high word of a 128-bit product: uniform up to 2^-64 of the span.
            low.wrapping_add_unsigned(((u128::from(random.next_u64()) * u128::from(span)) >> 64) as u64)
        })
    }

    fn permutation(&mut self, count: i64) -> Result<Resource<Tensor>> {
        const NAME: &str = "random.permutation";
        // The list, and the tensor.
        let elements = self.room_for(NAME, &[count], 16)?;
        self.list(elements)?;
        let work = elements.saturating_mul(charge::PERMUTATION);
        self.admit(work, 0)?;
        self.charge(work)?;
        let mut order: Vec<i64> = (0..count).collect();
        order.shuffle(&mut self.next_generator());
        self.random_tensor(NAME, &order, &[count], Kind::Int64)
    }
}

impl Host {
    /// A stream of its own for each draw: (seed, step, slot, draw).
    fn next_generator(&mut self) -> ChaCha8Rng {
        let mut random = generator(self.seed, Purpose::Plugin, self.progress.step, self.slot);
        random.set_stream(self.draws);
        self.draws += 1;
        random
    }

    fn draw<T: tch::kind::Element + Copy>(
        &mut self,
        operation: &'static str,
        shape: &[i64],
        kind: Kind,
        each: u64,
        mut one: impl FnMut(&mut ChaCha8Rng) -> T,
    ) -> Result<Resource<Tensor>> {
        let elements = self.room_for(operation, shape, 16)?;
        self.list(elements)?;
        let work = elements.saturating_mul(each);
        self.admit(work, 0)?;
        self.charge(work)?;
        let mut random = self.next_generator();
        let data: Vec<T> = (0..elements).map(|_| one(&mut random)).collect();
        self.random_tensor(operation, &data, shape, kind)
    }

    fn random_tensor<T: tch::kind::Element + Copy>(
        &mut self,
        operation: &'static str,
        data: &[T],
        shape: &[i64],
        kind: Kind,
    ) -> Result<Resource<Tensor>> {
        let device = self.device;
        let tensor = Tensor::f_from_slice(data)
            .and_then(|flat| flat.f_reshape(shape)?.f_to_kind(kind)?.f_to_device(device))
            .map_err(|error| crate::host_fault::fault(operation, &[], &error))?;
        self.push(operation, tensor)
    }
}
