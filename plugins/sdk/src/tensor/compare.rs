//! Comparisons and masks. Masks are boolean tensors, not differentiable.

use super::{Operand, Tensor};

macro_rules! comparisons {
    ($($(#[doc = $about:literal])+ $method:ident, $with_number:ident;)*) => {
        impl Tensor {
            $(
                $(#[doc = $about])+
                pub fn $method<'a>(&self, other: impl Into<Operand<'a>>) -> Tensor {
                    Tensor(match other.into() {
                        Operand::Tensor(other) => self.0.$method(&other.0),
                        Operand::Number(other) => self.0.$with_number(other),
                    })
                }
            )*
        }
    };
}

comparisons! {
    /// Where `self == other`.
    eq, eq_scalar;
    /// Where `self != other`.
    ne, ne_scalar;
    /// Where `self < other`.
    lt, lt_scalar;
    /// Where `self <= other`.
    le, le_scalar;
    /// Where `self > other`.
    gt, gt_scalar;
    /// Where `self >= other`.
    ge, ge_scalar;
}

impl Tensor {
    /// Where both are true.
    pub fn logical_and(&self, other: &Tensor) -> Tensor {
        Tensor(self.0.logical_and(&other.0))
    }

    /// Where at least one is true.
    pub fn logical_or(&self, other: &Tensor) -> Tensor {
        Tensor(self.0.logical_or(&other.0))
    }

    /// Where exactly one is true.
    pub fn logical_xor(&self, other: &Tensor) -> Tensor {
        Tensor(self.0.logical_xor(&other.0))
    }

    /// Where `self` is false or 0.
    pub fn logical_not(&self) -> Tensor {
        Tensor(self.0.logical_not())
    }

    /// Where the value is neither infinite nor NaN.
    pub fn is_finite(&self) -> Tensor {
        Tensor(self.0.is_finite())
    }

    /// This mask chooses: `a` where it is true, `b` elsewhere. The gradient of the side not chosen is 0.
    pub fn where_(&self, a: &Tensor, b: &Tensor) -> Tensor {
        Tensor(self.0.where_(&a.0, &b.0))
    }

    /// `value` where `mask` is true, `self` elsewhere.
    pub fn masked_fill(&self, mask: &Tensor, value: f64) -> Tensor {
        Tensor(self.0.masked_fill(&mask.0, value))
    }
}
