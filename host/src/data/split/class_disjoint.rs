//! Splits in which no class is in two parts.

use rand::seq::SliceRandom;

use super::draw::{Classes, Draw};
use crate::data::{DataConfig, DataError};
use lossmith_plugin::random_streams::{Purpose, generator};

/// `share` of a number of classes, rounded to the nearest whole number.
pub(super) fn share(share: f64, of: usize) -> usize {
    (of as f64 * share).round() as usize
}

/// Takes the classes for validation from those that are not for testing. One class would make no validation part: among
/// images of one class every neighbour is right.
pub(super) fn divide_classes(
    config: &DataConfig,
    rest: Classes,
    test: &Classes,
    seed: u64,
) -> Result<(Classes, Classes), DataError> {
    let validation = if config.validation > 0.0 { share(config.validation, rest.len()).max(2) } else { 0 };
    let left = rest.len().saturating_sub(validation);
    if left < 2 {
        let classes = rest.len() + test.len();
        return Err(DataError::FewClasses { classes, test: test.len(), validation, left });
    }
    Ok(draw_classes(rest, validation, seed, Draw::ValidationClasses))
}

/// Moves `count` classes into a second part.
pub(super) fn draw_classes(mut classes: Classes, count: usize, seed: u64, draw: Draw) -> (Classes, Classes) {
    let mut labels: Vec<i64> = classes.keys().copied().collect();
    labels.shuffle(&mut generator(seed, Purpose::Split, draw as u64, 0));
    let drawn = labels.split_off(labels.len().saturating_sub(count));
    let drawn = drawn.into_iter().filter_map(|label| classes.remove_entry(&label)).collect();
    (classes, drawn)
}
