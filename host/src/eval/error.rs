//! Errors of embeddings and labels.

use miette::Diagnostic;
use tch::TchError;
use thiserror::Error;

/// Why embeddings could not be measured.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum EvalError {
    /// Embeddings are not a matrix of numbers.
    #[error("embeddings must be a matrix (images x dimensions) of floats, not {kind:?} of shape {shape:?}")]
    NotAMatrix {
        /// What came.
        shape: Vec<i64>,
        /// Its element type.
        kind: tch::Kind,
    },
    /// Labels do not belong to the embeddings.
    #[error("{rows} embeddings need {rows} labels of type int64, not {kind:?} of shape {shape:?}")]
    Labels {
        /// Number of embeddings.
        rows: i64,
        /// Shape of the labels.
        shape: Vec<i64>,
        /// Their element type.
        kind: tch::Kind,
    },
    /// Queries and references have different dimensions.
    #[error("queries have {queries} dimensions, references have {references}")]
    #[diagnostic(help("both must come from the same network"))]
    Dimensions {
        /// Dimensions of a query.
        queries: i64,
        /// Dimensions of a reference.
        references: i64,
    },
    /// NaN or infinity among the embeddings.
    #[error("{rows} of {total} embeddings are not finite (NaN or infinity)")]
    #[diagnostic(help("the training has diverged: try a lower learning rate or gradient clipping"))]
    NotFinite {
        /// Embeddings with at least one such number.
        rows: i64,
        /// All embeddings.
        total: i64,
    },
    /// There is nothing to be found for any query.
    #[error("none of {queries} queries has another image of its class to find")]
    #[diagnostic(help("retrieval needs a class with two images or more"))]
    NoQueries {
        /// Number of queries.
        queries: usize,
    },
    /// More clusters than points.
    #[error("{points} points cannot be put into {clusters} clusters")]
    Clusters {
        /// Rows of the embeddings.
        points: i64,
        /// Clusters asked for.
        clusters: usize,
    },
    /// Nothing to classify, or nothing to classify by.
    #[error("{queries} queries cannot be classified by {features} labelled features")]
    #[diagnostic(help("both need one image or more"))]
    NothingToClassify {
        /// Number of queries.
        queries: i64,
        /// Number of labelled features.
        features: i64,
    },
    /// The slices are not equal.
    #[error("{dimensions} dimensions cannot be cut into {slices} equal slices")]
    Slices {
        /// Dimensions of an embedding.
        dimensions: i64,
        /// Slices asked for.
        slices: usize,
    },
    /// libtorch refused an operation.
    #[error("evaluation failed in libtorch: {}", lossmith_plugin::brief(.0))]
    Torch(TchError),
}

// Its text is told in brief, so it is no source, which would be told in full.
impl From<TchError> for EvalError {
    fn from(error: TchError) -> Self {
        Self::Torch(error)
    }
}
