//! What a branch must not be: measured on what its origin was trained on, or without anything left to train.

use std::collections::BTreeSet;
use std::path::Path;

use super::assembly::{Assembly, images};
use super::training_error::TrainingError;
use crate::data::{Dataset, PartName};
use crate::run::Run;

/// Checks that a branch has epochs left.
pub(super) fn trains(from: &Run, epoch: u64, epochs: u64) -> Result<(), TrainingError> {
    if epoch < epochs {
        return Ok(());
    }
    Err(TrainingError::NoEpochs { run: from.name(), epoch, epochs })
}

/// Checks that the weights of the origin saw nothing of what the branch is measured on.
pub(super) fn check_unseen(from: &Run, origin: &Assembly, branch: &Assembly) -> Result<(), TrainingError> {
    for part in [PartName::Validation, PartName::Test] {
        if let Some((count, of, what)) = seen(&origin.dataset, &branch.dataset, part) {
            let advice = advice(origin, branch);
            return Err(TrainingError::Seen { run: from.name(), count, of, what, part, advice });
        }
    }
    Ok(())
}

/// How much of a part the origin was trained on, of how much of what; none if it was on nothing of it. Images of other
/// data are known by their files. Where no class of the part is trained on by the branch, none may be by the origin.
fn seen(origin: &Dataset, branch: &Dataset, part: PartName) -> Option<(usize, usize, &'static str)> {
    let (part, same) = (images(branch, part), origin.digest() == branch.digest());
    let disjoint = part.labels().iter().all(|label| branch.train_classes().binary_search(label).is_err());
    if same && disjoint {
        let classes: BTreeSet<i64> = part.labels().iter().copied().collect();
        let count = classes.iter().filter(|label| origin.train_classes().binary_search(label).is_ok()).count();
        return (count > 0).then_some((count, classes.len(), "classes"));
    }
    let trained = origin.train().indices();
    let files: BTreeSet<&Path> = trained.iter().filter_map(|image| origin.file(*image)).collect();
    let is_seen = |image: &&usize| {
        if same {
            trained.binary_search(*image).is_ok()
        } else {
            branch.file(**image).is_some_and(|file| files.contains(file))
        }
    };
    let count = part.indices().iter().filter(is_seen).count();
    (count > 0).then_some((count, part.len(), "images"))
}

/// How to keep the split of the origin.
fn advice(origin: &Assembly, branch: &Assembly) -> String {
    let seed = |assembly: &Assembly| assembly.experiment.data.seed.unwrap_or(assembly.experiment.seed);
    let before = seed(origin);
    let keep = if seed(branch) == before {
        "leave the data and its split as they are there (`data.path`, `data.split`, `data.validation`, `data.test`, \
         `data.test-classes`, `data.folds`, `data.fold`, `data.relabel`)"
            .to_owned()
    } else {
        format!("`--set data.seed={before}` keeps its split, whatever `seed` is")
    };
    format!("{keep}; to measure on this part nevertheless, train from the beginning, without `--from`")
}
