//! Reductions of a slice to one number, with the same bits for every instruction set.
//!
//! Addition is not associative, so its order is part of the result. It depends on the length alone:
//! 1. Element i is in lane `i % 16`, for both types: one or two registers of AVX-512, two or four of AVX2.
//! 2. A block is 128 elements. Those of a lane, which are 8, are added as a tree: neighbours, then neighbours of these
//!    sums.
//! 3. The sums of 8 blocks are added in the same way. A block that is not there counts as 0, and so do the elements
//!    that the last block lacks, which stands alone.
//! 4. What this yields, one row of 16 for each 1,024 elements and one for the last block, is added one after another.
//! 5. The lanes are added as a tree: lane i and i + 8, then i and i + 4, and so on.
//!
//! So an element goes through at most 11 + n / 1024 additions, 15 for n = 4096, instead of n. `max` and `min` take the
//! same way.

use multiversion::multiversion;

use super::real::Real;

/// The lanes. The compiler makes registers of a loop over them only if it does not unroll the loop first; with 8 lanes
/// of 64 bits it did, and `sum` took six times as long (1,024 elements, AVX-512).
const LANES: usize = 16;

/// The elements of a block.
const BLOCK: usize = 8 * LANES;

/// What is reduced over a slice.
pub trait Reduce: Real {
    /// The sum; 0 of nothing.
    fn sum(x: &[Self]) -> Self;
    /// The sum of the products of elements at the same place, as long as both slices last; each product is rounded.
    fn dot(x: &[Self], y: &[Self]) -> Self;
    /// The largest element, NaN if any is NaN; -infinity of nothing.
    fn max(x: &[Self]) -> Self;
    /// The smallest element, NaN if any is NaN; infinity of nothing.
    fn min(x: &[Self]) -> Self;
    /// The place of the first NaN if there is one, else of the first of the largest elements; none in an empty slice.
    fn index_of_max(x: &[Self]) -> Option<usize>;
    /// The place of the first NaN if there is one, else of the first of the smallest elements; none in an empty slice.
    fn index_of_min(x: &[Self]) -> Option<usize>;
}

/// The functions for one type, in versions for the instruction sets.
macro_rules! reduce {
    ($t:ident, $module:ident) => {
        mod $module {
            use super::*;

            #[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw", "x86_64+avx2"))]
            pub(super) fn sum(x: &[$t]) -> $t {
                plain::sum(x)
            }

            #[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw", "x86_64+avx2"))]
            pub(super) fn dot(x: &[$t], y: &[$t]) -> $t {
                plain::dot(x, y)
            }

            #[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw", "x86_64+avx2"))]
            pub(super) fn max(x: &[$t]) -> $t {
                plain::max(x)
            }

            #[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw", "x86_64+avx2"))]
            pub(super) fn min(x: &[$t]) -> $t {
                plain::min(x)
            }

            #[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw", "x86_64+avx2"))]
            pub(super) fn index_of(x: &[$t], wanted: $t) -> Option<usize> {
                plain::index_of(x, wanted)
            }
        }

        impl Reduce for $t {
            fn sum(x: &[$t]) -> $t {
                $module::sum(x)
            }
            fn dot(x: &[$t], y: &[$t]) -> $t {
                $module::dot(x, y)
            }
            fn max(x: &[$t]) -> $t {
                $module::max(x)
            }
            fn min(x: &[$t]) -> $t {
                $module::min(x)
            }
            fn index_of_max(x: &[$t]) -> Option<usize> {
                $module::index_of(x, $module::max(x))
            }
            fn index_of_min(x: &[$t]) -> Option<usize> {
                $module::index_of(x, $module::min(x))
            }
        }
    };
}

reduce!(f32, single);
reduce!(f64, double);

/// The same in no version of its own: the caller decides what it is compiled for. A function that is not inlined, or a
/// closure that the compiler does not inline, would be compiled for the least processor: so what is more than an
/// expression is a function, and `inline(always)`.
mod plain {
    use super::{BLOCK, LANES, Real};

    #[inline(always)]
    pub(super) fn sum<T: Real>(x: &[T]) -> T {
        reduce(x, x, T::ZERO, |x, _| x, |a, b| a + b)
    }

    #[inline(always)]
    pub(super) fn dot<T: Real>(x: &[T], y: &[T]) -> T {
        let count = x.len().min(y.len());
        reduce(&x[..count], &y[..count], T::ZERO, |x, y| x * y, |a, b| a + b)
    }

    #[inline(always)]
    pub(super) fn max<T: Real>(x: &[T]) -> T {
        // One instruction for each register, which forgets a NaN, and another pass that looks for one: quicker than
        // both at once.
        let largest = reduce(x, x, -T::INFINITY, |x, _| x, |a, b| if a > b { a } else { b });
        if any_nan(x) { T::NAN } else { largest }
    }

    #[inline(always)]
    pub(super) fn min<T: Real>(x: &[T]) -> T {
        let smallest = reduce(x, x, T::INFINITY, |x, _| x, |a, b| if a < b { a } else { b });
        if any_nan(x) { T::NAN } else { smallest }
    }

    #[inline(always)]
    fn any_nan<T: Real>(x: &[T]) -> bool {
        x.iter().fold(false, |any, &x| any | x.nan())
    }

    /// `join` of all `load(x[i], y[i])`, for slices of one length; `none` changes nothing when it is joined.
    #[inline(always)]
    fn reduce<T: Real>(
        x: &[T],
        y: &[T],
        none: T,
        load: impl Fn(T, T) -> T + Copy,
        join: impl Fn(T, T) -> T + Copy,
    ) -> T {
        let mut total = [none; LANES];
        let (x_blocks, x_rest) = x.as_chunks::<BLOCK>();
        let (y_blocks, y_rest) = y.as_chunks::<BLOCK>();
        for (x, y) in x_blocks.chunks(8).zip(y_blocks.chunks(8)) {
            // The rows are in memory: kept over the iterations of a loop, as `total` is, they become 16 variables that
            // are added one by one.
            let mut rows = [none; BLOCK];
            for (row, (x, y)) in rows.as_chunks_mut::<LANES>().0.iter_mut().zip(x.iter().zip(y)) {
                tree(|i| load(x[i], y[i]), join, row);
            }
            add(&mut total, |i| rows[i], join);
        }
        if !x_rest.is_empty() {
            // These become loads with a mask. A copy that is filled up takes more than twice as long for 32 elements.
            let at = |i: usize| match (x_rest.get(i), y_rest.get(i)) {
                (Some(&x), Some(&y)) => load(x, y),
                _ => none,
            };
            add(&mut total, at, join);
        }
        let mut width = LANES / 2;
        while width > 0 {
            for i in 0..width {
                total[i] = join(total[i], total[i + width]);
            }
            width /= 2;
        }
        total[0]
    }

    /// Joins a block to the total.
    #[inline(always)]
    fn add<T: Real>(total: &mut [T; LANES], at: impl Fn(usize) -> T, join: impl Fn(T, T) -> T + Copy) {
        let mut row = *total;
        tree(at, join, &mut row);
        for (total, row) in total.iter_mut().zip(row) {
            *total = join(*total, row);
        }
    }

    /// Joins each lane of a block.
    #[inline(always)]
    fn tree<T: Real>(at: impl Fn(usize) -> T, join: impl Fn(T, T) -> T, out: &mut [T; LANES]) {
        for (i, out) in out.iter_mut().enumerate() {
            let pair = |k| join(at(i + k * LANES), at(i + (k + 1) * LANES));
            *out = join(join(pair(0), pair(2)), join(pair(4), pair(6)));
        }
    }

    /// The first place of `wanted`, or of a NaN if it is one.
    #[inline(always)]
    pub(super) fn index_of<T: Real>(x: &[T], wanted: T) -> Option<usize> {
        if wanted.nan() { position(x, T::nan) } else { position(x, |x| x == wanted) }
    }

    /// The first place where this is found.
    #[inline(always)]
    fn position<T: Real>(x: &[T], found: impl Fn(T) -> bool) -> Option<usize> {
        // Whether a block has it is decided without a branch in it, so that it is a comparison of registers.
        let blocks = x.as_chunks::<BLOCK>().0;
        let before = blocks.iter().take_while(|block| !block.iter().fold(false, |any, &x| any | found(x))).count();
        let start = before * BLOCK;
        x.get(start..)?.iter().position(|&x| found(x)).map(|place| start + place)
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// The order of the module's documentation, one step at a time.
    fn in_order<T: Real>(x: &[T]) -> T {
        let tree = |mut x: Vec<T>| {
            while x.len() > 1 {
                x = x.chunks(2).map(|pair| pair[0] + pair[1]).collect();
            }
            x[0]
        };
        let lane = |block: &[T], lane: usize| {
            tree((0..8).map(|row| block.get(16 * row + lane).copied().unwrap_or(T::ZERO)).collect())
        };
        let whole = x.len() / 128 * 128;
        let mut lanes: Vec<T> = (0..16)
            .map(|i| {
                let mut total = T::ZERO;
                for x in x[..whole].chunks(1024) {
                    let mut sums: Vec<T> = x.chunks(128).map(|block| lane(block, i)).collect();
                    sums.resize(8, T::ZERO);
                    total += tree(sums);
                }
                if whole < x.len() {
                    total += lane(&x[whole..], i);
                }
                total
            })
            .collect();
        while lanes.len() > 1 {
            let (low, high) = lanes.split_at(lanes.len() / 2);
            lanes = low.iter().zip(high).map(|(&a, &b)| a + b).collect();
        }
        lanes[0]
    }

    /// Versions that the dispatcher does not choose where there is AVX-512.
    #[multiversion(targets("x86_64+avx2"))]
    fn avx2_f32(x: &[f32], y: &[f32]) -> [f32; 4] {
        all(x, y)
    }

    #[multiversion(targets("x86_64+avx2"))]
    fn avx2_f64(x: &[f64], y: &[f64]) -> [f64; 4] {
        all(x, y)
    }

    #[inline(always)]
    fn all<T: Real>(x: &[T], y: &[T]) -> [T; 4] {
        [plain::sum(x), plain::dot(x, y), plain::max(x), plain::min(x)]
    }

    fn bits<T: Real>(x: [T; 4]) -> [u64; 4] {
        x.map(|x| x.to_f64().to_bits())
    }

    fn check<T: Reduce>(x: &[T], y: &[T], avx2: fn(&[T], &[T]) -> [T; 4]) {
        let count = x.len();
        let chosen = bits([T::sum(x), T::dot(x, y), T::max(x), T::min(x)]);
        assert_eq!(chosen, bits(avx2(x, y)), "AVX2, {count}");
        assert_eq!(chosen, bits(all(x, y)), "plain, {count}");
        let products: Vec<T> = x.iter().zip(y).map(|(&x, &y)| x * y).collect();
        assert_eq!(chosen[0], in_order(x).to_f64().to_bits(), "sum of {count}");
        assert_eq!(chosen[1], in_order(&products).to_f64().to_bits(), "dot of {count}");
    }

    #[test]
    fn every_version_adds_in_the_documented_order() {
        let mut draw = rand_chacha::ChaCha8Rng::seed_from_u64(2);
        let single: Vec<f32> = (0..9001).map(|_| draw.random_range(-1.0..1.0)).collect();
        let double: Vec<f64> = (0..9001).map(|_| draw.random_range(-1.0..1.0)).collect();
        for count in (0..300).chain([1023, 1024, 1025, 1151, 1152, 2048, 4096, 8191, 9000]) {
            check(&single[..count], &single[1..=count], avx2_f32);
            check(&double[..count], &double[1..=count], avx2_f64);
        }
    }

    #[test]
    fn of_two_lengths_the_shorter_counts() {
        let (short, long) = ([1.0_f64; 150], [1.0_f64; 300]);
        assert_eq!([f64::dot(&short, &long), f64::dot(&long, &short)], [150.0, 150.0]);
    }

    #[test]
    fn sums_of_4096_are_right_to_a_few_ulp() {
        let mut draw = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        for _ in 0..100 {
            let x: Vec<f32> = (0..4096).map(|_| draw.random_range(0.0..1.0)).collect();
            let y: Vec<f32> = (0..4096).map(|_| draw.random_range(0.0..1.0)).collect();
            // In 64 bits these sums are exact to 2^-40. Terms of one sign: an error is at most 4 times 2^-24 of the
            // sum.
            let sum: f64 = x.iter().map(|&x| f64::from(x)).sum();
            let dot: f64 = x.iter().zip(&y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
            assert!((f64::from(f32::sum(&x)) / sum - 1.0).abs() < 4.0 / 16_777_216.0);
            assert!((f64::from(f32::dot(&x, &y)) / dot - 1.0).abs() < 4.0 / 16_777_216.0);
        }
    }

    fn places<T: Reduce>() {
        let number = |x: &[f64]| x.iter().map(|&x| T::from_f64(x)).collect::<Vec<T>>();
        assert_eq!((T::index_of_max(&[]), T::index_of_min(&[])), (None, None));
        assert_eq!((T::max(&[]), T::min(&[])), (-T::INFINITY, T::INFINITY));
        for count in [1, 5, 16, 127, 128, 129, 300, 1200] {
            let lowest = vec![f64::NEG_INFINITY; count];
            assert_eq!(T::index_of_max(&number(&lowest)), Some(0));
            for place in [0, count / 2, count - 1] {
                let mut x = vec![1.0; count];
                x[place..].fill(3.0);
                assert_eq!((T::index_of_max(&number(&x)), T::max(&number(&x))), (Some(place), T::from_f64(3.0)));
                x[place..].fill(-3.0);
                assert_eq!((T::index_of_min(&number(&x)), T::min(&number(&x))), (Some(place), T::from_f64(-3.0)));
                x[place..].fill(f64::NAN);
                assert_eq!((T::index_of_max(&number(&x)), T::index_of_min(&number(&x))), (Some(place), Some(place)));
                x[place..].fill(f64::INFINITY);
                x[place] = f64::NAN;
                assert!(T::max(&number(&x)).nan() && T::min(&number(&x)).nan() && T::sum(&number(&x)).nan());
                assert_eq!(T::index_of_max(&number(&x)), Some(place));
            }
        }
    }

    #[test]
    fn places_are_the_first_and_nan_comes_before_all() {
        places::<f32>();
        places::<f64>();
    }
}
