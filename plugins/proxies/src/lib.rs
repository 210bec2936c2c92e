//! Losses with a trainable proxy (or weight vector) for each class. The host owns these parameters.

pub mod cross_entropy;
pub mod normalized_softmax;
pub mod proxy_anchor;

lossmith_sdk::export! { losses: [proxy_anchor::ProxyAnchor, normalized_softmax::NormalizedSoftmax, cross_entropy::CrossEntropy] }
