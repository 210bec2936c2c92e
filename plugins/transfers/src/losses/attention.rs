//! With the attention map `A(F) = u / |u|`, `u` the mean over channels of `F^2` at each place of a feature map F: the
//! mean over images and places of `(A(F^f) - A(F^t))^2`.
//!
//! The paper does so at several depths of the networks; here it is the last feature map.

use lossmith_sdk::prelude::*;

use crate::teacher::teacher;

strategy! {
    /// Attention transfer, Zagoruyko and Komodakis 2017, on the last feature map.
    pub struct Attention as "attention" {}
}

impl Loss for Attention {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        teacher(batch)?;
        let student = batch.feature_map().ok_or(
            "`attention` needs the student's feature map, and its backbone gives none: take one that is not a \
             TorchScript module",
        )?;
        let teacher = batch.teacher_feature_map().ok_or(
            "`attention` needs the teacher's feature map. There is none where the teacher's embeddings come from the \
             cache: set `cache = false` under `[teacher]`. Nor does a TorchScript module give one",
        )?;
        let (own, other) = (student.shape(), teacher.shape());
        if own[2..] != other[2..] {
            return Err(Error(format!(
                "`attention` compares feature maps place by place, and the student's is {} x {} but the teacher's {} x \
                 {}",
                own[2], own[3], other[2], other[3]
            )));
        }
        Ok((attention(&student) - attention(&teacher)).square().mean(ALL))
    }
}

/// The unit vector of a feature map's attention: B x (H W).
fn attention(map: &Tensor) -> Tensor {
    map.square().mean(1).reshape(&[map.size(0), -1]).normalize(2.0, 1)
}
