//! The parts of the data: for training, for validation and for testing.

use std::collections::BTreeMap;
use std::fmt;

use super::files::{RetrievalRole, Scan};

/// A part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartName {
    /// What the network learns from.
    Train,
    /// What settings and the best checkpoint are chosen by.
    Validation,
    /// What is measured once, at the end.
    Test,
}

impl fmt::Display for PartName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}

/// Images that belong together: those for training, for validation or for testing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    indices: Vec<usize>,
    labels: Vec<i64>,
    /// Which images are queries and which are in the gallery, if the data says so.
    roles: Option<(Vec<bool>, Vec<bool>)>,
}

impl Part {
    pub(super) fn new(indices: Vec<usize>, scan: &Scan) -> Self {
        let labels = indices.iter().filter_map(|index| scan.labels.get(*index)).copied().collect();
        let of_part = |roles: &Vec<RetrievalRole>| {
            let roles = indices.iter().filter_map(|index| roles.get(*index));
            roles.map(|role| (role.query, role.gallery)).unzip()
        };
        Self { roles: scan.roles.as_ref().map(of_part), indices, labels }
    }

    /// The part without queries and gallery: every image is searched for among all others.
    pub(super) fn whole(self) -> Self {
        Self { roles: None, ..self }
    }

    /// The images' numbers in the data set, ascending.
    #[must_use]
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// The class of each image of [`Part::indices`], an index into [`super::Dataset::class_names`].
    #[must_use]
    pub fn labels(&self) -> &[i64] {
        &self.labels
    }

    /// The number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are no images.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Of each image of [`Part::indices`] whether it is a query, and whether it is in the gallery that queries are
    /// searched for in. None if the data does not say it: then every image is searched for among all others.
    #[must_use]
    pub fn queries_and_gallery(&self) -> Option<(&[bool], &[bool])> {
        self.roles.as_ref().map(|(queries, gallery)| (queries.as_slice(), gallery.as_slice()))
    }

    /// Whether there is a query with an image of its class to find.
    #[must_use]
    pub fn has_pair(&self) -> bool {
        let Some((queries, gallery)) = &self.roles else { return self.classes().len() < self.len() };
        let mut found: BTreeMap<i64, usize> = BTreeMap::new();
        for (label, _) in self.labels.iter().zip(gallery).filter(|(_, gallery)| **gallery) {
            *found.entry(*label).or_default() += 1;
        }
        self.labels.iter().zip(queries).zip(gallery).any(|((label, query), gallery)| {
            // An image does not find itself.
            *query && found.get(label).copied().unwrap_or(0) > usize::from(*gallery)
        })
    }

    /// The classes that have an image here, ascending.
    pub(super) fn classes(&self) -> Vec<i64> {
        let mut classes = self.labels.clone();
        classes.sort_unstable();
        classes.dedup();
        classes
    }
}
