//! The `[evaluation]` table of an experiment file.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ClassificationConfig;

/// How an embedding is measured, and how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct EvaluationConfig {
    /// Epochs from one evaluation to the next, at least 1. Default 1: after every epoch.
    pub every: NonZeroUsize,
    /// Whether the test part is measured at the end of the training. A sweep switches it off: it measures the test part
    /// of what was chosen only. Default true.
    pub test: bool,
    /// The K of Recall@K, each at least 1: a query counts if one of its K nearest is of its class. Default [1, 2, 4,
    /// 8].
    pub recall_at: Vec<NonZeroUsize>,
    /// What "near" means. Default "cosine".
    pub distance: Distance,
    /// Whether to cluster the embeddings by k-means and report NMI. Its time grows with images x classes x dimensions.
    /// Default true.
    pub nmi: bool,
    /// The metric of the validation part whose best value marks the best checkpoint. Larger is better, but for
    /// `distance-ratio`. Default "map-at-r".
    pub best: String,
    /// Evaluations in a row without a better `best` after which the training ends before its last epoch, at least 1.
    /// Default: none, all epochs are trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<NonZeroUsize>,
    /// Whether each slice of the embedding is measured by itself, and how different the slices are, where there are two
    /// or more. That takes as long as the retrieval of the whole embedding, once for each slice. Default true.
    pub slices: bool,
    /// Classification of the part by the features of the training part, which are computed anew for it. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classification: Option<ClassificationConfig>,
    /// Queries in a block, at least 1. A block of B queries against N references needs about 16 x B x N bytes on the
    /// device (1000 against 60,000: 1 GB). The result does not depend on it. Default 1000.
    pub block: NonZeroUsize,
    /// Images in a forward pass of the network, at least 1. Default 256.
    pub batch_size: NonZeroUsize,
}

impl EvaluationConfig {
    /// The metrics of the validation part that can mark the best checkpoint, of an embedding with so many slices. A
    /// classifier's accuracy of one class, `linear-accuracy.NAME`, can, too.
    pub(crate) fn metrics(&self, slices: u32) -> Vec<String> {
        let recall = self.recall_at.iter().map(|k| format!("recall-at-{k}"));
        let whole = ["precision-at-1", "r-precision", "map-at-r"].map(str::to_owned);
        let names: Vec<String> = whole.iter().cloned().chain(recall).collect();
        let macro_averages = names.iter().map(|name| format!("macro-{name}")).collect();
        let nmi = if self.nmi { vec!["nmi".to_owned()] } else { Vec::new() };
        let slices = if self.slices && slices > 1 { slices } else { 0 };
        let slices =
            (0..slices).flat_map(|slice| whole.iter().map(move |name| format!("slice.{slice}.{name}"))).collect();
        let classifiers = self.classification.iter().flat_map(|config| &config.classifiers);
        let accuracies =
            classifiers.flat_map(|name| [format!("{name}-accuracy"), format!("{name}-mean-class-accuracy")]);
        let ratio = vec!["distance-ratio".to_owned()];
        [names, macro_averages, ratio, nmi, slices, accuracies.collect()].concat()
    }
}

/// Which distance orders the neighbours of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Distance {
    /// Of the vectors scaled to length 1. A vector of zeros stays one: it is equally far from all others.
    Cosine,
    /// Of the vectors as they are.
    Euclidean,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self {
            every: NonZeroUsize::MIN,
            test: true,
            recall_at: [1, 2, 4, 8].into_iter().filter_map(NonZeroUsize::new).collect(),
            distance: Distance::Cosine,
            nmi: true,
            best: "map-at-r".to_owned(),
            patience: None,
            slices: true,
            classification: None,
            block: NonZeroUsize::MIN.saturating_add(999),
            batch_size: NonZeroUsize::MIN.saturating_add(255),
        }
    }
}
