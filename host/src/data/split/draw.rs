//! Drawing images: what each draw is for, and the images of each class in a drawn order.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use lossmith_plugin::random_streams::{Purpose, generator};

/// The purpose of a draw: each has its own stream of random numbers.
#[derive(Clone, Copy)]
pub(super) enum Draw {
    TestClasses = 0,
    Test = 1,
    Validation = 2,
    Limit = 3,
    ValidationClasses = 4,
    SubjectFolds = 5,
    ValidationSubjects = 6,
}

/// The images of each class.
pub(super) type Classes = BTreeMap<i64, Vec<usize>>;

/// The given images by their classes.
pub(super) fn classes(labels: &[i64], images: impl IntoIterator<Item = usize>) -> Classes {
    let mut classes = Classes::new();
    for image in images {
        if let Some(label) = labels.get(image) {
            classes.entry(*label).or_default().push(image);
        }
    }
    classes
}

/// Shuffles the images of each class; a class's order does not depend on the others.
pub(super) fn shuffle(classes: &mut Classes, seed: u64, draw: Draw) {
    for (label, images) in classes {
        let mut random = generator(seed, Purpose::Split, draw as u64, label.unsigned_abs());
        images.shuffle(&mut random);
    }
}
