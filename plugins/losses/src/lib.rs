//! Losses on the pairs and triplets of a batch. Each uses what the objective's miner found, else all there are.

pub mod contrastive;
pub mod multi_similarity;
pub mod multi_threshold;
pub mod nt_xent;
pub mod sup_con;
pub mod triplet;

lossmith_sdk::export! {
    losses: [
        contrastive::Contrastive,
        triplet::Triplet,
        multi_similarity::MultiSimilarity,
        multi_threshold::MultiThreshold,
        nt_xent::NtXent,
        sup_con::SupCon,
    ]
}
