//! libtorch's matrix products and threads.

use lossmith_program::{Backend, Kernels, Multiply};
use lossmith_torch_shim::{MatrixProduct, Product, parallel};

/// A type of numbers that programs have.
pub(super) trait Number: Kernels + Product {}

impl Number for f32 {}
impl Number for f64 {}

/// libtorch.
pub(super) struct Torch;

impl<T: Number> Backend<T> for Torch {
    fn multiply(&self, product: &Multiply, a: &[T], b: &[T], c: &mut [T]) {
        let &Multiply { rows, columns, inner, a_leading, a_transposed, b_leading, b_transposed, add } = product;
        let product = MatrixProduct { rows, columns, inner, a_leading, a_transposed, b_leading, b_transposed, add };
        T::multiply(&product, a, b, c);
    }

    fn parallel(&self, jobs: usize, job: &(dyn Fn(usize) + Sync)) {
        if parallel(jobs, job).is_err() {
            // Only for want of memory.
            (0..jobs).for_each(job);
        }
    }
}
