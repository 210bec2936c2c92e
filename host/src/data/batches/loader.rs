//! Preparing batches on worker threads ahead of the step.
//!
//! Worker `w` of `W` prepares batches `w`, `w + W`, `w + 2 W` and so on, and sends each through a channel of its own
//! that holds few of them; the consumer takes from one channel after the other. So batches arrive in order without
//! being sorted, and no worker runs far ahead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use lossmith_plugin::random_streams::{Purpose, generator};
use tch::{Device, Kind, Tensor};

use super::crop::Crop;
use super::resample::{Preparation, Scratch};
use crate::data::{DataError, Dataset};

/// Finished batches that a worker may have waiting.
const WAITING: usize = 1;

/// A batch of prepared images, on the CPU.
#[derive(Debug)]
pub struct ImageBatch {
    /// Normalised pixels, `f32`, N x channels x size x size.
    pub images: Tensor,
    /// The same crops prepared for the teacher, if it was asked for.
    pub teacher_images: Option<Tensor>,
    /// The class of each image, `i64`, N. In a training batch the place of the class in [`Dataset::train_classes`],
    /// else the index into [`Dataset::class_names`].
    pub labels: Tensor,
    /// The images' numbers in the data set.
    pub indices: Vec<usize>,
}

/// Delivers batches in order. After an error it delivers nothing more. Dropping it stops its threads and waits for
/// them.
pub struct BatchLoader {
    workers: Vec<Worker>,
    stop: Arc<AtomicBool>,
    delivered: usize,
    batches: usize,
}

struct Worker {
    finished: Receiver<Result<ImageBatch, DataError>>,
    thread: JoinHandle<()>,
}

/// The work that the workers of a loader share.
struct Work {
    dataset: Arc<Dataset>,
    mode: Mode,
    /// The images of each batch.
    batches: Vec<Vec<usize>>,
    /// How each crop is prepared: for [`ImageBatch::images`], and maybe for [`ImageBatch::teacher_images`].
    preparations: Vec<Preparation>,
    stop: Arc<AtomicBool>,
}

/// How images are prepared.
#[derive(Clone, Copy)]
enum Mode {
    Train { seed: u64, epoch: u64, first: u64 },
    Evaluation,
}

impl BatchLoader {
    /// Training batches, as [`crate::data::Sampler::epoch`] draws them: augmented, with labels from 0 to the number of
    /// training classes. `first` is the number in the epoch of the first of `batches`, above 0 where an epoch goes on
    /// that was stopped. What happens to an image depends only on the seed, the epoch, the number of its batch and its
    /// place in it. With `teacher` the same crops are prepared a second time.
    ///
    /// # Errors
    /// [`DataError::Thread`] if a thread cannot be started. A file that cannot be read or decoded, or an image of a
    /// class that is not trained on, is an error in place of its batch.
    pub fn train_from(
        dataset: &Arc<Dataset>,
        batches: Vec<Vec<usize>>,
        seed: u64,
        epoch: u64,
        first: u64,
        teacher: Option<&Preparation>,
    ) -> Result<Self, DataError> {
        let preparations = std::iter::once(dataset.preparation()).chain(teacher).cloned().collect();
        Self::start(dataset, batches, Mode::Train { seed, epoch, first }, preparations)
    }

    /// The given images in the given order, `batch_size` (at least 1) in a batch, the last batch maybe smaller: the
    /// largest square in the middle of each, resized and normalised.
    ///
    /// # Errors
    /// As for [`BatchLoader::train_from`].
    pub fn evaluation(dataset: &Arc<Dataset>, indices: &[usize], batch_size: usize) -> Result<Self, DataError> {
        Self::evaluation_as(dataset, indices, batch_size, dataset.preparation())
    }

    /// As [`BatchLoader::evaluation`], prepared for another network than the data set's own.
    ///
    /// # Errors
    /// As for [`BatchLoader::train_from`].
    pub fn evaluation_as(
        dataset: &Arc<Dataset>,
        indices: &[usize],
        batch_size: usize,
        preparation: &Preparation,
    ) -> Result<Self, DataError> {
        let batches = indices.chunks(batch_size.max(1)).map(<[usize]>::to_vec).collect();
        Self::start(dataset, batches, Mode::Evaluation, vec![preparation.clone()])
    }

    fn start(
        dataset: &Arc<Dataset>,
        batches: Vec<Vec<usize>>,
        mode: Mode,
        preparations: Vec<Preparation>,
    ) -> Result<Self, DataError> {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = dataset.workers().min(batches.len());
        let mut loader = Self { workers: Vec::new(), stop: stop.clone(), delivered: 0, batches: batches.len() };
        let work = Arc::new(Work { dataset: dataset.clone(), mode, batches, preparations, stop });
        for first in 0..threads {
            let (sender, finished) = sync_channel(WAITING);
            let work = work.clone();
            let thread = std::thread::Builder::new().name(format!("loader-{first}"));
            let thread = thread.spawn(move || work.run(first, threads, &sender)).map_err(DataError::Thread)?;
            loader.workers.push(Worker { finished, thread });
        }
        Ok(loader)
    }
}

impl Iterator for BatchLoader {
    type Item = Result<ImageBatch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.delivered == self.batches {
            return None;
        }
        let worker = self.workers.get(self.delivered % self.workers.len())?;
        let batch = worker.finished.recv().unwrap_or(Err(DataError::Worker));
        self.delivered = if batch.is_ok() { self.delivered + 1 } else { self.batches };
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.batches - self.delivered))
    }
}

impl Drop for BatchLoader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for Worker { finished, thread } in self.workers.drain(..) {
            // A worker that waits for room in the channel learns that nobody listens any more.
            drop(finished);
            // A panic of a worker was an error of its batch already.
            let _ = thread.join();
        }
    }
}

impl Work {
    fn run(&self, first: usize, threads: usize, sender: &SyncSender<Result<ImageBatch, DataError>>) {
        let mut scratch = Scratch::default();
        let mut pixels = vec![Vec::new(); self.preparations.len()];
        for (number, indices) in self.batches.iter().enumerate().skip(first).step_by(threads) {
            let prepared = self.prepare(indices, number as u64, &mut scratch, &mut pixels);
            let Some(batch) = prepared.transpose() else { return };
            let failed = batch.is_err();
            if sender.send(batch).is_err() || failed {
                return;
            }
        }
    }

    /// One batch, or `None` if the loader was dropped meanwhile.
    fn prepare(
        &self,
        indices: &[usize],
        number: u64,
        scratch: &mut Scratch,
        pixels: &mut [Vec<f32>],
    ) -> Result<Option<ImageBatch>, DataError> {
        let dataset = &self.dataset;
        for (pixels, preparation) in pixels.iter_mut().zip(&self.preparations) {
            pixels.resize(indices.len() * preparation.resampler.len(), 0.0);
        }
        let mut labels = Vec::with_capacity(indices.len());
        for (place, index) in indices.iter().enumerate() {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            labels.push(self.label(*index)?);
            let picture = dataset.source().picture(*index).ok_or_else(|| self.no_such_image(*index))??;
            let augmentation = dataset.augmentation();
            let crop = match self.mode {
                Mode::Train { seed, epoch, first } if augmentation.enabled => {
                    // No batch has 2^32 images.
                    let position = ((first + number) << 32) + place as u64;
                    let mut random = generator(seed, Purpose::Augmentation, epoch, position);
                    Crop::random(picture.width, picture.height, augmentation, &mut random)
                }
                _ => Crop::square(picture.width, picture.height),
            };
            for (pixels, Preparation { resampler, .. }) in pixels.iter_mut().zip(&self.preparations) {
                if let Some(output) = pixels.chunks_exact_mut(resampler.len()).nth(place) {
                    resampler.write(&picture, &crop, scratch, output);
                }
            }
        }
        let prepared = pixels.iter().zip(&self.preparations).map(|(pixels, preparation)| {
            let size = preparation.size() as i64;
            Ok(tensor(pixels)?.f_view([indices.len() as i64, dataset.channels() as i64, size, size])?)
        });
        let mut prepared = prepared.collect::<Result<Vec<_>, DataError>>()?.into_iter();
        let images = prepared.next().ok_or(DataError::Worker)?;
        let teacher_images = prepared.next();
        Ok(Some(ImageBatch {
            images,
            teacher_images,
            labels: Tensor::f_from_slice(&labels)?,
            indices: indices.to_vec(),
        }))
    }

    fn label(&self, index: usize) -> Result<i64, DataError> {
        let dataset = &self.dataset;
        let label = *dataset.labels().get(index).ok_or_else(|| self.no_such_image(index))?;
        match self.mode {
            Mode::Evaluation => Ok(label),
            Mode::Train { .. } => {
                let place = dataset.train_classes().binary_search(&label);
                let class = || dataset.class_name(label).to_owned();
                place.map(|place| place as i64).map_err(|_| DataError::NotTrained { index, class: class() })
            }
        }
    }

    fn no_such_image(&self, index: usize) -> DataError {
        DataError::NoSuchImage { index, found: self.dataset.labels().len() }
    }
}

/// A one-dimensional tensor, made of pieces that libtorch copies without its thread pool: a pool per worker would take
/// the cores from the training step.
fn tensor(numbers: &[f32]) -> Result<Tensor, DataError> {
    const PIECE: usize = 16_384;
    let tensor = Tensor::f_empty(numbers.len() as i64, (Kind::Float, Device::Cpu))?;
    for (number, piece) in numbers.chunks(PIECE).enumerate() {
        let mut place = tensor.f_narrow(0, (number * PIECE) as i64, piece.len() as i64)?;
        place.f_copy_(&Tensor::f_from_slice(piece)?)?;
    }
    Ok(tensor)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use std::path::Path;

    use super::*;
    use crate::data::fixtures::{idx_images, idx_labels, write_class, write_fashion_mnist, write_jpeg, write_png};
    use crate::data::{DataConfig, DataKind, Sampler, SamplerConfig, SplitKind};

    fn open(kind: DataKind, path: &Path, change: impl FnOnce(&mut DataConfig)) -> Arc<Dataset> {
        let mut config = DataConfig { path: Some(path.to_owned()), ..DataConfig::new(kind) };
        change(&mut config);
        Arc::new(Dataset::open(&config, 1).unwrap())
    }

    fn fashion_mnist(change: impl FnOnce(&mut DataConfig)) -> Arc<Dataset> {
        let folder = tempfile::tempdir().unwrap();
        write_fashion_mnist(folder.path(), 200, 50);
        open(DataKind::FashionMnist, folder.path(), change)
    }

    /// The bits of every batch: pixels, labels, image numbers.
    fn bits(loader: BatchLoader) -> Vec<(Vec<u32>, Vec<i64>, Vec<usize>)> {
        let batch = |batch: Result<ImageBatch, DataError>| {
            let ImageBatch { images, labels, indices, .. } = batch.unwrap();
            let pixels = Vec::<f32>::try_from(images.flatten(0, -1)).unwrap();
            (pixels.into_iter().map(f32::to_bits).collect(), Vec::try_from(labels).unwrap(), indices)
        };
        loader.map(batch).collect()
    }

    fn epoch(dataset: &Arc<Dataset>, seed: u64, epoch: u64) -> BatchLoader {
        let sampler =
            Sampler::new(&SamplerConfig { classes: 4, samples: 3, ..SamplerConfig::default() }, dataset, 7).unwrap();
        BatchLoader::train_from(dataset, sampler.epoch(0), seed, epoch, 0, None).unwrap()
    }

    #[test]
    fn batches_do_not_depend_on_the_number_of_workers() {
        let with = |workers| bits(epoch(&fashion_mnist(|c| c.workers = workers), 1, 0));
        let one = with(1);
        assert_eq!(one.len(), 15);
        assert!(one == with(3) && one == with(20));
    }

    #[test]
    fn batches_arrive_in_the_order_of_the_sampler() {
        let dataset = fashion_mnist(|c| c.workers = 3);
        let sampler =
            Sampler::new(&SamplerConfig { classes: 4, samples: 3, ..SamplerConfig::default() }, &dataset, 7).unwrap();
        let batches = bits(BatchLoader::train_from(&dataset, sampler.epoch(0), 1, 0, 0, None).unwrap());
        let indices: Vec<Vec<usize>> = batches.iter().map(|(.., indices)| indices.clone()).collect();
        assert_eq!(indices, sampler.epoch(0));
        for (_, labels, indices) in batches {
            assert!(labels.iter().zip(indices).all(|(label, index)| *label == dataset.labels()[index]));
        }
    }

    #[test]
    fn seed_epoch_and_position_decide_the_augmentation() {
        let dataset = fashion_mnist(|_| ());
        let pixels = |seed, number| bits(epoch(&dataset, seed, number));
        assert_ne!(pixels(1, 0), pixels(2, 0));
        assert_ne!(pixels(1, 0), pixels(1, 1));
        let twice = bits(BatchLoader::train_from(&dataset, vec![vec![0, 0], vec![0]], 1, 0, 0, None).unwrap());
        let (first, second) = twice[0].0.split_at(28 * 28);
        assert!(first != second && first != twice[1].0 && second != twice[1].0);
    }

    #[test]
    fn an_epoch_that_goes_on_is_the_same_epoch() {
        let dataset = fashion_mnist(|_| ());
        let sampler =
            Sampler::new(&SamplerConfig { classes: 4, samples: 3, ..SamplerConfig::default() }, &dataset, 7).unwrap();
        let rest = BatchLoader::train_from(&dataset, sampler.epoch(0).split_off(6), 1, 0, 6, None).unwrap();
        assert!(bits(rest) == bits(epoch(&dataset, 1, 0)).split_off(6));
    }

    #[test]
    fn without_augmentation_training_images_are_as_for_evaluation() {
        let dataset = fashion_mnist(|c| c.augmentation.enabled = false);
        let images = dataset.train().indices();
        let trained =
            BatchLoader::train_from(&dataset, images.chunks(32).map(<[usize]>::to_vec).collect(), 1, 0, 0, None)
                .unwrap();
        assert!(bits(trained) == bits(BatchLoader::evaluation(&dataset, images, 32).unwrap()));
    }

    #[test]
    fn evaluation_gives_the_pixels_of_the_file() {
        let dataset = fashion_mnist(|c| (c.mean, c.std) = (Some(vec![0.25]), Some(vec![0.5])));
        let test = dataset.test().indices();
        let batches: Vec<ImageBatch> =
            BatchLoader::evaluation(&dataset, test, 20).unwrap().map(Result::unwrap).collect();
        let sizes: Vec<Vec<i64>> = batches.iter().map(|batch| batch.images.size()).collect();
        assert_eq!(sizes, [20, 20, 10].map(|n| vec![n, 1, 28, 28]));
        assert!(batches.iter().all(|batch| batch.labels.kind() == tch::Kind::Int64));
        let pixels: Vec<f32> =
            batches.iter().flat_map(|b| Vec::<f32>::try_from(b.images.flatten(0, -1)).unwrap()).collect();
        let labels: Vec<i64> = batches.iter().flat_map(|b| Vec::<i64>::try_from(&b.labels).unwrap()).collect();
        assert_eq!(labels, idx_labels(50)[8..].iter().map(|label| i64::from(*label)).collect::<Vec<_>>());
        let expected =
            idx_images(50)[16..].iter().map(|pixel| (f32::from(*pixel) / 255.0 - 0.25) / 0.5).collect::<Vec<_>>();
        assert_eq!(pixels.len(), expected.len());
        assert!(pixels.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-6));
    }

    #[test]
    fn labels_of_training_batches_count_the_training_classes() {
        let dataset = fashion_mnist(|c| (c.split, c.validation) = (SplitKind::ClassDisjoint, 0.0));
        assert_eq!(dataset.train_classes().len(), 5);
        for (_, labels, indices) in bits(epoch(&dataset, 1, 0)) {
            for (label, index) in labels.iter().zip(indices) {
                assert_eq!(dataset.train_classes()[*label as usize], dataset.labels()[index]);
            }
        }
        let tested = dataset.test().indices()[0];
        let error =
            BatchLoader::train_from(&dataset, vec![vec![tested]], 1, 0, 0, None).unwrap().next().unwrap().unwrap_err();
        assert!(matches!(error, DataError::NotTrained { index, .. } if index == tested), "{error}");
        let error = BatchLoader::evaluation(&dataset, &[250], 1).unwrap().next().unwrap().unwrap_err();
        assert!(error.to_string().contains("no image 250; the data set has 250 images"), "{error}");
    }

    #[test]
    fn jpeg_and_png_of_any_size_and_colour_become_rgb_squares() {
        let folder = tempfile::tempdir().unwrap();
        let class = folder.path().join("a");
        write_jpeg(&class.join("0.jpg"), 90, 70);
        write_png(&class.join("1.JPEG"), 20, 300);
        image::DynamicImage::new_luma_a8(30, 30).save(class.join("2.png")).unwrap();
        image::DynamicImage::new_rgb16(5, 5).save(class.join("3.png")).unwrap();
        let dataset = open(DataKind::Folder, folder.path(), |c| {
            (c.size, c.test, c.validation, c.workers) = (Some(32), 0.0, 0.0, 1);
            (c.mean, c.std) = (Some(vec![0.0; 3]), Some(vec![1.0; 3]));
        });
        let batch = BatchLoader::evaluation(&dataset, dataset.train().indices(), 4).unwrap().next().unwrap().unwrap();
        assert_eq!(batch.images.size(), [4, 3, 32, 32]);
        let pixels = Vec::<f32>::try_from(batch.images.flatten(0, -1)).unwrap();
        let planes: Vec<&[f32]> = pixels.chunks(32 * 32).collect();
        // The files are of one colour, and the third is transparent; JPEG is exact to a few of 255 levels.
        for (plane, expected) in
            planes.iter().zip([200.0, 100.0, 50.0, 200.0, 100.0, 50.0, 255.0, 255.0, 255.0, 0.0, 0.0, 0.0])
        {
            assert!(plane.iter().all(|value| (value * 255.0 - expected).abs() < 4.0), "{expected}: {:?}", plane[0]);
        }
    }

    #[test]
    fn a_bad_file_is_an_error_in_place_of_its_batch() {
        let folder = tempfile::tempdir().unwrap();
        let class = folder.path().join("a");
        write_class(&class, 8);
        write_jpeg(&class.join("4.jpg"), 90, 70);
        std::fs::remove_file(class.join("4.png")).unwrap();
        let dataset = open(DataKind::Folder, folder.path(), |c| (c.test, c.validation) = (0.0, 0.0));
        let good = std::fs::read(class.join("4.jpg")).unwrap();
        let png = std::fs::read(class.join("3.png")).unwrap();
        type Damage<'a> = (&'a str, &'a dyn Fn(&Path));
        let damages: [Damage; 6] = [
            ("cannot decode", &|path| std::fs::write(path, "no image").unwrap()),
            ("cannot decode", &|path| std::fs::write(path, "").unwrap()),
            ("cannot decode", &|path| std::fs::write(path, &good[..good.len() / 2]).unwrap()),
            ("cannot decode", &|path| std::fs::write(path, &good[..good.len() - 10]).unwrap()),
            ("cannot decode", &|path| std::fs::write(path, &png[..png.len() - 20]).unwrap()),
            ("cannot read", &|path| std::fs::remove_file(path).unwrap()),
        ];
        for (text, damage) in damages {
            damage(&class.join("4.jpg"));
            let mut loader = BatchLoader::evaluation(&dataset, dataset.train().indices(), 2).unwrap();
            for expected in [[0, 1], [2, 3]] {
                assert_eq!(loader.next().unwrap().unwrap().indices, expected);
            }
            let error = loader.next().unwrap().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("4.jpg"), "{error}");
            assert!(loader.next().is_none());
        }
    }

    #[test]
    fn dropping_a_loader_ends_its_threads() {
        let dataset = fashion_mnist(|c| c.workers = 3);
        let mut loader = epoch(&dataset, 1, 0);
        loader.next().unwrap().unwrap();
        assert!(Arc::strong_count(&dataset) > 1);
        drop(loader);
        assert_eq!(Arc::strong_count(&dataset), 1);
    }

    #[test]
    fn no_images_are_no_batches() {
        let dataset = fashion_mnist(|_| ());
        assert!(BatchLoader::evaluation(&dataset, &[], 8).unwrap().next().is_none());
    }
}
