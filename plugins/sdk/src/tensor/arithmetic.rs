//! `+`, `-`, `*`, `/` between tensors and numbers (`f64`, `&f64`, `i64`), and unary `-`.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::Tensor;

/// A tensor or a number, where an operation takes either.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// A tensor.
    Tensor(&'a Tensor),
    /// A number.
    Number(f64),
}

impl<'a> From<&'a Tensor> for Operand<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        Self::Tensor(tensor)
    }
}

impl From<&f64> for Operand<'_> {
    fn from(number: &f64) -> Self {
        Self::Number(*number)
    }
}

impl From<i64> for Operand<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number as f64)
    }
}

impl From<f64> for Operand<'_> {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident, $by_number:ident, |$number:ident, $tensor:ident| $number_first:expr) => {
        impl $trait<&Tensor> for &Tensor {
            type Output = Tensor;
            fn $method(self, other: &Tensor) -> Tensor {
                Tensor(self.0.$method(&other.0))
            }
        }
        impl $trait<Tensor> for &Tensor {
            type Output = Tensor;
            fn $method(self, other: Tensor) -> Tensor {
                $trait::$method(self, &other)
            }
        }
        impl $trait<&Tensor> for Tensor {
            type Output = Tensor;
            fn $method(self, other: &Tensor) -> Tensor {
                $trait::$method(&self, other)
            }
        }
        impl $trait<Tensor> for Tensor {
            type Output = Tensor;
            fn $method(self, other: Tensor) -> Tensor {
                $trait::$method(&self, &other)
            }
        }
        impl $trait<f64> for &Tensor {
            type Output = Tensor;
            fn $method(self, number: f64) -> Tensor {
                Tensor(self.0.$by_number(number))
            }
        }
        impl $trait<f64> for Tensor {
            type Output = Tensor;
            fn $method(self, number: f64) -> Tensor {
                $trait::$method(&self, number)
            }
        }
        impl $trait<&Tensor> for f64 {
            type Output = Tensor;
            fn $method(self, tensor: &Tensor) -> Tensor {
                let ($number, $tensor) = (self, &tensor.0);
                Tensor($number_first)
            }
        }
        operator!(@numbers $trait, $method, f64, |number| number, Tensor);
        operator!(@numbers $trait, $method, &f64, |number| *number, Tensor, &Tensor);
        operator!(@numbers $trait, $method, i64, |number| number as f64, Tensor, &Tensor);
        operator!(@right $trait, $method, &f64, |number| *number);
        operator!(@right $trait, $method, i64, |number| number as f64);
    };
    // A number of another type on the left of each of the tensors.
    (@numbers $trait:ident, $method:ident, $number:ty, |$given:ident| $as_float:expr, $($tensor:ty),+) => {
        $(impl $trait<$tensor> for $number {
            type Output = Tensor;
            fn $method(self, tensor: $tensor) -> Tensor {
                let $given = self;
                let number: f64 = $as_float;
                let tensor: &Tensor = std::borrow::Borrow::borrow(&tensor);
                $trait::$method(number, tensor)
            }
        })+
    };
    // On the right.
    (@right $trait:ident, $method:ident, $number:ty, |$given:ident| $as_float:expr) => {
        impl $trait<$number> for &Tensor {
            type Output = Tensor;
            fn $method(self, $given: $number) -> Tensor {
                let number: f64 = $as_float;
                $trait::$method(self, number)
            }
        }
        impl $trait<$number> for Tensor {
            type Output = Tensor;
            fn $method(self, number: $number) -> Tensor {
                $trait::$method(&self, number)
            }
        }
    };
}

operator!(Add, add, add_scalar, |number, tensor| tensor.add_scalar(number));
operator!(Sub, sub, sub_scalar, |number, tensor| tensor.rsub_scalar(number));
operator!(Mul, mul, mul_scalar, |number, tensor| tensor.mul_scalar(number));
operator!(Div, div, div_scalar, |number, tensor| tensor.rdiv_scalar(number));

impl Neg for &Tensor {
    type Output = Tensor;
    fn neg(self) -> Tensor {
        Tensor(self.0.neg())
    }
}

impl Neg for Tensor {
    type Output = Tensor;
    fn neg(self) -> Tensor {
        -&self
    }
}

impl Tensor {
    /// `self` to the power `exponent`.
    pub fn pow<'a>(&self, exponent: impl Into<Operand<'a>>) -> Tensor {
        Tensor(match exponent.into() {
            Operand::Tensor(exponent) => self.0.pow(&exponent.0),
            Operand::Number(exponent) => self.0.pow_scalar(exponent),
        })
    }

    /// The smaller of the two, element-wise; at a tie the gradient is halved.
    pub fn minimum(&self, other: &Tensor) -> Tensor {
        Tensor(self.0.minimum(&other.0))
    }

    /// The larger of the two, element-wise; at a tie the gradient is halved.
    pub fn maximum(&self, other: &Tensor) -> Tensor {
        Tensor(self.0.maximum(&other.0))
    }
}
