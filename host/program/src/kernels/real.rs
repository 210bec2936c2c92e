//! Functions of single numbers that the compiler vectorises in a plain loop over slices.
//!
//! The frequent ones have no branch, no table and no call: a loop over them inside a function that is compiled for AVX2
//! or AVX-512 (see `apply`) works on whole registers. The rare ones, from `sin` on, call the standard library for each
//! element.
//!
//! A frequent function has the same bits for every instruction set (a NaN is a NaN; its payload is free): it is made of
//! additions, multiplications, divisions, square roots, comparisons and moves of bits, which IEEE 754 fixes, in the
//! order that is written here. So nothing here is a fused multiply-add: the compiler never makes one by itself, and
//! without FMA in the processor one is a call. The rare ones have the bits of the platform's mathematical library.
//!
//! The largest errors found, in units in the last place (ulp): in 32 bits over every third
//! pattern of bits (for `sigmoid`: every one) against the standard library in 64 bits, in 64 bits over 40,000 arguments
//! for each function against `scripts/functions/reference.py 40000 7`. `minimax.py` there computed the polynomials.
//!
//! | | exp | exp_m1 | ln | ln_1p | tanh | sigmoid | log_sigmoid | softplus |
//! |---|---|---|---|---|---|---|---|---|
//! | 32 bits | 1.04 | 1.34 | 0.84 | 0.84 | 1.42 | 1.97 | 1.68 | 1.69 |
//! | 64 bits | 0.91 | 1.15 | 0.75 | 0.74 | 1.41 | 1.76 | 1.46 | 1.42 |

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// `f32` or `f64`.
///
/// The types have methods of their own with the same names (`f32::exp`), which win where the type is known. In a
/// function that is generic over `Real` there is no choice; elsewhere write `Real::exp(x)`.
pub trait Real:
    Copy
    + Default
    + PartialOrd
    + Send
    + Sync
    + std::fmt::Debug
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Positive infinity.
    const INFINITY: Self;
    /// A quiet NaN.
    const NAN: Self;

    /// The nearest value of this type.
    fn from_f64(x: f64) -> Self;
    /// The same value in 64 bits.
    fn to_f64(self) -> f64;

    /// Whether this is NaN.
    #[inline(always)]
    #[expect(clippy::eq_op, reason = "NaN alone differs from itself")]
    fn nan(self) -> bool {
        self != self
    }
    /// The larger of both; NaN if either is. Of 0 and -0 it is `other`.
    #[inline(always)]
    fn maximum(self, other: Self) -> Self {
        // The first line is one instruction of x86-64, `other` if either is NaN.
        let larger = if self > other { self } else { other };
        if self.nan() { self } else { larger }
    }
    /// The smaller of both; NaN if either is. Of 0 and -0 it is `other`.
    #[inline(always)]
    fn minimum(self, other: Self) -> Self {
        let smaller = if self < other { self } else { other };
        if self.nan() { self } else { smaller }
    }

    /// The absolute value.
    fn abs(self) -> Self;
    /// -1, 0 or 1; 0 for -0 and for NaN, as libtorch.
    #[inline(always)]
    fn sign(self) -> Self {
        let positive = if self > Self::ZERO { Self::ONE } else { Self::ZERO };
        if self < Self::ZERO { -Self::ONE } else { positive }
    }
    /// `1 / self`, correctly rounded.
    #[inline(always)]
    fn recip(self) -> Self {
        Self::ONE / self
    }
    /// The square root, correctly rounded; NaN below 0.
    fn sqrt(self) -> Self;
    /// `1 / sqrt(self)`, each step rounded: at most 1 ulp off.
    #[inline(always)]
    fn rsqrt(self) -> Self {
        Self::ONE / Real::sqrt(self)
    }
    /// `e^self`. Results below the smallest normal number are subnormal numbers, not 0.
    fn exp(self) -> Self;
    /// `e^self - 1`, exact near 0.
    fn exp_m1(self) -> Self;
    /// The natural logarithm: -infinity at 0 and -0, NaN below.
    fn ln(self) -> Self;
    /// `ln(1 + self)`, exact near 0: -infinity at -1, NaN below.
    fn ln_1p(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// `1 / (1 + e^-self)`. Where `e^-self` is too large for the type, this is the subnormal result that is right, and
    /// libtorch has 0.
    fn sigmoid(self) -> Self;
    /// `ln(sigmoid(self))`, exact for large values on both sides.
    fn log_sigmoid(self) -> Self;
    /// `ln(1 + e^self)`, exact for large values on both sides. libtorch returns `self` above 20, where the difference
    /// is at most 2.1e-9.
    fn softplus(self) -> Self;

    /// The largest integer not above this. One instruction where there is SSE 4.1.
    fn floor(self) -> Self;
    /// The smallest integer not below this.
    fn ceil(self) -> Self;
    /// The nearest integer; the even one of two.
    fn round(self) -> Self;
    /// The integer part.
    fn trunc(self) -> Self;

    /// The sine of an angle in radians.
    fn sin(self) -> Self;
    /// The cosine of an angle in radians.
    fn cos(self) -> Self;
    /// The tangent of an angle in radians.
    fn tan(self) -> Self;
    /// The angle in radians, from -pi/2 to pi/2, whose sine this is.
    fn asin(self) -> Self;
    /// The angle in radians, from 0 to pi, whose cosine this is.
    fn acos(self) -> Self;
    /// The angle in radians, from -pi/2 to pi/2, whose tangent this is.
    fn atan(self) -> Self;
    /// The hyperbolic sine.
    fn sinh(self) -> Self;
    /// The hyperbolic cosine.
    fn cosh(self) -> Self;
    /// The inverse of the hyperbolic sine.
    fn asinh(self) -> Self;
    /// The inverse of the hyperbolic cosine; NaN below 1.
    fn acosh(self) -> Self;
    /// The inverse of the hyperbolic tangent; NaN outside -1 to 1.
    fn atanh(self) -> Self;
    /// The error function.
    fn erf(self) -> Self;
    /// `self^exponent`.
    fn powf(self, exponent: Self) -> Self;
}

/// `c0 + c1 x + x^2 (c2 + c3 x + x^2 (...))`: as many operations as by Horner's rule, in a chain that is half as long.
macro_rules! polynomial {
    ($x:expr, $square:expr, $last:expr) => { $last };
    ($x:expr, $square:expr, $first:expr, $second:expr) => { $first + $x * $second };
    ($x:expr, $square:expr, $first:expr, $second:expr, $($rest:expr),+) => {
        ($first + $x * $second) + $square * polynomial!($x, $square, $($rest),+)
    };
}

/// The same text for both types. Numbers that differ:
/// - `$bits`: the unsigned integer of the type's size; `$mantissa`: the bits of the stored mantissa; `$bias`: of the
///   exponent.
/// - `$exp_low`, `$exp_high`: below and above, `exp` is 0 and infinity.
/// - `$m1_low`: below, `exp_m1` is -1.
/// - `$tiny`: half an ulp of 1; for smaller values `exp_m1(x) = ln_1p(x) = x`.
/// - `$sqrt_half`: the bits of the square root of 1/2.
/// - `$ln2`: ln(2) in two parts, the first with so few bits that its product with any exponent is exact.
/// - `$exp`: `P` of `exp(r) = 1 + r + r^2 P(r)`, for `|r| <= ln(2) / 2`; error relative to `exp(r) - 1`: 2^-26.2 and
///   2^-55.6.
/// - `$ln`: `L` of `ln(1 + f) = f - f^2/2 + s (f^2/2 + w L(w))`, `s = f / (2 + f)`, `w = s^2`, for `1 + f` from the
///   square root of 1/2 to that of 2 (the form of fdlibm's `e_log.c`); relative error: 2^-30.2 and 2^-59.5.
macro_rules! real {
    (
        $t:ident, $bits:ident, $mantissa:literal, $bias:literal, $erf:path;
        $exp_low:literal, $exp_high:literal, $m1_low:literal, $tiny:expr, $sqrt_half:literal,
        ($ln2_high:literal, $ln2_low:literal), [$($exp:literal),+], [$($ln:literal),+]
    ) => {
        impl Parts for $t {
            type Bits = $bits;

            #[inline(always)]
            fn reduce(self) -> Reduced<$t> {
                // Adding 1.5 * 2^mantissa rounds to an integer, which is then in the lowest bits. A positive offset on
                // top spares the arithmetic shift, which AVX2 does not have in 64 bits.
                const OFFSET: $t = (2 * ($bias + 1)) as $t;
                const ROUND: $t = (3_u64 << ($mantissa - 1)) as $t + OFFSET;
                let rounded = self * std::$t::consts::LOG2_E + ROUND;
                let n = rounded - ROUND;
                let high = self - n * $ln2_high;
                let low = n * $ln2_low;
                let r = high - low;
                let square = r * r;
                let rest = square * polynomial!(r, square, $($exp),+);
                Reduced { r, lost: (high - r) - low, rest, n: rounded.to_bits() }
            }

            #[inline(always)]
            fn exp_m1_between(self) -> ($t, $t) {
                let Reduced { r, lost, rest, n } = self.reduce();
                // Half of the result, as 2^n can be too large. Its parts are 2^(n-1) - 1/2 and 2^(n-1) r, added with
                // what the addition loses: the first is the larger one, or 0.
                let scale = <$t>::from_bits(n.wrapping_sub(2 * ($bias + 1) + 1 - $bias) << $mantissa);
                let (first, second) = (scale - 0.5, scale * r);
                let sum = first + second;
                let rest = (second - (sum - first)) + scale * (rest + lost);
                (2.0 * sum, 2.0 * rest)
            }

            #[inline(always)]
            fn ln_sum(f: $t, exponent: $t, small: $t) -> $t {
                let s = f / (2.0 + f);
                let w = s * s;
                let half = 0.5 * f * f;
                let rest = s * (half + w * polynomial!(w, w * w, $($ln),+)) + (exponent * $ln2_low + small);
                exponent * $ln2_high + (f - (half - rest))
            }

            #[inline(always)]
            fn split(self) -> ($t, $t) {
                const ONE: $bits = ($bias as $bits) << $mantissa;
                // With these bits above, an integer below 2^mantissa is 2^mantissa + itself.
                const INTEGER: $bits = ($bias + $mantissa) << $mantissa;
                let bits = self.to_bits().wrapping_add(ONE - $sqrt_half);
                let exponent = <$t>::from_bits(INTEGER | (bits >> $mantissa)) - ((1_u64 << $mantissa) + $bias) as $t;
                let fraction = (bits & ((1 << $mantissa) - 1)).wrapping_add($sqrt_half);
                (<$t>::from_bits(fraction), exponent)
            }

            #[inline(always)]
            fn ln_1p_unit(self) -> $t {
                // Above sqrt(2) - 1: ln(2) + ln(1 + f) with 1 + f = (1 + self) / 2.
                let above = self > std::$t::consts::SQRT_2 - 1.0;
                let f = if above { 0.5 * (self - 1.0) } else { self };
                Self::ln_sum(f, if above { 1.0 } else { 0.0 }, 0.0)
            }
        }

        impl Real for $t {
            const ZERO: $t = 0.0;
            const ONE: $t = 1.0;
            const INFINITY: $t = <$t>::INFINITY;
            const NAN: $t = <$t>::NAN;

            #[inline(always)]
            fn from_f64(x: f64) -> $t {
                x as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            #[inline(always)]
            fn exp(self) -> $t {
                let above = if self > $exp_high { $exp_high } else { self };
                let x = if above < $exp_low { $exp_low } else { above };
                let Reduced { r, rest, n, .. } = x.reduce();
                // 2^n in two factors, as it can be too large, or too small to be normal; the second product alone
                // rounds.
                let half = n >> 1;
                let first = <$t>::from_bits(half.wrapping_sub(1) << $mantissa);
                let second = <$t>::from_bits(n.wrapping_sub(half).wrapping_sub(1) << $mantissa);
                (1.0 + (r + rest)) * first * second
            }

            #[inline(always)]
            fn exp_m1(self) -> $t {
                let above = if self > $exp_high { $exp_high } else { self };
                let x = if above < $m1_low { $m1_low } else { above };
                let (sum, rest) = x.exp_m1_between();
                let result = sum + rest;
                if <$t>::abs(self) < $tiny { self } else { result }
            }

            #[inline(always)]
            fn ln(self) -> $t {
                const UP: $t = (1_u64 << $mantissa) as $t;
                let subnormal = self < <$t>::MIN_POSITIVE;
                let (fraction, exponent) = (if subnormal { self * UP } else { self }).split();
                let exponent = if subnormal { exponent - $mantissa as $t } else { exponent };
                let result = Self::ln_sum(fraction - 1.0, exponent, 0.0);
                let finite = if self < <$t>::INFINITY { result } else { self };
                let below = if self == 0.0 { -<$t>::INFINITY } else { <$t>::NAN };
                if self > 0.0 { finite } else { below }
            }

            #[inline(always)]
            fn ln_1p(self) -> $t {
                let sum = 1.0 + self;
                // What the addition lost, which matters as long as the sum is near 1; near it, f is the argument
                // itself.
                let (large, small) = if self > 1.0 { (self, 1.0) } else { (1.0, self) };
                let lost = small - (sum - large);
                let (fraction, exponent) = sum.split();
                let near = exponent == 0.0;
                let f = if near { self } else { fraction - 1.0 };
                let result = Self::ln_sum(f, exponent, if near { 0.0 } else { lost / sum });
                let finite = if self < <$t>::INFINITY { result } else { self };
                let below = if self == -1.0 { -<$t>::INFINITY } else { <$t>::NAN };
                let defined = if self > -1.0 { finite } else { below };
                if <$t>::abs(self) < $tiny { self } else { defined }
            }

            #[inline(always)]
            fn tanh(self) -> $t {
                let x = -2.0 * <$t>::abs(self);
                let (sum, rest) = (if x < $m1_low { $m1_low } else { x }).exp_m1_between();
                // m / (2 + m), where each of m and 2 + m is a sum with what it loses.
                let m = sum + rest;
                let m_lost = rest - (m - sum);
                let divisor = 2.0 + m;
                let lost = (m - (divisor - 2.0)) + m_lost;
                let rounded = m / divisor;
                // Without the last term up to 2.3 ulp. 1 / divisor is (1 + tanh) / 2.
                let result = rounded + (m_lost - rounded * lost) * (0.5 - 0.5 * rounded);
                let result = if x > -$tiny { 0.5 * x } else { result };
                <$t>::copysign(result, self)
            }

            #[inline(always)]
            fn sigmoid(self) -> $t {
                let e = Real::exp(-<$t>::abs(self));
                let sum = 1.0 + e;
                let lost = e - (sum - 1.0);
                let rounded = (if self < 0.0 { e } else { 1.0 }) / sum;
                // Without the last term up to 2.3 ulp. 1 / sum, as near as that needs:
                let inverse = if self < 0.0 { 1.0 - rounded } else { rounded };
                rounded - rounded * (lost * inverse)
            }

            #[inline(always)]
            fn log_sigmoid(self) -> $t {
                let e = Real::exp(-<$t>::abs(self));
                (if self < 0.0 { self } else { 0.0 }) - e.ln_1p_unit()
            }

            #[inline(always)]
            fn softplus(self) -> $t {
                let e = Real::exp(-<$t>::abs(self));
                (if self > 0.0 { self } else { 0.0 }) + e.ln_1p_unit()
            }

            #[inline(always)]
            fn round(self) -> $t {
                self.round_ties_even()
            }
            #[inline(always)]
            fn erf(self) -> $t {
                $erf(self)
            }
            #[inline(always)]
            fn powf(self, exponent: $t) -> $t {
                <$t>::powf(self, exponent)
            }
            real! { of std: $t, abs sqrt floor ceil trunc sin cos tan asin acos atan sinh cosh asinh acosh atanh }
        }
    };
    (of std: $t:ident, $($function:ident)+) => {
        $(
            #[inline(always)]
            fn $function(self) -> $t {
                <$t>::$function(self)
            }
        )+
    };
}

/// What the functions share.
trait Parts: Sized {
    /// The unsigned integer of the same size.
    type Bits;

    /// `self = n ln(2) + r` with an integer n.
    fn reduce(self) -> Reduced<Self>;
    /// `e^self - 1` where neither is too large or too small: nothing is held back, and next to 0 bits are lost.
    fn exp_m1_between(self) -> (Self, Self);
    /// `ln(1 + f) + exponent ln(2) + small`, for `1 + f` from the square root of 1/2 to that of 2 and a `small` that is
    /// below an ulp.
    fn ln_sum(f: Self, exponent: Self, small: Self) -> Self;
    /// A positive normal number as `fraction 2^exponent`, the fraction from the square root of 1/2 to that of 2.
    fn split(self) -> (Self, Self);
    /// `ln(1 + self)` from 0 to 1.
    fn ln_1p_unit(self) -> Self;
}

/// The parts of `e^x`.
struct Reduced<T: Parts> {
    /// At most ln(2) / 2, and a rounding error more.
    r: T,
    /// What rounding took from `r`.
    lost: T,
    /// `e^r - 1 - r`.
    rest: T,
    /// n + 2 (bias + 1) in the lowest bits, more above: for shifts to the place of the exponent.
    n: T::Bits,
}

real! {
    f32, u32, 23, 127, libm::erff;
    -104.0, 89.0, -18.0, f32::EPSILON / 2.0, 0x3f35_04f3,
    (0.693_145_75, 1.428_606_8e-6),
    [0.5, 0.166_665_43, 0.041_666_28, 0.008_366_583, 0.001_394_644_8],
    [0.666_667_76, 0.399_775_6, 0.298_713_56]
}
real! {
    f64, u64, 52, 1023, libm::erf;
    -746.0, 710.0, -38.0, f64::EPSILON / 2.0, 0x3fe6_a09e_667f_3bcd,
    (0.693_147_180_559_890_3, 5.497_923_018_708_371e-14),
    [
        0.500_000_000_000_000_6, 0.166_666_666_666_666_85, 0.041_666_666_666_573_67, 0.008_333_333_333_314_605,
        0.001_388_888_893_236_742_2, 0.000_198_412_699_030_016_27, 2.480_150_445_730_24e-5, 2.755_722_797_914_780_5e-6,
        2.762_632_263_795_162_5e-7, 2.511_446_529_010_421_4e-8
    ],
    [
        0.666_666_666_666_673_4, 0.399_999_999_994_188_06, 0.285_714_287_416_256_7, 0.222_221_986_405_864_19,
        0.181_835_612_345_617_43, 0.153_141_214_756_451_57, 0.147_953_061_840_209_4
    ]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

    use super::Real;

    /// The functions whose error is measured: name, in 32 bits, in 64 bits, and the standard library's in 64 bits.
    type Function = (&'static str, fn(f32) -> f32, fn(f64) -> f64, fn(f64) -> f64);
    const FUNCTIONS: [Function; 8] = [
        ("exp", Real::exp, Real::exp, f64::exp),
        ("exp_m1", Real::exp_m1, Real::exp_m1, f64::exp_m1),
        ("ln", Real::ln, Real::ln, f64::ln),
        ("ln_1p", Real::ln_1p, Real::ln_1p, f64::ln_1p),
        ("tanh", Real::tanh, Real::tanh, f64::tanh),
        ("sigmoid", Real::sigmoid, Real::sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
        ("log_sigmoid", Real::log_sigmoid, Real::log_sigmoid, |x| x.min(0.0) - (-x.abs()).exp().ln_1p()),
        ("softplus", Real::softplus, Real::softplus, |x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
    ];

    /// The unit in the last place of the result in 32 bits.
    fn ulp_f32(x: f64) -> f64 {
        let x = (x as f32).abs().max(f32::MIN_POSITIVE);
        f64::from(f32::from_bits(x.to_bits() & 0x7f80_0000)) * f64::from(f32::EPSILON)
    }

    /// The unit in the last place of the result in 64 bits.
    fn ulp_f64(x: f64) -> f64 {
        f64::from_bits(x.abs().max(f64::MIN_POSITIVE).to_bits() & 0x7ff0_0000_0000_0000) * f64::EPSILON
    }

    /// Equal as numbers, with the sign of 0, and NaN equal to NaN.
    fn same<T: Real>(a: T, b: T) -> bool {
        let (a, b) = (a.to_f64(), b.to_f64());
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
    }

    #[test]
    fn errors_in_32_bits_are_below_2_ulp_for_arguments_of_every_size() {
        for (name, function, _, reference) in FUNCTIONS {
            // 4,001 is prime, so that the steps meet every pattern of the lowest bits. Infinities and NaNs are among
            // them.
            for bits in (0..=u32::MAX).step_by(4001) {
                let x = f32::from_bits(bits);
                let (y, right) = (function(x), reference(f64::from(x)));
                if (right as f32).is_finite() {
                    let error = (f64::from(y) - right).abs() / ulp_f32(right);
                    assert!(error <= 2.0, "{name}({x:e}) = {y:e} is {error} ulp off");
                } else {
                    assert!(same(y, right as f32), "{name}({x:e}) = {y:e} instead of {right:e}");
                }
            }
        }
    }

    #[test]
    fn errors_in_64_bits_are_below_2_ulp_against_a_reference_of_3000_bits() {
        let mut lines = 0;
        for line in include_str!("reference.txt").lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let [name, x, right, rest] = fields[..] else { panic!("{line}") };
            let number = |hex| f64::from_bits(u64::from_str_radix(hex, 16).unwrap());
            let (x, right, rest): (f64, f64, f64) = (number(x), number(right), rest.parse().unwrap());
            let function = FUNCTIONS.iter().find(|function| function.0 == name).unwrap().2;
            let error = ((function(x) - right) / ulp_f64(right) - rest).abs();
            assert!(error <= 2.0, "{name}({x:e}) = {:e} is {error} ulp off", function(x));
            lines += 1;
        }
        assert_eq!(lines, 8 * 24);
    }

    /// Arguments and results that must be exact.
    fn exact<T: Real>(smallest: f64, largest: f64, overflow: f64) {
        let number = T::from_f64;
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        type Cases<T> = (&'static str, fn(T) -> T, Vec<(f64, f64)>);
        let cases: [Cases<T>; 11] = [
            ("exp", T::exp, vec![(-inf, 0.0), (inf, inf), (0.0, 1.0), (-0.0, 1.0), (overflow, inf), (-largest, 0.0)]),
            ("exp_m1", T::exp_m1, vec![(-inf, -1.0), (inf, inf), (overflow, inf), (-largest, -1.0)]),
            (
                "ln",
                T::ln,
                vec![(0.0, -inf), (-0.0, -inf), (-1.0, nan), (-smallest, nan), (-inf, nan), (inf, inf), (1.0, 0.0)],
            ),
            ("ln_1p", T::ln_1p, vec![(-1.0, -inf), (-1.5, nan), (-inf, nan), (inf, inf)]),
            ("tanh", T::tanh, vec![(inf, 1.0), (-inf, -1.0), (largest, 1.0), (-largest, -1.0)]),
            ("sigmoid", T::sigmoid, vec![(inf, 1.0), (-inf, 0.0), (0.0, 0.5), (largest, 1.0), (-largest, 0.0)]),
            ("log_sigmoid", T::log_sigmoid, vec![(inf, 0.0), (-inf, -inf), (-largest, -largest)]),
            ("softplus", T::softplus, vec![(inf, inf), (-inf, 0.0), (largest, largest), (-largest, 0.0)]),
            ("sqrt", T::sqrt, vec![(0.0, 0.0), (-0.0, -0.0), (-1.0, nan), (inf, inf), (2.25, 1.5)]),
            ("rsqrt", T::rsqrt, vec![(0.0, inf), (-1.0, nan), (inf, 0.0), (4.0, 0.5)]),
            ("recip", T::recip, vec![(0.0, inf), (-0.0, -inf), (inf, 0.0), (-inf, -0.0), (4.0, 0.25)]),
        ];
        for (name, function, mut cases) in cases {
            cases.push((nan, nan));
            if ["exp_m1", "ln_1p", "tanh"].contains(&name) {
                cases.extend([0.0, -0.0, smallest, -smallest, 7.0 * smallest].map(|x| (x, x)));
            }
            for (x, y) in cases {
                let result = function(number(x));
                assert!(same(result, number(y)), "{name}({x:e}) = {result:?} instead of {y:e}");
            }
        }
    }

    #[test]
    fn special_values_are_exact() {
        exact::<f32>(f64::from(f32::from_bits(1)), f64::from(f32::MAX), 88.73);
        exact::<f64>(f64::from_bits(1), f64::MAX, 709.79);
    }

    #[test]
    fn the_largest_argument_without_overflow_has_a_finite_result() {
        // ln(f32::MAX) = 88.72283905... and ln(f64::MAX) = 709.782712893383996..., rounded down.
        for function in [<f32 as Real>::exp, <f32 as Real>::exp_m1] {
            assert!(function(88.722_83).is_finite());
        }
        for function in [<f64 as Real>::exp, <f64 as Real>::exp_m1] {
            assert!(function(709.782_712_893_383_9).is_finite());
        }
    }

    #[test]
    fn extremes_are_nan_where_either_is() {
        let numbers = [f64::NAN, 1.0, 2.0, f64::INFINITY, -f64::INFINITY];
        for a in numbers {
            for b in numbers {
                let nan = a.is_nan() || b.is_nan();
                assert!(same(Real::maximum(a, b), if nan { f64::NAN } else { f64::max(a, b) }), "{a} {b}");
                assert!(same(Real::minimum(a, b), if nan { f64::NAN } else { f64::min(a, b) }), "{a} {b}");
            }
        }
    }

    #[test]
    fn rounding_takes_the_even_one_of_two() {
        for (x, y) in [(0.5, 0.0), (1.5, 2.0), (2.5, 2.0), (-0.5, -0.0), (-1.5, -2.0), (0.7, 1.0)] {
            assert!(same(Real::round(x), y) && same(Real::round(x as f32), y as f32), "{x}");
        }
    }

    #[test]
    fn the_error_function_is_that_of_tables() {
        // Abramowitz and Stegun, table 7.1.
        for (x, y) in [(0.0, 0.0), (0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (2.0, 0.995_322_265_0)] {
            assert!((Real::erf(x) - y).abs() < 1e-10 && (Real::erf(-x) + y).abs() < 1e-10, "{x}");
        }
    }
}
