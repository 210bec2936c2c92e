//! The data set: all images, their classes and their parts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use image::RgbImage;
use lossmith_images::Preparation;

use super::files::{ImageSource, OwnPart, Survey};
use super::split::{Split, split};
use super::{AugmentationConfig, DataConfig, DataError, DataKind, DataSummary, Part, Skipped, find, sets, warnings};

/// An opened data set. It never changes, so threads can share it.
pub struct Dataset {
    kind: DataKind,
    path: PathBuf,
    source: ImageSource,
    labels: Vec<i64>,
    subjects: Option<Vec<String>>,
    class_names: Vec<String>,
    train_classes: Vec<i64>,
    train: Part,
    validation: Part,
    test: Part,
    size: usize,
    preparation: Preparation,
    augmentation: AugmentationConfig,
    workers: usize,
    skipped: Vec<Skipped>,
    warnings: Vec<String>,
    digest: String,
}

impl Dataset {
    /// Finds the data, checks it and splits it by `data.seed`, or by `seed` if there is none. Pixels of Fashion-MNIST
    /// (55 MB) and FER2013 (83 MB) are read now; of image files only the beginning, so one that is damaged behind it is
    /// an error of the [`super::BatchLoader`].
    ///
    /// # Errors
    /// A setting out of range, data that is not there or damaged, a class without images, too few classes or subjects
    /// for the split.
    pub fn open(config: &DataConfig, seed: u64) -> Result<Self, DataError> {
        config.check()?;
        let path = config.path.clone().map_or_else(|| find(config.kind), Ok)?;
        let scan = sets::scan(config, &path)?;
        let survey = Survey::of(&scan.source, config.workers)?;
        let Split { train, validation, test } = split(config, &scan, config.seed.unwrap_or(seed))?;
        let part = |indices| Part::new(indices, &scan);
        let (train, validation, test) = (part(train).whole(), part(validation), part(test));
        let mut warnings = scan.warnings;
        warnings.extend(warnings::similar_classes(&scan.class_names));
        if survey.animated > 0 {
            warnings.push(format!("{} of the images are animated; the first frame of each is used", survey.animated));
        }
        warnings.extend(warnings::equal_images(&scan.source, &train)?);
        warnings.extend(warnings::few_classes(config.split(), [&train, &validation, &test]));
        let measured = [(OwnPart::Validation, &validation), (OwnPart::Test, &test)];
        warnings.extend(measured.into_iter().filter_map(|(name, part)| warnings::unmeasured(name, part)));
        Ok(Self {
            kind: config.kind,
            path,
            train_classes: train.classes(),
            train,
            validation,
            test,
            size: config.size(),
            preparation: config.preparation(),
            augmentation: config.augmentation.clone(),
            workers: config.workers,
            source: scan.source,
            labels: scan.labels,
            subjects: scan.subjects,
            class_names: scan.class_names,
            skipped: scan.skipped,
            warnings,
            digest: survey.digest(scan.digest),
        })
    }

    /// The images to train on.
    #[must_use]
    pub fn train(&self) -> &Part {
        &self.train
    }

    /// The images to choose settings with; may be empty.
    #[must_use]
    pub fn validation(&self) -> &Part {
        &self.validation
    }

    /// The images for the final measurement; may be empty.
    #[must_use]
    pub fn test(&self) -> &Part {
        &self.test
    }

    /// The number of all images, of every part and outside `limit`, without those that `data.relabel` leaves out.
    #[must_use]
    pub fn images(&self) -> usize {
        self.labels.len()
    }

    /// The classes of the training part, ascending. The place of a class in this list is its label in a training batch,
    /// so these labels are 0 to `train_classes().len() - 1`.
    #[must_use]
    pub fn train_classes(&self) -> &[i64] {
        &self.train_classes
    }

    /// The names of all classes, of every part.
    #[must_use]
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// Channels of an image: 1 or 3.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.kind.channels()
    }

    /// Height and width of the network's input in pixels.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// SHA-256 of the content in hexadecimal: of the uncompressed bytes of IDX files; of the pixels, labels and parts
    /// of FER2013; of the names, sizes and labels of image files, and which of them are turned or can be transparent;
    /// of a list's subjects, parts, areas, queries and gallery, the boxes of faces and what `data.relabel` says, where
    /// there are such. It does not depend on where the data lies or how the configuration splits it.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whom an image shows, or who drew it, by the number of the image; `None` if the data does not say it or has no
    /// such image.
    #[must_use]
    pub fn subject(&self, index: usize) -> Option<&str> {
        self.subjects.as_ref()?.get(index).map(String::as_str)
    }

    /// Warnings about the data, each a sentence.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The names of the classes that are validated or tested, but not trained on.
    #[must_use]
    pub fn untrained_classes(&self) -> Vec<&str> {
        let measured: BTreeSet<i64> = [&self.validation, &self.test].into_iter().flat_map(Part::classes).collect();
        let untrained = measured.into_iter().filter(|label| self.train_classes.binary_search(label).is_err());
        untrained.map(|label| self.class_name(label)).collect()
    }

    /// The summary, for a person or a program to read.
    #[must_use]
    pub fn summary(&self) -> DataSummary {
        let count = |part: &Part| (part.len(), part.classes().len());
        DataSummary {
            kind: self.kind,
            path: self.path.clone(),
            train: count(&self.train).into(),
            validation: count(&self.validation).into(),
            test: count(&self.test).into(),
            subjects: self.subjects.as_ref().map(|subjects| subjects.iter().collect::<BTreeSet<_>>().len()),
            skipped_files: self.skipped.len(),
            skipped: self.skipped.clone(),
            digest: self.digest.clone(),
        }
    }

    /// An image as it is in the data, by its number; grey ones have three equal channels. None if there is no such
    /// image.
    ///
    /// # Errors
    /// Its file cannot be read or decoded.
    pub fn picture(&self, index: usize) -> Result<Option<RgbImage>, DataError> {
        let Some(picture) = self.source.picture(index).transpose()? else { return Ok(None) };
        let pixels = match self.channels() {
            1 => picture.pixels.iter().flat_map(|grey| [*grey; 3]).collect(),
            _ => picture.pixels.into_owned(),
        };
        Ok(RgbImage::from_raw(picture.width as u32, picture.height as u32, pixels))
    }

    /// The file of an image by its number; `None` where the images are in no files of their own.
    #[must_use]
    pub fn file(&self, index: usize) -> Option<&Path> {
        match &self.source {
            ImageSource::Bytes { .. } => None,
            ImageSource::Files(files) => files.get(index).map(|file| file.path.as_path()),
        }
    }

    /// The name of a class; empty if there is no such class.
    #[must_use]
    pub fn class_name(&self, label: i64) -> &str {
        usize::try_from(label).ok().and_then(|label| self.class_names.get(label)).map_or("", String::as_str)
    }

    /// The image files with their classes, by the number of the image; none where the images are not in files of their
    /// own.
    pub fn files(&self) -> impl Iterator<Item = (&Path, i64)> {
        let files = match &self.source {
            ImageSource::Bytes { .. } => [].as_slice(),
            ImageSource::Files(files) => files,
        };
        files.iter().map(|file| file.path.as_path()).zip(self.labels.iter().copied())
    }

    pub(super) fn source(&self) -> &ImageSource {
        &self.source
    }

    /// The class of every image.
    pub(super) fn labels(&self) -> &[i64] {
        &self.labels
    }

    /// The folder or file that the data was opened from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether training images are changed at random.
    #[must_use]
    pub fn augmented(&self) -> bool {
        self.augmentation.enabled
    }

    /// This data set's size and normalisation.
    #[must_use]
    pub fn preparation(&self) -> &Preparation {
        &self.preparation
    }

    pub(super) fn augmentation(&self) -> &AugmentationConfig {
        &self.augmentation
    }

    pub(super) fn workers(&self) -> usize {
        self.workers
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use std::path::Path;

    use super::super::SplitKind;
    use super::super::fixtures::{write_cars, write_class, write_cub, write_fashion_mnist, write_products};
    use super::*;

    fn folder(path: &Path) -> DataConfig {
        DataConfig { path: Some(path.to_owned()), ..DataConfig::new(DataKind::Folder) }
    }

    #[test]
    fn the_installed_fashion_mnist_opens() {
        let config = DataConfig::new(DataKind::FashionMnist);
        let dataset = Dataset::open(&config, 1).unwrap();
        assert_eq!([dataset.train(), dataset.validation(), dataset.test()].map(Part::len), [54_000, 6_000, 10_000]);
        for part in [dataset.train(), dataset.validation(), dataset.test()] {
            let count = |class| part.labels().iter().filter(|label| **label == class).count();
            assert!((0..10).all(|class| count(class) * 10 == part.len()));
        }
        assert_eq!((dataset.channels(), dataset.size(), dataset.class_names().len()), (1, 28, 10));
        let all = Dataset::open(&DataConfig { validation: 0.0, ..config.clone() }, 1).unwrap();
        assert_eq!((all.train().len(), all.test().len()), (60_000, 10_000));
        assert_eq!(all.digest(), dataset.digest());

        let config = DataConfig { split: SplitKind::ClassDisjoint, limit: Some(1000), ..config };
        let disjoint = Dataset::open(&config, 1).unwrap();
        let parts = [disjoint.train(), disjoint.validation(), disjoint.test()];
        assert_eq!(parts.map(|part| (part.len(), part.classes().len())), [(1000, 3), (1000, 2), (1000, 5)]);
        assert_eq!(parts.into_iter().flat_map(Part::classes).collect::<BTreeSet<_>>().len(), 10);
        assert_eq!(disjoint.digest(), dataset.digest());
    }

    #[test]
    fn labels_belong_to_their_images() {
        let root = tempfile::tempdir().unwrap();
        write_fashion_mnist(root.path(), 100, 20);
        let config = DataConfig { path: Some(root.path().to_owned()), ..DataConfig::new(DataKind::FashionMnist) };
        let dataset = Dataset::open(&config, 3).unwrap();
        for part in [dataset.train(), dataset.validation(), dataset.test()] {
            assert!(part.indices().iter().zip(part.labels()).all(|(index, label)| (*index % 10) as i64 == *label));
        }
    }

    #[test]
    fn a_folder_is_summarised() {
        let root = tempfile::tempdir().unwrap();
        write_class(&root.path().join("apple"), 10);
        write_class(&root.path().join("plum"), 10);
        std::fs::write(root.path().join("plum/notes.txt"), "").unwrap();
        let dataset = Dataset::open(&folder(root.path()), 1).unwrap();
        let summary = dataset.summary();
        let parts = [summary.train, summary.validation, summary.test].map(|part| (part.images, part.classes));
        assert_eq!(parts, [(12, 2), (4, 2), (4, 2)]);
        let text = summary.to_string();
        for expected in [
            "train           12 images of 2 classes",
            "skipped          1 file\n",
            "plum/notes.txt: no JPEG, PNG or WebP file by its name",
        ] {
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn the_seed_of_the_data_replaces_that_of_the_experiment() {
        let root = tempfile::tempdir().unwrap();
        write_class(&root.path().join("apple"), 40);
        let test = |data, seed| {
            let config = DataConfig { seed: data, limit: Some(5), ..folder(root.path()) };
            Dataset::open(&config, seed).unwrap().test().clone()
        };
        assert_eq!(test(Some(7), 1), test(Some(7), 2));
        assert_eq!(test(Some(7), 1), test(None, 7));
        assert_ne!(test(None, 1), test(None, 2));
    }

    #[test]
    fn emoji_are_the_manifest_of_their_folder() {
        let root = tempfile::tempdir().unwrap();
        let config = DataConfig { path: Some(root.path().to_owned()), ..DataConfig::new(DataKind::Emoji) };
        let error = Dataset::open(&config, 1).err().unwrap();
        assert!(matches!(&error, DataError::NotInstalled { kind: DataKind::Emoji, .. }), "{error}");
        assert!(miette::Diagnostic::help(&error).unwrap().to_string().contains("lossmith data fetch emoji"));
        let mut manifest = "path,class,vendor\n".to_owned();
        for class in ["1f600", "1f601"] {
            write_class(&root.path().join("images").join(class), 5);
            (0..5).for_each(|image| manifest += &format!("images/{class}/{image}.png,{class},{image}\n"));
        }
        std::fs::write(root.path().join("manifest.csv"), manifest).unwrap();
        let dataset = Dataset::open(&config, 1).unwrap();
        assert_eq!((dataset.size(), dataset.channels(), dataset.class_names().len()), (32, 3, 2));
        assert_eq!(dataset.train().len() + dataset.validation().len() + dataset.test().len(), 10);
    }

    #[test]
    fn the_official_split_is_that_of_the_publisher() {
        let root = tempfile::tempdir().unwrap();
        let open = |kind, split, validation| {
            let path = Some(root.path().to_owned());
            let dataset = Dataset::open(&DataConfig { path, split, validation, ..DataConfig::new(kind) }, 1).unwrap();
            [dataset.train(), dataset.validation(), dataset.test()].map(Part::classes)
        };
        write_cub(root.path());
        write_cars(root.path());
        write_products(root.path());
        let expected = [
            (DataKind::Cub, vec![0, 1], vec![2, 3, 4]),
            (DataKind::Cars196, vec![0, 1], vec![2, 3]),
            (DataKind::StanfordOnlineProducts, vec![0, 1, 2], vec![3, 4]),
        ];
        for (kind, train, test) in expected {
            assert_eq!(open(kind, SplitKind::Auto, 0.0), [train.clone(), vec![], test.clone()]);
            assert_eq!(open(kind, SplitKind::Official, 0.0), [train.clone(), vec![], test.clone()]);
            let all = [train, test].concat();
            assert_eq!(open(kind, SplitKind::ClosedSet, 0.0).first().unwrap(), &all);
            let [train, validation, test] = open(kind, SplitKind::ClassDisjoint, 0.0);
            assert_eq!(([&train[..], &validation, &test].concat().len(), validation.len()), (all.len(), 0));
        }
    }

    #[test]
    fn few_classes_for_training_are_told_with_what_took_the_others() {
        let root = tempfile::tempdir().unwrap();
        (0..10).for_each(|class| write_class(&root.path().join(format!("class-{class}")), 3));
        let told = |split, validation| {
            let dataset = Dataset::open(&DataConfig { split, validation, ..folder(root.path()) }, 1).unwrap();
            dataset.warnings().iter().find(|text| text.contains("few to learn")).cloned()
        };
        let text = told(SplitKind::ClassDisjoint, 0.1).unwrap();
        assert!(text.contains("of 10 classes, 5 are for testing and 2 for validation, which leaves 3"), "{text}");
        assert_eq!((told(SplitKind::ClassDisjoint, 0.0), told(SplitKind::Auto, 0.1)), (None, None));
    }

    #[test]
    fn settings_and_paths_are_checked() {
        let no_path = Dataset::open(&DataConfig::new(DataKind::Folder), 1).err().unwrap();
        assert!(matches!(no_path, DataError::NoPath { .. }));
        let limit = DataConfig { limit: Some(0), ..DataConfig::new(DataKind::FashionMnist) };
        assert!(matches!(Dataset::open(&limit, 1).err().unwrap(), DataError::Setting { key: "data.limit", .. }));
        let nowhere = Dataset::open(&folder(Path::new("no/such/folder")), 1).err().unwrap();
        assert!(nowhere.to_string().contains("no/such/folder"), "{nowhere}");
    }
}
