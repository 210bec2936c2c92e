//! The same elements in other shapes and dtypes, or a part of them: views, and copies where there is no view.

use tch::{Kind, Tensor};

operations! {
    /// Of one tensor.
    Shape(x: &Tensor) -> Tensor {
        // The tensor itself.
        Same "to-dtype" => Ok(x.shallow_clone());
        ToDtype { kind: Kind } "to-dtype" => match x.kind() {
            // As bytes: on the CPU libtorch reads booleans one at a time (1024 x 1024 to floats: 0.38 ms, 0.10 ms).
            Kind::Bool => x.f_view_dtype(Kind::Uint8)?.f_to_kind(*kind),
            _ => x.f_to_kind(*kind),
        };
        Transpose { dim0: i64, dim1: i64 } "transpose" => x.f_transpose(*dim0, *dim1);
        Permute { dims: Vec<i64> } "permute" => x.f_permute(dims);
        Diagonal "diagonal" => x.f_diagonal(0, -2, -1);
        DiagEmbed "diag-embed" => x.f_diag_embed(0, -2, -1);
        Tril { k: i64 } "tril" => x.f_tril(*k);
        Triu { k: i64 } "triu" => x.f_triu(*k);
        Flip { dims: Vec<i64> } "flip" => x.f_flip(dims);
        Reshape { shape: Vec<i64> } "reshape" => x.f_reshape(shape);
        Squeeze { dim: i64 } "squeeze" => x.f_squeeze_dim(*dim);
        Unsqueeze { dim: i64 } "unsqueeze" => x.f_unsqueeze(*dim);
        Expand { shape: Vec<i64> } "expand" => x.f_expand(shape, false);
        Repeat { counts: Vec<i64> } "repeat" => x.f_repeat(counts);
        Narrow { dim: i64, start: i64, length: i64 } "narrow" => x.f_narrow(*dim, *start, *length);
        Select { dim: i64, index: i64 } "select" => x.f_select(*dim, *index);
    }
}

operations! {
    /// Several tensors of one.
    Split(x: &Tensor) -> Vec<Tensor> {
        // Equal parts.
        Slices { count: i64, dim: i64 } "slices" => x.f_chunk(*count, *dim);
    }
}

operations! {
    /// One tensor of several.
    Join(tensors: &[&Tensor]) -> Tensor {
        Cat { dim: i64 } "cat" => Tensor::f_cat(tensors, *dim);
        Stack { dim: i64 } "stack" => Tensor::f_stack(tensors, *dim);
    }
}
