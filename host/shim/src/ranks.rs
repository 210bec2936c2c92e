//! Processes that train one run together: a store of what they tell each other, and collective operations.
//!
//! The processes are ranks, from 0 to their number. Each collective operation is called by all ranks in the same order,
//! with tensors of the same type and shape: where they differ, libtorch ends the process. Tensors of a device go
//! through the memory of the host.
//!
//! A store and a group live as long as the process, so that to drop one waits for nobody.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::bridge::ffi;
use crate::{error, owned};
use tch::{TchError, Tensor};

/// Values by key that all ranks see. A clone is another handle.
#[derive(Clone)]
pub struct Store(Arc<cxx::UniquePtr<ffi::Store>>);

impl Store {
    /// The store at an address. With a `listener`, a socket that listens there, it is hosted by this process, which
    /// owns the socket from then on. Keys begin with `prefix`.
    ///
    /// # Errors
    /// Nobody hosts it there within `timeout`.
    pub fn join(
        host: &str,
        port: u16,
        listener: Option<i32>,
        prefix: &str,
        timeout: Duration,
    ) -> Result<Self, TchError> {
        let store = ffi::join_store(host, port, listener.unwrap_or(-1), prefix, milliseconds(timeout));
        Ok(Self(Arc::new(store.map_err(error)?)))
    }

    /// Sets a value.
    ///
    /// # Errors
    /// The host of the store is gone.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), TchError> {
        self.0.set(key, value).map_err(error)
    }

    /// Waits for a value.
    ///
    /// # Errors
    /// Nobody sets it within `timeout`, or the host of the store is gone.
    pub fn get(&self, key: &str, timeout: Duration) -> Result<Vec<u8>, TchError> {
        self.0.get(key, milliseconds(timeout)).map_err(error)
    }
}

/// All ranks. A clone is another handle.
#[derive(Clone)]
pub struct Group(Arc<cxx::UniquePtr<ffi::Group>>);

impl Group {
    /// Meets the other ranks in a store. An operation for which others do not come within `timeout` is an error, and
    /// the group is of no use afterwards. With `loopback` all are on this machine.
    ///
    /// # Errors
    /// Some do not come.
    pub fn join(store: &Store, rank: u32, size: u32, loopback: bool, timeout: Duration) -> Result<Self, TchError> {
        let group = ffi::join_group(&store.0, rank, size, loopback, milliseconds(timeout));
        Ok(Self(Arc::new(group.map_err(error)?)))
    }

    /// Sets a contiguous tensor to the sum of those of all ranks: the same bits everywhere.
    ///
    /// # Errors
    /// A rank is lost.
    pub fn sum(&self, tensor: &Tensor) -> Result<(), TchError> {
        self.0.sum(reference(tensor)).map_err(error)
    }

    /// The rows of all ranks, those of rank 0 first. Each has equally many.
    ///
    /// # Errors
    /// A rank is lost.
    pub fn gather(&self, rows: &Tensor) -> Result<Tensor, TchError> {
        Ok(owned(self.0.gather(reference(rows)).map_err(error)?))
    }

    /// Sets a tensor to that of rank 0.
    ///
    /// # Errors
    /// A rank is lost.
    pub fn broadcast(&self, tensor: &Tensor) -> Result<(), TchError> {
        self.0.broadcast(reference(tensor)).map_err(error)
    }

    /// Begins to set a contiguous tensor of the CPU to that of rank 0, which may take as long as `timeout` says.
    ///
    /// # Errors
    /// A rank is lost.
    pub fn begin_broadcast(&self, tensor: &Tensor, timeout: Duration) -> Result<Pending, TchError> {
        Ok(Pending(self.0.begin_broadcast(reference(tensor), milliseconds(timeout)).map_err(error)?))
    }

    /// Begins [`Group::sum`] of a contiguous tensor of the CPU, which may take as long as `timeout` says.
    ///
    /// # Errors
    /// A rank is lost.
    pub fn begin_sum(&self, tensor: &Tensor, timeout: Duration) -> Result<Pending, TchError> {
        Ok(Pending(self.0.begin_sum(reference(tensor), milliseconds(timeout)).map_err(error)?))
    }

    /// Whether an operation has failed that was waited for: also one of a forward or a backward pass.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.0.failed()
    }

    /// The bytes that this rank has given to collective operations so far, and how long it waited for them. Those that
    /// were begun without waiting do not count.
    #[must_use]
    pub fn cost(&self) -> (u64, Duration) {
        (self.0.bytes(), Duration::from_nanos(self.0.nanoseconds()))
    }

    /// Batch normalisation of images (B x C x ...) by the statistics of those of all ranks, which also update the
    /// running `mean` and `variance`. Its backward pass is a collective operation too. It is differentiated once.
    ///
    /// # Errors
    /// What libtorch says, or a rank is lost.
    pub fn batch_norm(
        &self,
        x: &Tensor,
        [weight, bias, mean, variance]: [&Tensor; 4],
        momentum: f64,
        epsilon: f64,
    ) -> Result<Tensor, TchError> {
        let [weight, bias, mean, variance] = [weight, bias, mean, variance].map(crate::pointer);
        let with = ffi::Normalisation { weight, bias, mean, variance, momentum, epsilon };
        let normal = self.0.batch_norm(reference(x), &with);
        Ok(owned(normal.map_err(error)?))
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Group")
    }
}

/// An operation under way.
pub struct Pending(cxx::UniquePtr<ffi::Pending>);

impl Pending {
    /// Waits so long; whether it is over.
    ///
    /// # Errors
    /// A rank is lost.
    pub fn wait(&self, timeout: Duration) -> Result<bool, TchError> {
        self.0.wait(milliseconds(timeout)).map_err(error)
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn reference(tensor: &Tensor) -> &ffi::Tensor {
    // SAFETY: it points to the tensor that `tch` holds, which is borrowed as long.
    unsafe { &*crate::pointer(tensor) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use std::net::TcpListener;
    use std::os::fd::IntoRawFd;

    use super::*;
    use tch::{Device, Kind};

    /// What each of so many ranks, here threads, makes of its group.
    fn ranks<T: Send + 'static>(size: u32, work: fn(u32, Group) -> T) -> Vec<T> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let timeout = Duration::from_secs(30);
        let host = Store::join("127.0.0.1", port, Some(listener.into_raw_fd()), "test", timeout).unwrap();
        let threads = (0..size).map(|rank| {
            std::thread::spawn(move || {
                let store = Store::join("127.0.0.1", port, None, "test", timeout).unwrap();
                work(rank, Group::join(&store, rank, size, true, timeout).unwrap())
            })
        });
        let threads: Vec<_> = threads.collect();
        let results = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        drop(host);
        results
    }

    fn numbers(tensor: &Tensor) -> Vec<f64> {
        Vec::try_from(tensor.flatten(0, -1)).unwrap()
    }

    #[test]
    fn ranks_add_gather_and_hand_out() {
        let results = ranks(3, |rank, group| {
            let own = Tensor::f_from_slice(&[f64::from(rank), 1.0]).unwrap();
            let gathered = group.gather(&own).unwrap();
            let first = own.copy();
            group.broadcast(&first).unwrap();
            group.sum(&own).unwrap();
            (numbers(&gathered), numbers(&first), numbers(&own))
        });
        for result in results {
            assert_eq!(result, (vec![0.0, 1.0, 1.0, 1.0, 2.0, 1.0], vec![0.0, 1.0], vec![3.0, 3.0]));
        }
    }

    #[test]
    fn normalised_across_ranks_is_normalised_as_a_whole() {
        // Seven images on two ranks.
        fn images() -> Tensor {
            Tensor::arange(7 * 3 * 2 * 2, (Kind::Double, Device::Cpu)).square().cos().reshape([7, 3, 2, 2])
        }
        fn vector(from: f64) -> Tensor {
            Tensor::f_from_slice(&[from, from + 1.0, from + 2.0]).unwrap()
        }
        let weights = || Tensor::arange(7 * 12, (Kind::Double, Device::Cpu)).sin().reshape([7, 3, 2, 2]);
        let results = ranks(2, |rank, group| {
            let weights = Tensor::arange(7 * 12, (Kind::Double, Device::Cpu)).sin().reshape([7, 3, 2, 2]);
            let (first, rows) = if rank == 0 { (0, 4) } else { (4, 3) };
            let x = images().narrow(0, first, rows).copy().set_requires_grad(true);
            let [weight, bias] = [1.0, 2.0].map(|from| vector(from).set_requires_grad(true));
            let (mean, variance) = (vector(0.0), vector(1.0));
            let y = group.batch_norm(&x, [&weight, &bias, &mean, &variance], 0.1, 1e-5).unwrap();
            (&y * weights.narrow(0, first, rows)).sum(Kind::Double).f_backward().unwrap();
            let shared = Tensor::cat(&[weight.grad(), bias.grad()], 0);
            group.sum(&shared).unwrap();
            (numbers(&y.detach()), numbers(&x.grad()), numbers(&shared), [numbers(&mean), numbers(&variance)].concat())
        });
        let x = images().set_requires_grad(true);
        let [weight, bias] = [1.0, 2.0].map(|from| vector(from).set_requires_grad(true));
        let (mean, variance) = (vector(0.0), vector(1.0));
        let y =
            x.f_batch_norm(Some(&weight), Some(&bias), Some(&mean), Some(&variance), true, 0.1, 1e-5, true).unwrap();
        (&y * weights()).sum(Kind::Double).f_backward().unwrap();
        let near = |found: &[f64], expected: &[f64]| {
            assert_eq!(found.len(), expected.len());
            let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-12, "{worst:e}: {found:?} {expected:?}");
        };
        let (all_y, all_x): (Vec<_>, Vec<_>) = results.iter().map(|(y, x, ..)| (y.clone(), x.clone())).unzip();
        near(&all_y.concat(), &numbers(&y.detach()));
        near(&all_x.concat(), &numbers(&x.grad()));
        for (_, _, shared, running) in &results {
            near(shared, &[numbers(&weight.grad()), numbers(&bias.grad())].concat());
            near(running, &[numbers(&mean), numbers(&variance)].concat());
        }
    }
}
