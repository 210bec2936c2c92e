//! Losses on the pairs and triplets of a batch. Each uses what the objective's miner found, else all there are.

pub mod angular;
pub mod circle;
pub mod contrastive;
pub mod generalized_lifted;
pub mod intra_pair_variance;
pub mod lifted_structure;
pub mod margin;
pub mod multi_similarity;
pub mod multi_threshold;
pub mod n_pairs;
pub mod nca;
pub mod nt_xent;
pub mod ranked_list;
pub mod snr_contrastive;
pub mod sup_con;
pub mod threshold_consistent_margin;
pub mod triplet;
pub mod tuplet_margin;
pub mod vicreg;

lossmith_sdk::export! {
    losses: [
        contrastive::Contrastive,
        triplet::Triplet,
        multi_similarity::MultiSimilarity,
        multi_threshold::MultiThreshold,
        nt_xent::NtXent,
        sup_con::SupCon,
        circle::Circle,
        lifted_structure::LiftedStructure,
        generalized_lifted::GeneralizedLifted,
        n_pairs::NPairs,
        angular::Angular,
        margin::Margin,
        nca::Nca,
        tuplet_margin::TupletMargin,
        intra_pair_variance::IntraPairVariance,
        ranked_list::RankedList,
        snr_contrastive::SnrContrastive,
        threshold_consistent_margin::ThresholdConsistentMargin,
        vicreg::Vicreg,
    ]
}
