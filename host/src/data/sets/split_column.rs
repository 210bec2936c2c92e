//! The column `split` of a manifest: the part of each image, or its fold.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::data::DataError;
use crate::data::files::{Index, OwnPart};
use lossmith_plugin::suggest::nearest;

/// The part or the fold that the column gives an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartOrFold {
    Part(OwnPart),
    Fold(usize),
}

impl PartOrFold {
    /// A text for the digest of the data, which must stay as it is.
    pub(super) fn digest(self) -> String {
        match self {
            Self::Part(OwnPart::Train) => "Part(Train)".to_owned(),
            Self::Part(OwnPart::Validation) => "Part(Validation)".to_owned(),
            Self::Part(OwnPart::Test) => "Part(Test)".to_owned(),
            Self::Fold(fold) => format!("Fold({fold})"),
        }
    }

    fn name(self) -> String {
        match self {
            Self::Part(part) => part.name().to_owned(),
            Self::Fold(fold) => fold.to_string(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let part = OwnPart::ALL.into_iter().find(|part| part.names().contains(&text)).map(Self::Part);
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        part.or_else(|| digits.then(|| text.parse().ok().map(Self::Fold))?)
    }
}

/// Reads the cells of a column in the order of its lines and checks that they fit together.
#[derive(Default)]
pub(super) struct SplitColumn {
    /// The first cell and its line.
    first: Option<(u64, PartOrFold)>,
    /// The first line of each fold.
    folds: BTreeMap<usize, u64>,
    /// The first line of each subject and its cell.
    subjects: BTreeMap<String, (u64, PartOrFold)>,
}

impl SplitColumn {
    /// The cell of a line. All cells must be parts or all folds, and those of one subject must be equal.
    pub(super) fn place(
        &mut self,
        index: Index,
        line: u64,
        text: &str,
        subject: Option<&str>,
    ) -> Result<PartOrFold, DataError> {
        let known = OwnPart::ALL.map(OwnPart::name);
        let place = PartOrFold::parse(text).ok_or_else(|| {
            let hint = nearest(text, &known).map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
            let help = format!(
                "{hint}a cell is `train`, `validation` (or `val`, `valid`) or `test`, or the number of a fold from 0"
            );
            index.wrong(line, format!("`{text}` in the column `split` is no part and no fold"), help)
        })?;
        let (first_line, first) = *self.first.get_or_insert((line, place));
        if matches!(first, PartOrFold::Part(_)) != matches!(place, PartOrFold::Part(_)) {
            let problem = format!(
                "the column `split` has `{}`, but `{}` in line {first_line}: words and numbers are mixed",
                place.name(),
                first.name()
            );
            return Err(index.wrong(line, problem, "name a part in every line, or number a fold in every line"));
        }
        if let PartOrFold::Fold(fold) = place {
            self.folds.entry(fold).or_insert(line);
        }
        match subject.map(|subject| self.subjects.entry(subject.to_owned())) {
            Some(Entry::Occupied(known)) if known.get().1 != place => {
                let (first_line, first) = known.get();
                let what = if matches!(place, PartOrFold::Part(_)) { "part" } else { "fold" };
                let problem = format!(
                    "the subject `{}` is in {what} `{}`, but in `{}` in line {first_line}",
                    known.key(),
                    place.name(),
                    first.name()
                );
                Err(index.wrong(line, problem, format!("all images of a subject belong into one {what}")))
            }
            Some(entry) => {
                entry.or_insert((line, place));
                Ok(place)
            }
            None => Ok(place),
        }
    }

    /// Checks that there are two folds at least and none is missing between them, or that there is a training part.
    pub(super) fn finish(self, index: Index, places: &[PartOrFold]) -> Result<(), DataError> {
        let train = places.contains(&PartOrFold::Part(OwnPart::Train));
        if matches!(self.first, Some((_, PartOrFold::Part(_)))) && !train {
            let help = "write `train` into the lines of the images to train on";
            return Err(index.wrong(0, "no image has `train` in the column `split`", help));
        }
        if let Some((expected, (fold, line))) = self.folds.iter().enumerate().find(|(place, (fold, _))| place != *fold)
        {
            let problem = format!("there is fold {fold}, but no image is in fold {expected}");
            return Err(index.wrong(*line, problem, "number the folds from 0 without a gap"));
        }
        if self.folds.len() == 1 {
            let help = "number at least two folds, from 0";
            return Err(index.wrong(0, "all images are in fold 0, so none would be left for training", help));
        }
        Ok(())
    }
}
