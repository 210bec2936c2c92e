//! Preparing batches on worker threads ahead of the step.
//!
//! Worker `w` of `W` prepares batches `w`, `w + W`, `w + 2 W` and so on, and sends each through a channel of its own
//! that holds few of them; the consumer takes from one channel after the other. So batches arrive in order without
//! being sorted, and no worker runs far ahead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use lossmith_images::{Crop, Preparation, Scratch};
use lossmith_plugin::random_streams::{Purpose, generator};
use lossmith_torch_shim::FloatBuffer;
use tch::{Device, Tensor};

use super::crop::random_crop;
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

/// What the images of a training batch are augmented by, together with their places in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drawn {
    /// The seed of the run.
    pub seed: u64,
    /// The epoch.
    pub epoch: u64,
    /// The number in the epoch of the first batch, above 0 where an epoch goes on that was stopped.
    pub first: u64,
    /// The place in its batch of the first image, above 0 where a batch is that part of one that this process computes.
    pub place: usize,
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
    /// Whether a GPU will read the images: then they are where it can do so while the training goes on.
    pinned: bool,
    /// How each crop is prepared: for [`ImageBatch::images`], and maybe for [`ImageBatch::teacher_images`].
    preparations: Vec<Preparation>,
    stop: Arc<AtomicBool>,
}

/// How images are prepared.
#[derive(Clone, Copy)]
enum Mode {
    Train(Drawn),
    Evaluation,
}

impl BatchLoader {
    /// Training batches, as [`crate::data::Sampler::epoch`] draws them: augmented, with labels from 0 to the number of
    /// training classes. What happens to an image depends only on what is `drawn`, the number of its batch and its
    /// place in it. With `teacher` the same crops are prepared a second time. `device` is where the images are wanted;
    /// they are made for a copy to it that nothing waits for.
    ///
    /// # Errors
    /// [`DataError::Thread`] if a thread cannot be started. A file that cannot be read or decoded, or an image of a
    /// class that is not trained on, is an error in place of its batch.
    pub fn train_from(
        dataset: &Arc<Dataset>,
        batches: Vec<Vec<usize>>,
        drawn: Drawn,
        teacher: Option<&Preparation>,
        device: Device,
    ) -> Result<Self, DataError> {
        let preparations = std::iter::once(dataset.preparation()).chain(teacher).cloned().collect();
        let pinned = matches!(device, Device::Cuda(_));
        Self::start(dataset, batches, Mode::Train(drawn), preparations, pinned)
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
        Self::start(dataset, batches, Mode::Evaluation, vec![preparation.clone()], false)
    }

    fn start(
        dataset: &Arc<Dataset>,
        batches: Vec<Vec<usize>>,
        mode: Mode,
        preparations: Vec<Preparation>,
        pinned: bool,
    ) -> Result<Self, DataError> {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = dataset.workers().min(batches.len());
        let mut loader = Self { workers: Vec::new(), stop: stop.clone(), delivered: 0, batches: batches.len() };
        let work = Arc::new(Work { dataset: dataset.clone(), mode, batches, pinned, preparations, stop });
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
        for (number, indices) in self.batches.iter().enumerate().skip(first).step_by(threads) {
            let prepared = self.prepare(indices, number as u64, &mut scratch);
            let Some(batch) = prepared.transpose() else { return };
            let failed = batch.is_err();
            if sender.send(batch).is_err() || failed {
                return;
            }
        }
    }

    /// One batch, or `None` if the loader was dropped meanwhile.
    fn prepare(&self, indices: &[usize], number: u64, scratch: &mut Scratch) -> Result<Option<ImageBatch>, DataError> {
        let dataset = &self.dataset;
        let buffer = |preparation: &Preparation| {
            let size = preparation.size() as i64;
            let shape = [indices.len() as i64, dataset.channels() as i64, size, size];
            if self.pinned { FloatBuffer::pinned(&shape) } else { FloatBuffer::new(&shape) }
        };
        let mut buffers = self.preparations.iter().map(buffer).collect::<Result<Vec<_>, _>>()?;
        let mut labels = Vec::with_capacity(indices.len());
        for (place, index) in indices.iter().enumerate() {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            labels.push(self.label(*index)?);
            let picture = dataset.source().picture(*index).ok_or_else(|| self.no_such_image(*index))??;
            let augmentation = dataset.augmentation();
            let crop = match self.mode {
                Mode::Train(drawn) if augmentation.enabled => {
                    // No batch has 2^32 images.
                    let position = ((drawn.first + number) << 32) + (drawn.place + place) as u64;
                    let mut random = generator(drawn.seed, Purpose::Augmentation, drawn.epoch, position);
                    random_crop(picture.width, picture.height, augmentation, &mut random)
                }
                _ => Crop::square(picture.width, picture.height),
            };
            for (buffer, preparation) in buffers.iter_mut().zip(&self.preparations) {
                if let Some(output) = buffer.numbers().chunks_exact_mut(preparation.numbers()).nth(place) {
                    preparation.write(&picture, &crop, scratch, output);
                }
            }
        }
        let mut prepared = buffers.into_iter().map(FloatBuffer::into_tensor);
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
            Mode::Train(_) => {
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

#[cfg(test)]
mod tests;
