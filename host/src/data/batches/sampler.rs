//! Drawing training batches: P classes, K images of each.

use std::collections::BTreeMap;

use lossmith_plugin::random_streams::{Purpose, generator};
use rand::Rng;

use super::class_quota::ClassQuota;
use super::shuffled::Deck;
use crate::data::config::check;
use crate::data::{ClassWeights, DataError, Dataset, SamplerConfig};

/// Draws the batches of an epoch.
///
/// - A batch has `classes` different classes and `samples` different images of each, class by class.
/// - With `repeat` a class with fewer images has some of them more than once in the batch, all about equally often.
///   Each place has an augmentation of its own.
/// - With two views the batch is followed by itself.
/// - An epoch has as many batches as it takes to see as many images as the training part has, rounded up, and at least
///   as many as it takes for every class to appear.
/// - Every class appears before any appears again; every image of a class does so before any of that class does again.
///   So in classes of one size every image is seen once per epoch, up to the rounding. An image of a small class is
///   seen more often than one of a large class: classes are balanced, not images.
/// - With other class weights than `uniform` each class appears in an epoch in proportion to its weight, up to the
///   rounding, but at most once in a batch; a class of few images may be left out of an epoch.
/// - An epoch depends on the seed and its number only.
pub struct Sampler {
    seed: u64,
    classes: usize,
    samples: usize,
    views: usize,
    class_weights: ClassWeights,
    batches: usize,
    /// The training images of each class.
    images: Vec<Vec<usize>>,
}

/// Draws the classes of a batch.
enum Classes {
    /// All equally often.
    Deck(Deck),
    /// In proportion to their weights.
    Quota(ClassQuota),
}

impl Sampler {
    /// A sampler of the training part.
    ///
    /// # Errors
    /// More classes in a batch than there are, more images of a class than its training part has and no `repeat`, or
    /// two views without augmentation.
    pub fn new(config: &SamplerConfig, dataset: &Dataset, seed: u64) -> Result<Self, DataError> {
        let SamplerConfig { classes, samples, views, repeat, class_weights } = *config;
        check("sampler.classes", &classes, classes > 0, "at least 1")?;
        check("sampler.samples", &samples, samples > 0, "at least 1")?;
        check("sampler.views", &views, views == 1 || views == 2, "1 or 2")?;
        if views == 2 && !dataset.augmentation().enabled {
            return Err(DataError::EqualViews);
        }
        let part = dataset.train();
        let mut images: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (index, label) in part.indices().iter().zip(part.labels()) {
            images.entry(*label).or_default().push(*index);
        }
        let name = |label: &i64| dataset.class_name(*label).to_owned();
        if classes > images.len() {
            let names = images.keys().map(name).collect();
            return Err(DataError::FewSamplerClasses { asked: classes, found: images.len(), names });
        }
        if let Some((label, smallest)) = images.iter().min_by_key(|(_, images)| images.len())
            && samples > smallest.len()
            && !repeat
        {
            let class = name(label);
            return Err(DataError::FewSamples { asked: samples, class, found: smallest.len() });
        }
        // Without `repeat` every class has at least `samples` images, and the second number is never larger.
        let batches = part.len().div_ceil(classes.saturating_mul(samples)).max(images.len().div_ceil(classes));
        let images = images.into_values().collect();
        Ok(Self { seed, classes, samples, views, class_weights, batches, images })
    }

    /// The number of batches of every epoch.
    #[must_use]
    pub fn batches_per_epoch(&self) -> usize {
        self.batches
    }

    /// The number of images of every batch; an image counts as often as it stands there.
    #[must_use]
    pub fn batch_size(&self) -> usize {
        self.classes * self.samples * self.views
    }

    /// The batches of one epoch, each a list of image numbers in the data set.
    #[must_use]
    pub fn epoch(&self, epoch: u64) -> Vec<Vec<usize>> {
        let mut random = generator(self.seed, Purpose::Sampler, epoch, 0);
        let mut classes = self.classes(&mut random);
        let mut images: Vec<Deck> = self.images.iter().cloned().map(Deck::new).collect();
        let mut batch = || {
            let mut batch = Vec::with_capacity(self.classes * self.samples);
            for class in classes.deal(self.classes, &mut random) {
                if let Some(deck) = images.get_mut(class) {
                    // The same as without `repeat` where the class has enough images.
                    batch.append(&mut deck.deal_again(self.samples, &mut random));
                }
            }
            // Each place in a batch is augmented by itself, so a repeated image is another view.
            batch.repeat(self.views)
        };
        (0..self.batches).map(|_| batch()).collect()
    }

    fn classes(&self, random: &mut impl Rng) -> Classes {
        match self.class_weights {
            ClassWeights::Uniform => Classes::Deck(Deck::new((0..self.images.len()).collect())),
            weights => {
                let sizes: Vec<usize> = self.images.iter().map(Vec::len).collect();
                Classes::Quota(ClassQuota::draw(&sizes, weights, self.classes, self.batches, random))
            }
        }
    }
}

impl Classes {
    /// The next `count` classes, all different.
    fn deal(&mut self, count: usize, random: &mut impl Rng) -> Vec<usize> {
        match self {
            Self::Deck(deck) => deck.deal(count, random),
            Self::Quota(quota) => quota.deal(count, random),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use std::collections::BTreeSet;

    use super::*;
    use crate::data::fixtures::{folder_dataset, write_class};
    use crate::data::{DataConfig, DataKind};

    const ONE_VIEW: SamplerConfig =
        SamplerConfig { classes: 1, samples: 1, views: 1, repeat: false, class_weights: ClassWeights::Uniform };

    fn sampler(counts: &[(&str, usize)], classes: usize, samples: usize, seed: u64) -> Result<Sampler, DataError> {
        Sampler::new(&SamplerConfig { classes, samples, ..ONE_VIEW }, &folder_dataset(counts), seed)
    }

    /// The class of an image, when class `c` has `counts[c]` images, one class after the other.
    fn class(counts: &[(&str, usize)], image: usize) -> usize {
        let mut end = 0;
        counts
            .iter()
            .position(|(_, count)| {
                end += count;
                image < end
            })
            .unwrap()
    }

    fn often(epoch: &[Vec<usize>], image: usize) -> usize {
        epoch.iter().flatten().filter(|seen| **seen == image).count()
    }

    #[test]
    fn a_batch_has_p_classes_with_k_different_images() {
        let counts = [("a", 7), ("b", 4), ("c", 5), ("d", 9), ("e", 4)];
        let sampler = sampler(&counts, 3, 4, 1).unwrap();
        assert_eq!((sampler.batches_per_epoch(), sampler.batch_size()), (29_usize.div_ceil(12), 12));
        for batch in (0..20).flat_map(|epoch| sampler.epoch(epoch)) {
            assert_eq!(batch.iter().collect::<BTreeSet<_>>().len(), 12);
            let classes: Vec<usize> = batch.iter().map(|image| class(&counts, *image)).collect();
            assert!(classes.chunks(4).all(|four| four.iter().all(|class| *class == four[0])), "{classes:?}");
            assert_eq!(classes.iter().collect::<BTreeSet<_>>().len(), 3);
        }
    }

    #[test]
    fn every_class_appears_before_any_appears_again() {
        let counts = [("a", 40), ("b", 2), ("c", 3), ("d", 2), ("e", 2), ("f", 2), ("g", 2)];
        let sampler = sampler(&counts, 3, 2, 1).unwrap();
        for epoch in 0..20 {
            let batches = sampler.epoch(epoch);
            assert_eq!(batches.len(), 9);
            let order: Vec<usize> = batches.iter().flatten().step_by(2).map(|image| class(&counts, *image)).collect();
            // Rounds of seven; a class may only be ahead of its round inside one batch.
            for class in 0..7 {
                for end in (3..=order.len()).step_by(3) {
                    let seen = order[..end].iter().filter(|other| **other == class).count();
                    assert!(seen == end / 7 || seen == end.div_ceil(7), "class {class}, {seen} times in {end}");
                }
            }
            assert!((0..7).all(|class| order[..9].contains(&class)), "{order:?}");
        }
    }

    #[test]
    fn every_image_of_equal_classes_is_seen_once() {
        let sampler = sampler(&[("a", 6), ("b", 6), ("c", 6), ("d", 6)], 2, 3, 1).unwrap();
        let epoch = sampler.epoch(0);
        assert!((0..24).all(|image| often(&epoch, image) == 1), "{epoch:?}");
    }

    #[test]
    fn images_of_a_class_are_seen_as_often_as_each_other() {
        let sampler = sampler(&[("a", 5), ("b", 30)], 2, 2, 1).unwrap();
        let epoch = sampler.epoch(3);
        for class in [0..5, 5..35] {
            let counts: Vec<usize> = class.map(|image| often(&epoch, image)).collect();
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
        }
    }

    #[test]
    fn seed_and_epoch_decide() {
        let counts = [("a", 9), ("b", 9), ("c", 9)];
        let draw = |seed, epoch| sampler(&counts, 2, 3, seed).unwrap().epoch(epoch);
        assert_eq!(draw(1, 4), draw(1, 4));
        assert_ne!(draw(1, 4), draw(2, 4));
        assert_ne!(draw(1, 4), draw(1, 5));
    }

    #[test]
    fn a_class_with_too_few_images_is_named() {
        let error = sampler(&[("apple", 5), ("plum", 3), ("pear", 4)], 2, 4, 1).err().unwrap().to_string();
        assert!(error.contains("`sampler.samples` is 4, but class `plum` has only 3 images"), "{error}");
    }

    #[test]
    fn one_image_per_class_has_no_positive_pair() {
        let error = sampler(&[("apple", 1), ("plum", 1)], 2, 2, 1).err().unwrap();
        assert!(error.to_string().contains("class `apple` has only 1 image"), "{error}");
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(help.contains("positive pair") && help.contains("`sampler.repeat`"), "{help}");
    }

    #[test]
    fn more_classes_than_there_are_is_an_error() {
        let error = sampler(&[("apple", 5), ("plum", 5)], 3, 2, 1).err().unwrap().to_string();
        assert!(error.contains("`sampler.classes` is 3, but the training part has 2 classes: apple, plum"), "{error}");
        assert!(sampler(&[("apple", 5)], 0, 2, 1).is_err() && sampler(&[("apple", 5)], 1, 0, 1).is_err());
    }

    #[test]
    fn two_views_are_the_same_batch_twice() {
        let dataset = folder_dataset(&[("a", 9), ("b", 9), ("c", 9)]);
        let with = |views| Sampler::new(&SamplerConfig { classes: 2, samples: 3, views, ..ONE_VIEW }, &dataset, 1);
        let (one, two) = (with(1).unwrap(), with(2).unwrap());
        assert_eq!((two.batches_per_epoch(), two.batch_size()), (one.batches_per_epoch(), 12));
        for (once, twice) in one.epoch(4).iter().zip(two.epoch(4)) {
            assert_eq!(twice, [once.as_slice(), once].concat());
        }
        assert!(with(0).is_err() && with(3).is_err());
    }

    #[test]
    fn two_views_need_augmentation() {
        let root = tempfile::tempdir().unwrap();
        write_class(&root.path().join("a"), 4);
        let mut config = DataConfig { path: Some(root.path().to_owned()), ..DataConfig::new(DataKind::Folder) };
        config.augmentation.enabled = false;
        let dataset = Dataset::open(&config, 1).unwrap();
        let with = |views| Sampler::new(&SamplerConfig { classes: 1, samples: 2, views, ..ONE_VIEW }, &dataset, 1);
        assert!(with(1).is_ok());
        assert!(matches!(with(2), Err(DataError::EqualViews)));
    }

    #[test]
    fn small_classes_repeat_their_images() {
        let dataset = folder_dataset(&[("a", 9), ("b", 2), ("c", 1)]);
        let config = SamplerConfig { classes: 3, samples: 4, repeat: true, ..ONE_VIEW };
        for batch in (0..20).flat_map(|epoch| Sampler::new(&config, &dataset, 1).unwrap().epoch(epoch)) {
            let often = |image| batch.iter().filter(|seen| **seen == image).count();
            assert_eq!([often(9), often(10), often(11)], [2, 2, 4], "{batch:?}");
            assert!((0..9).all(|image| often(image) <= 1) && batch.len() == 12, "{batch:?}");
        }
        // More classes than the images would need batches for.
        let many = folder_dataset(&[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)]);
        let epoch = Sampler::new(&SamplerConfig { classes: 2, ..config }, &many, 1).unwrap().epoch(0);
        assert!(epoch.len() == 3 && (0..5).all(|image| often(&epoch, image) > 0), "{epoch:?}");
    }

    #[test]
    fn repetition_changes_nothing_where_there_are_enough_images() {
        let dataset = folder_dataset(&[("a", 9), ("b", 5), ("c", 7)]);
        let with = |repeat| SamplerConfig { classes: 2, samples: 4, repeat, ..ONE_VIEW };
        let epoch = |repeat| Sampler::new(&with(repeat), &dataset, 3).unwrap().epoch(2);
        assert_eq!(epoch(true), epoch(false));
    }

    #[test]
    fn weights_say_how_often_a_class_is_drawn() {
        let counts = [("a", 64), ("b", 16), ("c", 4), ("d", 36)];
        let dataset = folder_dataset(&counts);
        for (class_weights, shares) in [
            (ClassWeights::Uniform, [5.0, 5.0, 5.0, 5.0]),
            (ClassWeights::SquareRoot, [8.0, 4.0, 2.0, 6.0]),
            (ClassWeights::Frequency, [64.0, 16.0, 4.0, 36.0]),
        ] {
            let config = SamplerConfig { samples: 3, class_weights, ..ONE_VIEW };
            let sampler = Sampler::new(&config, &dataset, 1).unwrap();
            for epoch in (0..10).map(|epoch| sampler.epoch(epoch)) {
                assert_eq!(epoch.len(), 40);
                for (number, share) in shares.iter().enumerate() {
                    let drawn = epoch.iter().filter(|batch| class(&counts, batch[0]) == number).count();
                    let exact = 40.0 * share / shares.iter().sum::<f64>();
                    assert!((drawn as f64 - exact).abs() < 1.0, "class {number}: {drawn}, expected {exact}");
                }
            }
            assert_eq!(sampler.epoch(4), Sampler::new(&config, &dataset, 1).unwrap().epoch(4));
            assert_ne!(sampler.epoch(4), sampler.epoch(5));
        }
    }
}
