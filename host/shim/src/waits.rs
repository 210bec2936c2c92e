//! What a step waits for on a device: reading without waiting, moving there without waiting, and a count of the rest.

use std::cell::Cell;
use std::collections::BTreeMap;

use crate::bridge::ffi;
use crate::error;
use tch::{Device, TchError, Tensor};

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the numbers of a tensor can be read without waiting for a device.
///
/// Inside of [`count_waits`] none can: what is counted on the CPU is what a training on a device does.
#[must_use]
pub fn is_free_to_read(tensor: &Tensor) -> bool {
    tensor.device() == Device::Cpu && !COUNTED.get()
}

/// A tensor of the CPU on another device; the host does not wait until it is there. What is queued on that device later
/// sees it. The copy itself is beside other work only from pinned memory. A tensor that is on the device already is
/// returned as it is.
///
/// # Errors
/// What libtorch says: there is no such device, or no room.
pub fn upload(tensor: &Tensor, device: Device) -> Result<Tensor, TchError> {
    // Towards the CPU the host would read what is not there yet.
    let asynchronous = device != Device::Cpu || tensor.device() == Device::Cpu;
    tensor.f_to_device_(device, tensor.f_kind()?, asynchronous, false)
}

/// Runs `work` and counts the operations by which the host waits for `device`, with libtorch's names for them: what
/// reads a number (`aten::item`), what has a size that depends on numbers (`aten::nonzero`, with which
/// boolean indexing begins, `aten::masked_select`, `aten::_unique2`), and copies between the host and the device.
///
/// Those of this thread count, and those of backward passes that it starts. An operation that does several of these
/// inside counts once. On the CPU nothing waits; there, what would wait on a device is counted, and
/// [`is_free_to_read`] answers as on a device. Not to be nested.
///
/// # Errors
/// What libtorch says.
pub fn count_waits<T>(device: Device, work: impl FnOnce() -> T) -> Result<(T, BTreeMap<String, u64>), TchError> {
    let counter = ffi::count_waits(device != Device::Cpu).map_err(error)?;
    let reads = Reads(COUNTED.replace(true));
    let result = work();
    drop(reads);
    let waits = counter.counts().map_err(error)?;
    Ok((result, waits.into_iter().map(|wait| (wait.name, wait.count)).collect()))
}

/// Sets back what [`is_free_to_read`] answers, also when the work panics.
struct Reads(bool);

impl Drop for Reads {
    fn drop(&mut self) {
        COUNTED.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use tch::Kind;

    fn counted(work: impl FnOnce()) -> Vec<(String, u64)> {
        count_waits(Device::Cpu, work).unwrap().1.into_iter().collect()
    }

    fn numbers() -> Tensor {
        Tensor::arange(6, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn what_reads_numbers_is_counted_once_by_its_outermost_name() {
        let (x, large) = (numbers(), numbers().f_gt(2.0).unwrap());
        let found = counted(|| {
            let _ = x.f_double_value(&[1]).unwrap();
            let _ = large.f_nonzero().unwrap();
            let _ = x.f_masked_select(&large).unwrap();
            let _ = x.f_index(&[Some(&large)]).unwrap();
            let _ = x.f_internal_unique(true, true).unwrap();
            let _ = x.f_equal(&x).unwrap();
        });
        // `nonzero` by itself, and in the boolean index.
        let expected = [("_unique", 1), ("equal", 1), ("item", 1), ("masked_select", 1), ("nonzero", 2)];
        assert_eq!(found, expected.map(|(name, count)| (format!("aten::{name}"), count)));
    }

    #[test]
    fn what_waits_for_nothing_is_not_counted() {
        let index = Tensor::from_slice(&[1_i64, 2]);
        let found = counted(|| {
            let x = numbers().set_requires_grad(true);
            let y = x.f_index_select(0, &index).unwrap().f_softmax(0, None).unwrap();
            let sorted = y.f_sort(0, true).unwrap().0.f_sum(Kind::Float).unwrap();
            sorted.f_backward().unwrap();
            let _ = index.f_one_hot(4).unwrap();
            let _ = upload(&x, Device::Cpu).unwrap();
        });
        assert_eq!(found, []);
    }

    #[test]
    fn moves_that_wait_are_counted() {
        let found = counted(|| {
            let _ = numbers().f_to_device(Device::Cpu).unwrap();
            let _ = numbers().f_to_kind(Kind::Double).unwrap();
        });
        assert_eq!(found, [("aten::to".to_owned(), 1)]);
    }

    #[test]
    fn numbers_are_read_freely_on_the_cpu_but_not_where_waits_are_counted() {
        let x = numbers();
        assert!(is_free_to_read(&x));
        let inside = count_waits(Device::Cpu, || is_free_to_read(&x)).unwrap().0;
        assert!(!inside && is_free_to_read(&x));
    }

    #[test]
    fn threads_count_for_themselves_and_a_panic_ends_the_count() {
        let caught = std::panic::catch_unwind(|| count_waits(Device::Cpu, || std::panic::resume_unwind(Box::new(()))));
        assert!(caught.is_err() && is_free_to_read(&numbers()));
        let found = counted(|| {
            let other = std::thread::spawn(|| numbers().f_double_value(&[0]).unwrap());
            assert_eq!(other.join().unwrap(), 0.0);
        });
        assert_eq!(found, []);
    }
}
