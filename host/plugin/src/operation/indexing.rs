//! Elements chosen by a mask or an index, or put where an index says.

use tch::{Kind, Tensor};

use super::formulas::refuse;

operations! {
    /// A mask chooses between two tensors; the three broadcast.
    Choice(a: &Tensor, b: &Tensor, mask: &Tensor) -> Tensor {
        Where "where" => a.f_where_self(mask, b);
    }
}

operations! {
    /// Elements of a tensor where an index, or a mask, says.
    Lookup(x: &Tensor, index: &Tensor) -> Tensor {
        Gather { dim: i64 } "gather" => x.f_gather(*dim, index, false);
        IndexSelect { dim: i64 } "index-select" => x.f_index_select(*dim, index);
        // The size of the result depends on the values of the mask.
        MaskedSelect "masked-select" => x.f_masked_select(index);
    }
}

operations! {
    /// The elements of a matrix at (`rows`, `columns`).
    Places(x: &Tensor, rows: &Tensor, columns: &Tensor) -> Tensor {
        At "at" => x.f_index(&[Some(rows), Some(columns)]);
    }
}

operations! {
    /// A copy of a tensor with elements of another put where an index says.
    Put(x: &Tensor, index: &Tensor, source: &Tensor) -> Tensor {
        ScatterAdd { dim: i64 } "scatter-add" => x.f_scatter_add(*dim, index, source);
        IndexAdd { dim: i64 } "index-add" => x.f_index_add(*dim, index, source);
        IndexCopy { dim: i64 } "index-copy" => x.f_index_copy(*dim, index, source);
    }
}

operations! {
    /// Matrices of a vector of classes.
    Classes(labels: &Tensor) -> Tensor {
        // Floats of this kind.
        OneHot { classes: i64, kind: Kind } "one-hot" => {
            // libtorch counts the classes itself when it is given -1.
            refuse(*classes < 1, "there is no class")?;
            labels.f_one_hot(*classes)?.f_to_kind(*kind)
        };
        Same "pair-losses.same-class" => {
            let same = labels.f_unsqueeze(1)?.f_eq_tensor(&labels.f_unsqueeze(0)?)?;
            // The diagonal is a pair of an image with itself.
            same.f_logical_xor(&Tensor::f_eye(labels.numel() as i64, (Kind::Bool, labels.device()))?)
        };
        Different "pair-losses.different-class" =>
            labels.f_unsqueeze(1)?.f_ne_tensor(&labels.f_unsqueeze(0)?);
    }
}
