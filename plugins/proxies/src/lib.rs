//! Losses with a trainable proxy (or weight vector) for each class. The host owns these parameters.

pub mod arc_face;
pub mod center;
mod centers;
pub mod cos_face;
pub mod cross_entropy;
mod images;
pub mod normalized_softmax;
pub mod proxy_anchor;
pub mod proxy_nca;
pub mod proxy_nca_plus_plus;
pub mod soft_triple;
pub mod sphere_face;
pub mod sub_center_arc_face;

lossmith_sdk::export! {
    losses: [
        proxy_anchor::ProxyAnchor,
        proxy_nca::ProxyNca,
        proxy_nca_plus_plus::ProxyNcaPlusPlus,
        soft_triple::SoftTriple,
        normalized_softmax::NormalizedSoftmax,
        arc_face::ArcFace,
        sub_center_arc_face::SubCenterArcFace,
        cos_face::CosFace,
        sphere_face::SphereFace,
        center::Center,
        cross_entropy::CrossEntropy,
    ]
}
