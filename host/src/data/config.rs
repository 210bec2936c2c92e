//! The `[data]` table of an experiment.

use std::fmt::Debug;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AugmentationConfig, DataError, DataKind, Preparation};

/// Where the images come from, how they are split and how they are prepared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DataConfig {
    /// What the data is: `fashion-mnist`, `emoji`, `cub-200-2011`, `cars196`, `stanford-online-products`, `raf-db`,
    /// `affectnet`, `fer2013`, `sfew`, `ck-plus`, `mmi`, `folder` or `manifest`. `lossmith data list` says what of it
    /// is there.
    pub kind: DataKind,
    /// The folder of the data, for a `manifest` its CSV file; a relative path starts at the folder of the experiment
    /// file. A `folder` and a `manifest` must give it. The default for the others is the first existing of
    /// `$LOSSMITH_DATA/<kind>`, `.data/<kind>` and, for `fashion-mnist`, `/usr/share/datasets/fashion-mnist`.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// Seed of the split and of `limit`. Default: the experiment's seed. Give it to train with several seeds on one
    /// split.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Height and width of the network's input in pixels, 1 to 4096. Default: 28 for `fashion-mnist`, 32 for `emoji`,
    /// 48 for `fer2013`, 100 for the other faces, 64 for `folder` and `manifest`, else 224.
    #[serde(default)]
    pub size: Option<usize>,
    /// Which images are for training and which for testing. Default: `auto`.
    #[serde(default)]
    pub split: SplitKind,
    /// Share of the training part that becomes the validation part, at least 0 and below 1. `closed-set` takes this
    /// share of the training images, spread evenly over the classes, and never the last image of a class; data with
    /// validation images of its own, as `fer2013` has, uses these instead. `subject-folds` takes this share of the
    /// subjects that are not tested, rounded to the nearest whole number but at least one subject. `class-disjoint` and
    /// `official` take this share of the training classes, rounded to the nearest whole number but at least two
    /// classes: among images of one class every neighbour is right. Where `closed-set` would take no two images of any
    /// class, it takes two each of fewer classes, so that they can be searched for, as long as there are two classes
    /// with four images. With 0 no validation part is drawn.
    #[serde(default = "default_validation")]
    pub validation: f64,
    /// Share of the images that becomes the test part, at least 0 and below 1, spread over the classes as `validation`
    /// is. Only for the `closed-set` split of data without test images of its own, which `fashion-mnist`, `raf-db`,
    /// `affectnet`, `fer2013`, `sfew`, a folder with `train` and `test`, and a manifest with `test` in its column
    /// `split` have.
    #[serde(default = "default_test")]
    pub test: f64,
    /// Share of the classes that becomes the test part of the `class-disjoint` split, above 0 and below 1, rounded to
    /// the nearest whole number but at least one class.
    #[serde(default = "default_test_classes")]
    pub test_classes: f64,
    /// Folds of the `subject-folds` split, at least 2. Default: 10, or as many as a manifest numbers in its column
    /// `split`.
    #[serde(default)]
    pub folds: Option<usize>,
    /// Which fold of the `subject-folds` split is tested, from 0 and below `folds`.
    #[serde(default)]
    pub fold: usize,
    /// A CSV file with the columns `class` and `label`, for other classes than those of the data: the images of a class
    /// get the class `label`, and those of a class that is not listed are left out. A relative path starts at the
    /// folder of the experiment file.
    #[serde(default)]
    pub relabel: Option<PathBuf>,
    /// Most images of each part, for quick tries, at least 1. Classes give the same number of images as far as they
    /// have them, but in the validation and the test part at least two; the seed says which. Default: all images.
    #[serde(default)]
    pub limit: Option<usize>,
    /// Mean of each channel on the scale of 0 (black) to 1 (white), one number a channel. Default: 0.2860 for
    /// `fashion-mnist`, 0.5 for `fer2013`, else ImageNet's 0.485, 0.456, 0.406.
    #[serde(default)]
    pub mean: Option<Vec<f64>>,
    /// Standard deviation of each channel on the same scale, above 0, one number a channel. Default: 0.3530 for
    /// `fashion-mnist`, 0.25 for `fer2013`, else ImageNet's 0.229, 0.224, 0.225.
    #[serde(default)]
    pub std: Option<Vec<f64>>,
    /// Random changes of the training images.
    #[serde(default)]
    pub augmentation: AugmentationConfig,
    /// Threads that prepare batches ahead of the step, 1 to 256. The batches do not depend on it.
    #[serde(default = "default_workers")]
    pub workers: usize,
}

/// Which images are for training and which for testing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SplitKind {
    /// `official` where the data has such a split; `subject-folds` for `ck-plus`, `mmi` and a manifest that numbers
    /// folds; else as `closed-set`, but where the data has parts of its own (a folder with `train`, or the column
    /// `split` of a manifest) they are used as they are, even if they share no class. Then a validation part that is
    /// missing is drawn of whole classes, and a test part is not drawn.
    #[default]
    Auto,
    /// Every class is in all parts. The data's own test images are the test part; data without them gives `test` of its
    /// images. Its own validation images are the validation part.
    ClosedSet,
    /// No class is in two parts. All images are put together, and the seed draws the classes of each part.
    ClassDisjoint,
    /// No class is in two parts, and the data's publisher says which classes are for testing: the second half of
    /// `cub-200-2011` and of `cars196`, the test file of `stanford-online-products`. The seed draws the classes for
    /// validation. The other kinds have no such split.
    Official,
    /// No subject is in two parts: cross-validation over the people of `ck-plus` and `mmi`, the designers of `emoji` or
    /// the subjects of a manifest. The seed shuffles the subjects, and each goes to the fold with the fewest images so
    /// far. Fold number `fold` is the test part, the seed draws subjects of the other folds for validation, and the
    /// rest trains. With as many folds as subjects one is left out at a time. The parts that the data gives its images
    /// are not used.
    SubjectFolds,
}

/// Folds of subjects, if neither the configuration nor the data says how many.
pub(super) const DEFAULT_FOLDS: usize = 10;

fn default_validation() -> f64 {
    0.1
}

fn default_test() -> f64 {
    0.2
}

fn default_test_classes() -> f64 {
    0.5
}

fn default_workers() -> usize {
    2
}

impl DataConfig {
    /// The defaults for one kind of data.
    #[must_use]
    pub fn new(kind: DataKind) -> Self {
        Self {
            kind,
            path: None,
            seed: None,
            size: None,
            split: SplitKind::default(),
            validation: default_validation(),
            test: default_test(),
            test_classes: default_test_classes(),
            folds: None,
            fold: 0,
            relabel: None,
            limit: None,
            mean: None,
            std: None,
            augmentation: AugmentationConfig::default(),
            workers: default_workers(),
        }
    }

    /// Height and width of the network's input in pixels: the configured ones or the default of the kind.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size.unwrap_or_else(|| self.kind.size())
    }

    /// Size and normalisation of the images: the configured ones or the defaults of the kind.
    #[must_use]
    pub fn preparation(&self) -> Preparation {
        Preparation::new(self.size(), &self.mean(), &self.std())
    }

    /// Which images are for training and which for testing, never [`SplitKind::Auto`], as far as the kind of the data
    /// decides it: a manifest that numbers folds makes `subject-folds` of `auto`.
    #[must_use]
    pub fn split(&self) -> SplitKind {
        match self.split {
            SplitKind::Auto if self.kind.has_official_split() => SplitKind::Official,
            SplitKind::Auto if self.kind.has_subject_folds() => SplitKind::SubjectFolds,
            SplitKind::Auto => SplitKind::ClosedSet,
            split => split,
        }
    }

    /// Mean of each channel: the configured one or the default of the kind.
    pub(super) fn mean(&self) -> Vec<f64> {
        self.mean.clone().unwrap_or_else(|| self.kind.mean())
    }

    /// Standard deviation of each channel: the configured one or the default of the kind.
    pub(super) fn std(&self) -> Vec<f64> {
        self.std.clone().unwrap_or_else(|| self.kind.std())
    }

    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// [`DataError::Setting`] names the first key that is not.
    pub fn check(&self) -> Result<(), DataError> {
        let channels = self.kind.channels();
        let share = |key, value: f64| check(key, &value, (0.0..1.0).contains(&value), "at least 0 and below 1");
        check("data.size", &self.size(), (1..=4096).contains(&self.size()), "1 to 4096 pixels")?;
        share("data.validation", self.validation)?;
        share("data.test", self.test)?;
        let test_classes = self.test_classes > 0.0 && self.test_classes < 1.0;
        check("data.test-classes", &self.test_classes, test_classes, "above 0 and below 1")?;
        if self.split == SplitKind::Official && !self.kind.has_official_split() {
            return Err(DataError::NoOfficialSplit { kind: self.kind });
        }
        check("data.folds", &self.folds, self.folds.is_none_or(|folds| folds >= 2), "at least 2")?;
        // How many folds a manifest has is in the manifest.
        let folds = self.folds.or_else(|| (self.kind != DataKind::Manifest).then_some(DEFAULT_FOLDS));
        let fold = folds.is_none_or(|folds| self.fold < folds);
        check("data.fold", &self.fold, fold, "below `data.folds`, the number of folds")?;
        check("data.limit", &self.limit, self.limit != Some(0), "at least 1")?;
        check("data.workers", &self.workers, (1..=256).contains(&self.workers), "1 to 256")?;
        let one_a_channel = if channels == 1 { "one number" } else { "three numbers, one a channel" };
        let (mean, std) = (self.mean(), self.std());
        check("data.mean", &mean, mean.len() == channels && mean.iter().all(|m| m.is_finite()), one_a_channel)?;
        check("data.std", &std, std.len() == channels, one_a_channel)?;
        check("data.std", &std, std.iter().all(|s| s.is_finite() && *s > 0.0), "above 0")?;
        let AugmentationConfig { crop_scale: scale, crop_ratio: ratio, flip, .. } = &self.augmentation;
        let rising = |[low, high]: [f64; 2], top: f64| low > 0.0 && low <= high && high <= top;
        check(
            "data.augmentation.crop-scale",
            scale,
            rising(*scale, 1.0),
            "[smallest, largest], above 0 and at most 1",
        )?;
        check("data.augmentation.crop-ratio", ratio, rising(*ratio, f64::MAX), "[smallest, largest], above 0")?;
        check("data.augmentation.flip", flip, (0.0..=1.0).contains(flip), "0 to 1")
    }
}

/// An error that names `key` unless `holds`.
pub(super) fn check(key: &'static str, found: &dyn Debug, holds: bool, expected: &str) -> Result<(), DataError> {
    if holds {
        Ok(())
    } else {
        Err(DataError::Setting { key, found: format!("{found:?}"), expected: expected.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn the_defaults_are_in_range_and_survive_toml() {
        for kind in DataKind::ALL {
            let config = DataConfig::new(kind);
            config.check().unwrap();
            assert_eq!(toml::from_str::<DataConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
        }
        assert_eq!(toml::from_str::<DataConfig>("kind = 'folder'").unwrap(), DataConfig::new(DataKind::Folder));
    }

    #[test]
    fn keys_are_written_with_hyphens_and_unknown_ones_are_refused() {
        let text = "kind = 'fashion-mnist'\nsplit = 'class-disjoint'\ntest-classes = 0.3\n[augmentation]\n\
            crop-scale = [0.5, 1]";
        let config: DataConfig = toml::from_str(text).unwrap();
        assert_eq!((config.split, config.test_classes), (SplitKind::ClassDisjoint, 0.3));
        assert_eq!(config.augmentation.crop_scale, [0.5, 1.0]);
        let error = toml::from_str::<DataConfig>("kind = 'folder'\nvalidaton = 0.2").unwrap_err();
        assert!(error.message().contains("validaton"), "{error}");
    }

    #[test]
    fn the_kind_decides_the_split_if_nobody_does() {
        for kind in DataKind::ALL {
            let with = |split| DataConfig { split, ..DataConfig::new(kind) };
            let official = kind.has_official_split();
            let expected = match kind {
                DataKind::CkPlus | DataKind::Mmi => SplitKind::SubjectFolds,
                _ if official => SplitKind::Official,
                _ => SplitKind::ClosedSet,
            };
            assert_eq!(with(SplitKind::Auto).split(), expected);
            assert_eq!(with(SplitKind::ClassDisjoint).split(), SplitKind::ClassDisjoint);
            assert_eq!(with(SplitKind::Official).check().is_ok(), official);
        }
        let error = DataConfig { split: SplitKind::Official, ..DataConfig::new(DataKind::Emoji) }.check().unwrap_err();
        assert!(error.to_string().contains("data of kind `emoji` has no official split"), "{error}");
    }

    #[test]
    fn a_number_out_of_range_is_named() {
        for (key, text) in [
            ("data.size", "size = 0"),
            ("data.validation", "validation = 1.0"),
            ("data.validation", "validation = nan"),
            ("data.test", "test = -0.1"),
            ("data.test-classes", "test-classes = 0.0"),
            ("data.folds", "folds = 1"),
            ("data.fold", "folds = 4\nfold = 4"),
            ("data.fold", "fold = 10"),
            ("data.limit", "limit = 0"),
            ("data.workers", "workers = 0"),
            ("data.mean", "mean = [0.5]"),
            ("data.std", "std = [0.5, 0.5]"),
            ("data.std", "std = [0.5, 0.0, 0.5]"),
            ("data.augmentation.crop-scale", "augmentation.crop-scale = [0.5, 0.4]"),
            ("data.augmentation.crop-scale", "augmentation.crop-scale = [0.5, 1.1]"),
            ("data.augmentation.crop-ratio", "augmentation.crop-ratio = [0.0, 1.0]"),
            ("data.augmentation.flip", "augmentation.flip = 1.5"),
        ] {
            let config: DataConfig = toml::from_str(&format!("kind = 'folder'\n{text}")).unwrap();
            let error = config.check().unwrap_err();
            assert!(matches!(error, DataError::Setting { key: k, .. } if k == key), "{text}: {error}");
        }
    }
}
