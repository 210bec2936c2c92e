//! Warnings about data, before anything is trained on it.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization;

use super::files::{ImageSource, OwnPart};
use super::{DataError, Part, SplitKind};

/// Images that are compared to find out whether all are equal.
const COMPARED: usize = 1000;

/// Fewer training classes than this are worth a word where a split takes classes away.
const FEW_CLASSES: usize = 5;

/// Classes whose names mean the same to a reader, but not to a computer.
pub(super) fn similar_classes(names: &[String]) -> Vec<String> {
    let mut readings: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for name in names {
        let read: String = name.nfkc().flat_map(char::to_lowercase).collect();
        readings.entry(read.split_whitespace().collect::<Vec<_>>().join(" ")).or_default().push(name);
    }
    let similar = readings.into_values().filter(|names| names.len() > 1);
    let text = |names: Vec<&String>| {
        let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
        let names = names.join(" and ");
        format!(
            "{names} are different classes whose names differ only in capitals, blanks or the encoding of characters"
        )
    };
    similar.map(text).collect()
}

/// Why the images of a part cannot be searched for among each other, if they cannot.
pub(super) fn unmeasured(name: OwnPart, part: &Part) -> Option<String> {
    let name = name.name();
    if part.is_empty() {
        return None;
    }
    let result = "its retrieval is not measured";
    if !part.has_pair() {
        let problem = match part.queries_and_gallery() {
            Some(_) => "has no query with an image of its class in the gallery",
            None => "has no class with two images",
        };
        return Some(format!(
            "the {name} part {problem}: {result}; more images of a class, or a larger share, would change that"
        ));
    }
    if part.classes().len() == 1 {
        return Some(format!(
            "the {name} part has one class, in which every neighbour is right: its retrieval says nothing"
        ));
    }
    let (queries, gallery) = part.queries_and_gallery()?;
    let unused = queries.iter().zip(gallery).filter(|(query, gallery)| !**query && !**gallery).count();
    let are = if unused == 1 { "image is" } else { "images are" };
    (unused > 0).then(|| {
        format!("{unused} {are} neither query nor in the gallery of the {name} part, and not used for its retrieval")
    })
}

/// A warning if a split of classes leaves few for training.
pub(super) fn few_classes(split: SplitKind, parts: [&Part; 3]) -> Option<String> {
    let keys = match split {
        SplitKind::ClassDisjoint => "`data.test-classes` and `data.validation` say",
        SplitKind::Official => "`data.validation` says",
        SplitKind::Auto | SplitKind::ClosedSet | SplitKind::SubjectFolds => return None,
    };
    let [train, validation, test] = parts.map(|part| part.classes().len());
    (train < FEW_CLASSES).then(|| {
        format!(
            "of {} classes, {test} are for testing and {validation} for validation, which leaves {train} for \
             training: few to learn a distance from; {keys} how many are taken",
            train + validation + test
        )
    })
}

/// A warning if all training images are equal once they are decoded.
pub(super) fn equal_images(source: &ImageSource, train: &Part) -> Result<Option<String>, DataError> {
    let step = train.len().div_ceil(COMPARED).max(1);
    let mut images = train.indices().iter().step_by(step);
    let Some(first) = images.next().and_then(|image| source.picture(*image)).transpose()? else { return Ok(None) };
    let mut compared = 1;
    for image in images {
        let Some(other) = source.picture(*image).transpose()? else { continue };
        if (other.width, other.height, &other.pixels) != (first.width, first.height, &first.pixels) {
            return Ok(None);
        }
        compared += 1;
    }
    Ok((compared > 1).then(|| {
        format!(
            "all of {compared} training images are equal pixel by pixel: nothing can be learned from them; transparent \
             pixels are white, so white shapes on a transparent ground cannot be seen"
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_reader_takes_for_one_are_told() {
        let names = ["cat", "Cat", "caf\u{e9}", "cafe\u{301}", "dog", "hot  dog", "hot dog", "dogs"].map(str::to_owned);
        let found = similar_classes(&names);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().any(|text| text.starts_with("`cat` and `Cat` are different classes")), "{found:?}");
        assert_eq!(similar_classes(&["a".to_owned(), "b".to_owned()]), Vec::<String>::new());
    }
}
