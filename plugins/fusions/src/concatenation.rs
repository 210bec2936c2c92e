//! All slices with the same weight.

use lossmith_sdk::prelude::*;

use crate::slices::{joined, normalized};

strategy! {
    /// The normalised slices joined: each counts the same in a distance.
    pub struct Concatenation as "concatenation" {}
}

impl Fusion for Concatenation {
    fn fuse(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        Ok(joined(&normalized(batch)))
    }
}
