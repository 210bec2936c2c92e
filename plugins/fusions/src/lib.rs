//! Fusions: one embedding from the K slices of another.
//!
//! Each slice is L2-normalised by itself, so that its distances are on one scale with those of the others, and slices
//! are joined after they are scaled: with the weight w_k of slice k the squared distance of two images is
//! `sum_k w_k |x_k - y_k|^2`.
//!
//! How the slices of multi-threshold metric learning are fused is not public: **all but the plain concatenation are our
//! own readings.** A fusion with trainable parameters learns from an objective with `on = "fused"` or
//! `on = "fused-only"`.

mod attention;
mod best_slice;
mod concatenation;
mod dimension_weighted;
mod learned_weights;
mod slices;
mod weighted;

lossmith_sdk::export! {
    fusions: [
        concatenation::Concatenation,
        weighted::Weighted,
        learned_weights::LearnedWeights,
        dimension_weighted::DimensionWeighted,
        attention::Attention,
        best_slice::BestSlice,
    ]
}
