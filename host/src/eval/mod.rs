//! Evaluation of embeddings: retrieval metrics, classification and clustering, for any number of images.
//!
//! [`evaluate`] is what a training calls after an epoch. [`retrieval`] ranks every row against all the others,
//! [`retrieval_against`] ranks queries against a separate set of references. Distances are computed a block of queries
//! at a time in double precision, and ranks are counted in integers, so a result depends neither on the size of the
//! block nor on the order in which a device adds numbers up. Only the last digits of the mean distances do.

mod classification;
mod classification_config;
mod clustering;
mod config;
mod distances;
mod error;
mod evaluation;
mod neighbours;
mod points;
mod progress;
mod retrieval;
mod slices;
mod softmax;

pub use classification::{Classification, classify};
pub use classification_config::{ClassificationConfig, Classifier};
pub use clustering::{k_means, normalised_mutual_information};
pub use config::{Distance, EvaluationConfig};
pub use distances::{ClassDistances, class_distances};
pub use error::EvalError;
pub use evaluation::{Evaluation, class_name, evaluate};
pub use neighbours::{Neighbour, neighbours};
pub use progress::{Measuring, Watch};
pub use retrieval::{Retrieval, Roles, Scores, retrieval, retrieval_against, retrieval_in_gallery};
pub use slices::{Slices, slices};

#[cfg(test)]
mod tests;
