//! Functions of each element of some rows, in the widest registers that the processor has.

use multiversion::multiversion;

use super::reduce::Reduce;
use super::{Operand, Real};
use crate::graph::{Binary, Unary};

/// The functions for one type of numbers.
pub trait Kernels: Reduce {
    /// `out = op(x)` for rows of so many columns.
    fn unary(op: Unary, x: Operand<'_, Self>, out: &mut [Self], columns: usize);
    /// `out = op(a, b)` for rows of so many columns.
    fn binary(op: Binary, a: Operand<'_, Self>, b: Operand<'_, Self>, out: &mut [Self], columns: usize);
    /// `out = a` where the mask is not 0, else `b`.
    fn choose(mask: Operand<'_, Self>, a: Operand<'_, Self>, b: Operand<'_, Self>, out: &mut [Self], columns: usize);
    /// `sum += x`.
    fn add_to(sum: &mut [Self], x: &[Self]);
}

macro_rules! kernels {
    ($t:ident, $module:ident) => {
        mod $module {
            use super::*;

            #[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw", "x86_64+avx2"))]
            pub(super) fn unary(op: Unary, x: Operand<'_, $t>, out: &mut [$t], columns: usize) {
                plain_unary(op, x, out, columns);
            }

            #[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw", "x86_64+avx2"))]
            pub(super) fn binary(op: Binary, a: Operand<'_, $t>, b: Operand<'_, $t>, out: &mut [$t], columns: usize) {
                plain_binary(op, a, b, out, columns);
            }

            #[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw", "x86_64+avx2"))]
            pub(super) fn choose(
                mask: Operand<'_, $t>,
                a: Operand<'_, $t>,
                b: Operand<'_, $t>,
                out: &mut [$t],
                columns: usize,
            ) {
                plain_choose(mask, a, b, out, columns);
            }

            #[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw", "x86_64+avx2"))]
            pub(super) fn add_to(sum: &mut [$t], x: &[$t]) {
                for (sum, &x) in sum.iter_mut().zip(x) {
                    *sum += x;
                }
            }
        }

        impl Kernels for $t {
            fn unary(op: Unary, x: Operand<'_, $t>, out: &mut [$t], columns: usize) {
                $module::unary(op, x, out, columns);
            }
            fn binary(op: Binary, a: Operand<'_, $t>, b: Operand<'_, $t>, out: &mut [$t], columns: usize) {
                $module::binary(op, a, b, out, columns);
            }
            fn choose(mask: Operand<'_, $t>, a: Operand<'_, $t>, b: Operand<'_, $t>, out: &mut [$t], columns: usize) {
                $module::choose(mask, a, b, out, columns);
            }
            fn add_to(sum: &mut [$t], x: &[$t]) {
                $module::add_to(sum, x);
            }
        }
    };
}

kernels!(f32, single);
kernels!(f64, double);

#[inline(always)]
fn truth<T: Real>(holds: bool) -> T {
    if holds { T::ONE } else { T::ZERO }
}

#[inline(always)]
fn plain_unary<T: Real>(op: Unary, x: Operand<'_, T>, out: &mut [T], columns: usize) {
    match op {
        Unary::Neg => each(x, out, columns, |x| -x),
        Unary::Abs => each(x, out, columns, T::abs),
        Unary::Sign => each(x, out, columns, T::sign),
        Unary::Exp => each(x, out, columns, T::exp),
        Unary::Expm1 => each(x, out, columns, T::exp_m1),
        Unary::Log => each(x, out, columns, T::ln),
        Unary::Log1p => each(x, out, columns, T::ln_1p),
        Unary::Sqrt => each(x, out, columns, T::sqrt),
        Unary::Reciprocal => each(x, out, columns, T::recip),
        Unary::Tanh => each(x, out, columns, T::tanh),
        Unary::Sigmoid => each(x, out, columns, T::sigmoid),
        Unary::LogSigmoid => each(x, out, columns, T::log_sigmoid),
        Unary::Sin => each(x, out, columns, T::sin),
        Unary::Cos => each(x, out, columns, T::cos),
        Unary::Tan => each(x, out, columns, T::tan),
        Unary::Asin => each(x, out, columns, T::asin),
        Unary::Acos => each(x, out, columns, T::acos),
        Unary::Atan => each(x, out, columns, T::atan),
        Unary::Sinh => each(x, out, columns, T::sinh),
        Unary::Cosh => each(x, out, columns, T::cosh),
        Unary::Asinh => each(x, out, columns, T::asinh),
        Unary::Acosh => each(x, out, columns, T::acosh),
        Unary::Atanh => each(x, out, columns, T::atanh),
        Unary::Erf => each(x, out, columns, T::erf),
        Unary::Floor => each(x, out, columns, T::floor),
        Unary::Ceil => each(x, out, columns, T::ceil),
        Unary::Round => each(x, out, columns, T::round),
        Unary::IsFinite => each(x, out, columns, |x| truth(x.abs() < T::INFINITY)),
        Unary::Not => each(x, out, columns, |x| truth(x == T::ZERO)),
        Unary::Stop | Unary::Copy => each(x, out, columns, |x| x),
    }
}

#[inline(always)]
fn plain_binary<T: Real>(op: Binary, a: Operand<'_, T>, b: Operand<'_, T>, out: &mut [T], columns: usize) {
    match op {
        Binary::Add => both(a, b, out, columns, |a, b| a + b),
        Binary::Sub => both(a, b, out, columns, |a, b| a - b),
        Binary::Mul => both(a, b, out, columns, |a, b| a * b),
        Binary::Div => both(a, b, out, columns, |a, b| a / b),
        Binary::Pow => both(a, b, out, columns, T::powf),
        Binary::Minimum => both(a, b, out, columns, T::minimum),
        Binary::Maximum => both(a, b, out, columns, T::maximum),
        Binary::Eq => both(a, b, out, columns, |a, b| truth(a == b)),
        Binary::Ne => both(a, b, out, columns, |a, b| truth(a != b)),
        Binary::Lt => both(a, b, out, columns, |a, b| truth(a < b)),
        Binary::Le => both(a, b, out, columns, |a, b| truth(a <= b)),
        Binary::Gt => both(a, b, out, columns, |a, b| truth(a > b)),
        Binary::Ge => both(a, b, out, columns, |a, b| truth(a >= b)),
        Binary::And => both(a, b, out, columns, |a, b| truth((a != T::ZERO) & (b != T::ZERO))),
        Binary::Or => both(a, b, out, columns, |a, b| truth((a != T::ZERO) | (b != T::ZERO))),
        Binary::Xor => both(a, b, out, columns, |a, b| truth((a != T::ZERO) ^ (b != T::ZERO))),
    }
}

#[inline(always)]
fn plain_choose<T: Real>(mask: Operand<'_, T>, a: Operand<'_, T>, b: Operand<'_, T>, out: &mut [T], columns: usize) {
    // In two steps: what is chosen is put over the other.
    each(b, out, columns, |b| b);
    match (mask, a) {
        (Operand::Full(mask), Operand::Full(a)) => {
            for ((out, &mask), &a) in out.iter_mut().zip(mask).zip(a) {
                *out = if mask != T::ZERO { a } else { *out };
            }
        }
        (Operand::Full(mask), Operand::One(a)) => {
            for (out, &mask) in out.iter_mut().zip(mask) {
                *out = if mask != T::ZERO { a } else { *out };
            }
        }
        (mask, a) => {
            for (row, out) in out.chunks_exact_mut(columns).enumerate() {
                match (of_row(mask, row, columns), of_row(a, row, columns)) {
                    (InRow::Each(mask), InRow::Each(a)) => {
                        for ((out, &mask), &a) in out.iter_mut().zip(mask).zip(a) {
                            *out = if mask != T::ZERO { a } else { *out };
                        }
                    }
                    (InRow::Each(mask), InRow::One(a)) => {
                        for (out, &mask) in out.iter_mut().zip(mask) {
                            *out = if mask != T::ZERO { a } else { *out };
                        }
                    }
                    (InRow::One(mask), a) => {
                        if mask != T::ZERO {
                            match a {
                                InRow::Each(a) => out.copy_from_slice(a),
                                InRow::One(a) => out.fill(a),
                            }
                        }
                    }
                }
            }
        }
    }
}

/// An operand in one row.
#[derive(Clone, Copy)]
enum InRow<'a, T> {
    Each(&'a [T]),
    One(T),
}

#[inline(always)]
fn of_row<T: Real>(operand: Operand<'_, T>, row: usize, columns: usize) -> InRow<'_, T> {
    match operand {
        Operand::Full(values) => InRow::Each(&values[row * columns..(row + 1) * columns]),
        Operand::Column(values) => InRow::Each(&values[..columns]),
        Operand::Row(values) => InRow::One(values[row]),
        Operand::One(value) => InRow::One(value),
    }
}

/// The closure is inlined into each loop, with what the caller is compiled for.
#[inline(always)]
fn each<T: Real>(x: Operand<'_, T>, out: &mut [T], columns: usize, f: impl Fn(T) -> T + Copy) {
    match x {
        Operand::Full(x) => {
            for (out, &x) in out.iter_mut().zip(x) {
                *out = f(x);
            }
        }
        Operand::One(x) => out.fill(f(x)),
        Operand::Column(x) => {
            for out in out.chunks_exact_mut(columns) {
                for (out, &x) in out.iter_mut().zip(x) {
                    *out = f(x);
                }
            }
        }
        Operand::Row(x) => {
            for (out, &x) in out.chunks_exact_mut(columns).zip(x) {
                out.fill(f(x));
            }
        }
    }
}

#[inline(always)]
fn both<T: Real>(a: Operand<'_, T>, b: Operand<'_, T>, out: &mut [T], columns: usize, f: impl Fn(T, T) -> T + Copy) {
    match (a, b) {
        (Operand::Full(a), Operand::Full(b)) => {
            for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                *out = f(a, b);
            }
        }
        (Operand::Full(a), Operand::One(b)) => {
            for (out, &a) in out.iter_mut().zip(a) {
                *out = f(a, b);
            }
        }
        (Operand::One(a), Operand::Full(b)) => {
            for (out, &b) in out.iter_mut().zip(b) {
                *out = f(a, b);
            }
        }
        (a, b) => {
            for (row, out) in out.chunks_exact_mut(columns).enumerate() {
                match (of_row(a, row, columns), of_row(b, row, columns)) {
                    (InRow::Each(a), InRow::Each(b)) => {
                        for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                            *out = f(a, b);
                        }
                    }
                    (InRow::Each(a), InRow::One(b)) => {
                        for (out, &a) in out.iter_mut().zip(a) {
                            *out = f(a, b);
                        }
                    }
                    (InRow::One(a), InRow::Each(b)) => {
                        for (out, &b) in out.iter_mut().zip(b) {
                            *out = f(a, b);
                        }
                    }
                    (InRow::One(a), InRow::One(b)) => out.fill(f(a, b)),
                }
            }
        }
    }
}
