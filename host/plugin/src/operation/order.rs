//! Sorting, counting and searching.

use lossmith_torch_shim::is_free_to_read;
use tch::{Kind, TchError, Tensor};

use super::formulas::refuse;

operations! {
    /// Values in an order, and where they were.
    Order(x: &Tensor) -> (Tensor, Tensor) {
        Max { dim: i64, keep: bool } "max" => x.f_max_dim(*dim, *keep);
        Min { dim: i64, keep: bool } "min" => x.f_min_dim(*dim, *keep);
        Sort { dim: i64, descending: bool } "sort" => x.f_sort_stable(true, *dim, *descending);
        TopK { k: i64, dim: i64, largest: bool } "topk" => x.f_topk(*k, *dim, *largest, true);
        // libtorch has no derivative of it; without `detach` that would come out in the host's backward pass. The size
        // of the result depends on the values.
        Unique "unique" => x.f_detach()?.f_internal_unique(true, true);
    }
}

operations! {
    /// Counts and positions of values.
    Count(x: &Tensor) -> Tensor {
        Bincount { size: i64 } "bincount" => match is_free_to_read(x) {
            true => count(x, *size),
            false => count_in_range(x, *size),
        };
        // The size of the result depends on the values.
        Nonzero "nonzero" => x.f_nonzero();
    }
}

operations! {
    /// Where values stand in sorted ones.
    Search(sorted: &Tensor, values: &Tensor) -> Tensor {
        SearchSorted { right: bool } "searchsorted" => {
            let side = if *right { "right" } else { "left" };
            // libtorch warns on strided input and copies it silently; a copy that is needed is made here.
            let sorted = sorted.f_contiguous()?;
            values.f_contiguous()?.f_searchsorted(&sorted, false, *right, side, None::<&Tensor>)
        };
    }
}

fn count(x: &Tensor, size: i64) -> Result<Tensor, TchError> {
    // libtorch makes the result as long as the largest value asks for, however large that is.
    let fits = x.numel() == 0 || x.f_max()?.f_int64_value(&[])? < size;
    refuse(!fits, "a value is not below `size`")?;
    x.f_bincount(None::<&Tensor>, size)
}

/// As libtorch's `bincount`, which waits for the smallest and the largest value. Values that are not below `size` are
/// counted at a place of their own, which is cut off: nothing can be told of them without waiting.
fn count_in_range(x: &Tensor, size: i64) -> Result<Tensor, TchError> {
    let are_integers = matches!(x.f_kind()?, Kind::Int64 | Kind::Int | Kind::Int16 | Kind::Int8 | Kind::Uint8);
    refuse(x.dim() != 1 || !are_integers, "not a vector of integers")?;
    let outside = x.f_lt(0)?.f_logical_or(&x.f_ge(size)?)?;
    let places = x.f_to_kind(Kind::Int64)?.f_masked_fill(&outside, size)?;
    let counts = Tensor::f_zeros([size.saturating_add(1)], (Kind::Int64, x.device()))?;
    counts.f_scatter_add(0, &places, &places.f_ones_like()?)?.f_narrow(0, 0, size)
}
