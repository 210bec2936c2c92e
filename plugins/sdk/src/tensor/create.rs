//! New tensors, lists in and out, dtypes and gradients.

use super::{Dtype, Tensor, host};

impl Tensor {
    /// Zeros of `shape`.
    pub fn zeros(shape: &[i64], dtype: Dtype) -> Tensor {
        Tensor(host::Tensor::zeros(shape, dtype))
    }

    /// Ones of `shape`.
    pub fn ones(shape: &[i64], dtype: Dtype) -> Tensor {
        Tensor(host::Tensor::ones(shape, dtype))
    }

    /// Floats of `shape`, all equal to `value`.
    pub fn full(shape: &[i64], value: f64) -> Tensor {
        Tensor(host::Tensor::full(shape, value))
    }

    /// Integers `start`, `start + 1`, ..., `end - 1`.
    pub fn arange(start: i64, end: i64) -> Tensor {
        Tensor(host::Tensor::arange(start, end))
    }

    /// `count` floats from `start` to `end`, both included, evenly spaced.
    pub fn linspace(start: f64, end: f64, count: i64) -> Tensor {
        Tensor(host::Tensor::linspace(start, end, count))
    }

    /// Identity matrix, `size` x `size`, float.
    pub fn eye(size: i64) -> Tensor {
        Tensor(host::Tensor::eye(size))
    }

    /// Zeros with the shape and dtype of this tensor.
    pub fn zeros_like(&self) -> Tensor {
        Tensor(self.0.zeros_like())
    }

    /// Ones with the shape and dtype of this tensor.
    pub fn ones_like(&self) -> Tensor {
        Tensor(self.0.ones_like())
    }

    /// Floats from 32-bit data in row-major order.
    pub fn from_floats(data: &[f32], shape: &[i64]) -> Tensor {
        Tensor(host::Tensor::from_floats(data, shape))
    }

    /// Floats from 64-bit data in row-major order.
    pub fn from_doubles(data: &[f64], shape: &[i64]) -> Tensor {
        Tensor(host::Tensor::from_doubles(data, shape))
    }

    /// Integers in row-major order.
    pub fn from_integers(data: &[i64], shape: &[i64]) -> Tensor {
        Tensor(host::Tensor::from_integers(data, shape))
    }

    /// All elements in row-major order as 32-bit floats. Waits for the device; not differentiable.
    pub fn to_floats(&self) -> Vec<f32> {
        self.0.to_floats()
    }

    /// All elements in row-major order as 64-bit floats. Waits for the device; not differentiable.
    pub fn to_doubles(&self) -> Vec<f64> {
        self.0.to_doubles()
    }

    /// All elements in row-major order, truncated to integers. Waits for the device; not differentiable.
    pub fn to_integers(&self) -> Vec<i64> {
        self.0.to_integers()
    }

    /// The one element of a tensor with one element. Waits for the device; not differentiable.
    pub fn item(&self) -> f64 {
        self.0.item()
    }

    /// What the elements are.
    pub fn dtype(&self) -> Dtype {
        self.0.dtype()
    }

    /// The same elements in another dtype. Differentiable from float to float only.
    pub fn to_dtype(&self, dtype: Dtype) -> Tensor {
        Tensor(self.0.to_dtype(dtype))
    }

    /// As floats; a mask becomes 0 and 1.
    pub fn to_float(&self) -> Tensor {
        self.to_dtype(Dtype::Float)
    }

    /// Whether a gradient flows through this tensor.
    pub fn requires_grad(&self) -> bool {
        self.0.requires_grad()
    }

    /// The same values without history: no gradient flows through the result.
    pub fn detach(&self) -> Tensor {
        Tensor(self.0.detach())
    }

    /// Derivatives of the sum of `self` with respect to each of `inputs`, with their shapes and without history.
    pub fn gradient(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        let inputs: Vec<_> = inputs.iter().map(|input| &input.0).collect();
        host::Tensor::gradient(&self.0, &inputs).into_iter().map(Tensor).collect()
    }

    /// This scalar with derivatives of your own: the one with respect to `input` is `gradient`, for each pair
    /// (`input`, `gradient`) of equal shapes. Value and gradients are taken as constants.
    pub fn with_gradients(&self, gradients: &[(&Tensor, &Tensor)]) -> Tensor {
        let (inputs, gradients): (Vec<_>, Vec<_>) =
            gradients.iter().map(|(input, gradient)| (&input.0, &gradient.0)).unzip();
        Tensor(host::Tensor::with_gradients(&self.0, &inputs, &gradients))
    }
}
