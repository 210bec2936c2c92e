//! Parts of different sizes, weighted by them.

use lossmith_sdk::prelude::*;

strategy! {
    /// Normalised parts of the embedding, each scaled by its share of the dimensions, as BIER does (Opitz et al. 2017).
    ///
    /// Part m of the dimension D_m is scaled by `D_m / D`. The slices are of equal size, so without `dimensions` this
    /// is a plain concatenation but for a factor; `dimensions` divides the embedding anew.
    pub struct DimensionWeighted as "dimension-weighted" {
        /// Dimensions of the parts, in order; whole numbers that add up to D. Default: the slices.
        dimensions: Vec<f64> = Vec::new(), range 1.0..;
    }
}

impl Fusion for DimensionWeighted {
    fn fuse(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let (dimension, count) = (batch.dimension(), batch.slice_count());
        let equal = vec![(dimension / count) as f64; count as usize];
        let sizes = if self.dimensions.is_empty() { &equal } else { &self.dimensions };
        let sum: f64 = sizes.iter().sum();
        if sum != dimension as f64 || sizes.iter().any(|size| size.fract() != 0.0) {
            return Err(format!("`dimensions` must be whole numbers that add up to {dimension}, not {sizes:?}").into());
        }
        let embeddings = batch.embeddings();
        let mut start = 0;
        let parts = sizes.iter().map(|size| {
            let part = embeddings.narrow(1, start, *size as i64).normalize(2.0, 1) * (size / dimension as f64);
            start += *size as i64;
            part
        });
        let parts: Vec<Tensor> = parts.collect();
        Ok(Tensor::cat(&parts.iter().collect::<Vec<_>>(), 1))
    }
}
