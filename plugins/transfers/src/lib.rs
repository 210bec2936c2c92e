//! Embedding transfer: strategies of the role `transfer`, which a balance can weigh, and in `losses` those whose terms
//! are not pairs. All compare the student's embeddings, as the network gives them, with a teacher's.

mod relaxed;
mod teacher;

pub mod absolute_teacher;
pub mod contextual_contrastive;
pub mod losses;
pub mod pkt;
pub mod relative_teacher;
pub mod relaxed_contrastive;
pub mod relaxed_multi_similarity;
pub mod rkd_distance;
pub mod row_softmax;
pub mod similarity_preserving;

lossmith_sdk::export! {
    transfers: [
        relaxed_contrastive::RelaxedContrastive,
        relaxed_multi_similarity::RelaxedMultiSimilarity,
        contextual_contrastive::ContextualContrastive,
        rkd_distance::RkdDistance,
        relative_teacher::RelativeTeacher,
        absolute_teacher::AbsoluteTeacher,
        similarity_preserving::SimilarityPreserving,
        pkt::Pkt,
        row_softmax::RowSoftmax,
    ],
    losses: [
        losses::rkd_angle::RkdAngle,
        losses::dark_rank::DarkRank,
        losses::fit_net::FitNet,
        losses::attention::Attention,
    ],
}
