//! Element-wise functions, and functions along one dimension that keep the shape.

use super::{Tensor, methods};

methods! {
    /// Absolute value; gradient 0 at 0.
    abs();
    /// -1, 0 or 1. The gradient is 0 everywhere.
    sign();
    /// e to the power `self`.
    exp();
    /// `exp(self) - 1`, exact near 0.
    expm1();
    /// Natural logarithm.
    log();
    /// `log(1 + self)`, exact near 0.
    log1p();
    /// Square root. The gradient at 0 is infinite; see [`safe_sqrt`](Self::safe_sqrt).
    sqrt();
    /// Square root of `max(self, 0)` with gradient 0 where `self <= 0`.
    safe_sqrt();
    /// `1 / sqrt(self)`.
    rsqrt();
    /// `self * self`.
    square();
    /// `1 / self`.
    reciprocal();
    /// Sine, of radians.
    sin();
    /// Cosine, of radians.
    cos();
    /// Tangent, of radians.
    tan();
    /// Inverse sine, in radians. The gradient at -1 and 1 is infinite.
    asin();
    /// Inverse cosine, in radians. The gradient at -1 and 1 is infinite.
    acos();
    /// Inverse tangent, in radians.
    atan();
    /// Hyperbolic tangent.
    tanh();
    /// Hyperbolic sine.
    sinh();
    /// Hyperbolic cosine.
    cosh();
    /// Inverse hyperbolic sine.
    asinh();
    /// Inverse hyperbolic cosine, of values from 1 on. The gradient at 1 is infinite.
    acosh();
    /// Inverse hyperbolic tangent, of values between -1 and 1, where it is infinite.
    atanh();
    /// `1 / (1 + exp(-self))`.
    sigmoid();
    /// `log(sigmoid(self))`, exact for large values.
    log_sigmoid();
    /// `max(self, 0)`; gradient 0 at 0. The hinge of metric learning.
    relu();
    /// `log(1 + exp(beta * self)) / beta`, for `beta` above 0.
    softplus(beta: f64);
    /// Error function.
    erf();
    /// Largest whole number not above. The gradient is 0 everywhere.
    floor();
    /// Smallest whole number not below. The gradient is 0 everywhere.
    ceil();
    /// Nearest whole number, halves to even. The gradient is 0 everywhere.
    round();
    /// Softmax along `dim`.
    softmax(dim: i64);
    /// Logarithm of the softmax along `dim`, without overflow.
    log_softmax(dim: i64);
    /// Running sum along `dim`, inclusive.
    cumsum(dim: i64);
    /// Divides by the `p`-norm along `dim`, floored at 1e-12.
    normalize(p: f64, dim: i64);
    /// Reverses the order along each of `dims`.
    flip(dims: &[i64]);
}

impl Tensor {
    /// Limits the values from below; where that acts the gradient is 0.
    pub fn at_least(&self, minimum: f64) -> Tensor {
        Tensor(self.0.clamp(Some(minimum), None))
    }

    /// Limits the values from above; where that acts the gradient is 0.
    pub fn at_most(&self, maximum: f64) -> Tensor {
        Tensor(self.0.clamp(None, Some(maximum)))
    }

    /// Limits the values from below and above; where that acts the gradient is 0.
    pub fn clamp(&self, minimum: f64, maximum: f64) -> Tensor {
        Tensor(self.0.clamp(Some(minimum), Some(maximum)))
    }

    /// Smooth L1 of `self - other`: `d^2 / (2 beta)` for `|d| < beta`, else `|d| - beta / 2`; `beta` above 0.
    pub fn smooth_l1(&self, other: &Tensor, beta: f64) -> Tensor {
        Tensor(self.0.smooth_l1(&other.0, beta))
    }

    /// `log(1 + exp(self))`, exact for large values.
    pub fn log1p_exp(&self) -> Tensor {
        -(-self).log_sigmoid()
    }
}
