//! The interface `random` of the contract.

use tch::{Kind, Tensor};
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::lossmith::plugin::random as wit;
use crate::charge;
use crate::host::Host;
use crate::host_fault::HostFault;
use crate::operation::{Distribution, Draw, Op};

impl wit::Host for Host {
    fn uniform(&mut self, shape: Vec<i64>) -> Result<Resource<Tensor>> {
        self.draw(Distribution::Uniform, shape, self.float, charge::UNIFORM)
    }

    fn normal(&mut self, shape: Vec<i64>) -> Result<Resource<Tensor>> {
        self.draw(Distribution::Normal, shape, self.float, charge::NORMAL)
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
        self.draw(Distribution::Integers { low, high }, shape, Kind::Int64, charge::UNIFORM)
    }

    fn permutation(&mut self, count: i64) -> Result<Resource<Tensor>> {
        self.draw(Distribution::Permutation, vec![count], Kind::Int64, charge::PERMUTATION)
    }
}

impl Host {
    fn draw(&mut self, distribution: Distribution, shape: Vec<i64>, kind: Kind, each: u64) -> Result<Resource<Tensor>> {
        let draw = Draw { number: self.draws, distribution, shape, options: (kind, self.device) };
        // The list, and the tensor.
        let elements = self.room_for(draw.name(), &draw.shape, 16)?;
        self.list(elements)?;
        let work = elements.saturating_mul(each);
        self.admit(work, 0)?;
        self.charge(work)?;
        self.draws += 1;
        let op = Op::from(draw);
        let tensor = self.run_one(&op, &[])?;
        self.push(op, &[], tensor)
    }
}
