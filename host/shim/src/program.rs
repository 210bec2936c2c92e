//! What a program of several operations needs of libtorch: its numbers as slices, matrix products, threads, and a place
//! in the graph of gradients.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;

use crate::bridge::ffi::{self, MatrixProduct, PlacedTensor, TensorPointer};
use crate::{error, owned, pointer};
use tch::kind::Element;
use tch::{Device, TchError, Tensor};

/// A matrix product of numbers in memory, row after row.
pub trait Product: Element + Copy + 'static {
    /// `c = a * b`, or `c += a * b`, on the thread that calls it.
    ///
    /// # Panics
    /// If a slice is too short.
    fn multiply(product: &MatrixProduct, a: &[Self], b: &[Self], c: &mut [Self]);
}

/// Whether slices of these lengths have all that a product reads and writes.
fn holds(product: &MatrixProduct, a: usize, b: usize, c: usize) -> bool {
    let last = |rows: usize, columns: usize, leading: usize, transposed: bool| {
        let (rows, columns) = if transposed { (columns, rows) } else { (rows, columns) };
        let fits = columns <= leading && i32::try_from(leading.max(rows)).is_ok();
        if rows == 0 || columns == 0 { Some(0) } else { fits.then_some((rows - 1) * leading + columns) }
    };
    let MatrixProduct { rows, columns, inner, .. } = *product;
    let left = last(rows, inner, product.a_leading, product.a_transposed);
    let right = last(inner, columns, product.b_leading, product.b_transposed);
    left.is_some_and(|left| left <= a) && right.is_some_and(|right| right <= b) && rows * columns <= c
}

macro_rules! product {
    ($t:ident, $function:ident) => {
        impl Product for $t {
            fn multiply(product: &MatrixProduct, a: &[Self], b: &[Self], c: &mut [Self]) {
                assert!(holds(product, a.len(), b.len(), c.len()), "a matrix is not in its slice: {product:?}");
                ffi::$function(product, a, b, c);
            }
        }
    };
}

product!(f32, multiply_single);
product!(f64, multiply_double);

/// Jobs of one kind, by their numbers.
pub(crate) struct Jobs<'a> {
    job: &'a (dyn Fn(usize) + Sync),
    panic: Mutex<Option<Box<dyn std::any::Any + Send>>>,
}

impl Jobs<'_> {
    pub(crate) fn run(&self, number: usize) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (self.job)(number)))
            && let Ok(mut first) = self.panic.lock()
        {
            first.get_or_insert(panic);
        }
    }
}

/// Calls `job` with each number below `jobs`, on libtorch's threads.
///
/// # Errors
/// What libtorch says.
pub fn parallel(jobs: usize, job: &(dyn Fn(usize) + Sync)) -> Result<(), TchError> {
    let all = Jobs { job, panic: Mutex::default() };
    ffi::parallel(jobs, &all).map_err(error)?;
    // As if there were no threads.
    match all.panic.into_inner().ok().flatten() {
        Some(panic) => resume_unwind(panic),
        None => Ok(()),
    }
}

/// The elements of a tensor of this type that lies contiguous in the CPU's memory; none of any other.
#[must_use]
pub fn elements<T: Element>(tensor: &Tensor) -> Option<&[T]> {
    lies(tensor, T::KIND).then(|| match tensor.numel() {
        0 => &[][..],
        // SAFETY: so many elements of this type lie there, as long as the tensor lives. libtorch changes the elements
        // of a tensor in place only on behalf of somebody who has it, and who has this reference does not.
        count => unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), count) },
    })
}

/// As [`elements`], to write them. Of a tensor that was just made.
#[must_use]
pub fn elements_mut<T: Element>(tensor: &mut Tensor) -> Option<&mut [T]> {
    lies(tensor, T::KIND).then(|| match tensor.numel() {
        0 => &mut [][..],
        // SAFETY: as `elements`; nobody else has a reference to the tensor.
        count => unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), count) },
    })
}

fn lies(tensor: &Tensor, kind: tch::Kind) -> bool {
    tensor.device() == Device::Cpu && tensor.kind() == kind && tensor.is_contiguous()
}

/// The gradient of a program.
pub trait Gradient: Send {
    /// The gradients of inputs, each with its place, of those of the outputs; none stands for zeros.
    ///
    /// # Errors
    /// What went wrong.
    fn gradients(&self, inputs: &[Tensor], given: &[Option<Tensor>]) -> Result<Vec<(usize, Tensor)>, TchError>;

    /// Nothing will be asked any more: what is kept for it can go.
    fn release(&self);
}

/// A gradient as C++ has it.
pub(crate) struct GradientFunction(Box<dyn Gradient>);

impl GradientFunction {
    pub(crate) fn gradients(
        &self,
        inputs: &[TensorPointer],
        given: &[TensorPointer],
    ) -> Result<Vec<PlacedTensor>, TchError> {
        let tensor = |pointer: &TensorPointer| {
            // SAFETY: C++ passes tensors that live until this returns, or null.
            unsafe { pointer.tensor.as_ref() }.map(|tensor| owned(ffi::share(tensor)))
        };
        let inputs: Vec<Tensor> = inputs.iter().filter_map(tensor).collect();
        let given: Vec<Option<Tensor>> = given.iter().map(tensor).collect();
        // A panic must not meet C++.
        let made = catch_unwind(AssertUnwindSafe(|| self.0.gradients(&inputs, &given)))
            .unwrap_or_else(|_| Err(TchError::Torch("the gradient of a program failed".into())))?;
        let placed = made.into_iter().map(|(place, tensor)| {
            // SAFETY: the tensor lives until the line is over.
            let shared = unsafe { pointer(&tensor).as_ref() }.map(ffi::share);
            shared.map(|tensor| PlacedTensor { place, tensor })
        });
        Ok(placed.flatten().collect())
    }

    pub(crate) fn release(&self) {
        self.0.release();
    }
}

/// Puts outputs, which were just made of `inputs`, into the graph of gradients.
///
/// # Errors
/// What libtorch says.
pub fn set_gradient(inputs: &[&Tensor], outputs: &[&Tensor], gradient: Box<dyn Gradient>) -> Result<(), TchError> {
    let pointers = |tensors: &[&Tensor]| -> Vec<TensorPointer> {
        tensors.iter().map(|tensor| TensorPointer { tensor: pointer(tensor) }).collect()
    };
    let (inputs, outputs) = (pointers(inputs), pointers(outputs));
    ffi::set_gradient(&inputs, &outputs, Box::new(GradientFunction(gradient))).map_err(error)
}
