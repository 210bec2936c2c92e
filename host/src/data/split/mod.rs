//! Splits: the images for training, for validation and for testing, and the class that each counts as.

mod class_disjoint;
mod closed_set;
mod draw;
mod relabel;
#[expect(clippy::module_inception, reason = "it has what the folder is named after")]
mod split;
mod subject_folds;

pub(super) use relabel::relabel;
pub(super) use split::{Split, split};
