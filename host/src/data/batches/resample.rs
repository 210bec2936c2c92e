//! Resampling: the pixels of a crop become the input of the network in two passes, along the rows, then along the
//! columns.
//!
//! The filter is a triangle (bilinear interpolation) that widens with the factor when an image is made smaller, so that
//! every pixel of a large image counts and fine patterns do not alias.
//!
//! No crate is used: `fast_image_resize` is faster, but its fixed point of 8 bits rounds as the instruction set does.
//! Machines would differ in the last bits, and the crop, the mirroring and the normalisation would be passes of their
//! own.

use std::sync::Arc;

use super::crop::Crop;
use crate::data::files::Picture;

/// How images are prepared for a network: size and normalisation. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Preparation {
    mean: Vec<f64>,
    std: Vec<f64>,
    pub(super) resampler: Arc<Resampler>,
}

impl Preparation {
    /// For a network whose input is `size` pixels a side; mean and standard deviation of each channel on the scale of 0
    /// (black) to 1 (white).
    #[must_use]
    pub fn new(size: usize, mean: &[f64], std: &[f64]) -> Self {
        Self { mean: mean.to_vec(), std: std.to_vec(), resampler: Arc::new(Resampler::new(size, mean, std)) }
    }

    /// The same with what is given changed.
    #[must_use]
    pub fn with(&self, size: Option<usize>, mean: Option<&[f64]>, std: Option<&[f64]>) -> Self {
        Self::new(size.unwrap_or(self.size()), mean.unwrap_or(&self.mean), std.unwrap_or(&self.std))
    }

    /// Mean of each channel on the scale of 0 (black) to 1 (white).
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Standard deviation of each channel on the same scale.
    #[must_use]
    pub fn std(&self) -> &[f64] {
        &self.std
    }

    /// Height and width of the network's input in pixels.
    #[must_use]
    pub fn size(&self) -> usize {
        self.resampler.size
    }

    /// An image as the network sees it in evaluation: its largest square in the middle, resized and normalised, channel
    /// by channel, row by row. `pixels` are row by row, the channels of a pixel side by side. `None` if they are not
    /// `height` x `width` pixels of as many channels, or there are none.
    #[must_use]
    pub fn evaluated(&self, pixels: &[u8], height: usize, width: usize) -> Option<Vec<f32>> {
        let expected = height.checked_mul(width)?.checked_mul(self.mean.len())?;
        if expected == 0 || pixels.len() != expected {
            return None;
        }
        let picture = Picture { pixels: pixels.into(), width, height };
        let mut output = vec![0.0; self.resampler.len()];
        self.resampler.write(&picture, &Crop::square(width, height), &mut Scratch::default(), &mut output);
        Some(output)
    }
}

/// Turns crops into normalised squares.
#[derive(Debug, PartialEq)]
pub(super) struct Resampler {
    size: usize,
    /// Per channel: what a pixel of 0 to 255 is multiplied with, and what is added then.
    normalisation: Vec<(f32, f32)>,
}

/// Memory that a thread keeps between images.
#[derive(Default)]
pub(super) struct Scratch {
    columns: Axis,
    rows: Axis,
    /// The crop after the first pass: row by row of the image, channel by channel, `size` numbers each.
    narrowed: Vec<f32>,
    /// Sums of one row of the output.
    sums: Vec<f32>,
}

impl Resampler {
    pub(super) fn new(size: usize, mean: &[f64], std: &[f64]) -> Self {
        let channel = |(mean, std): (&f64, &f64)| ((1.0 / (255.0 * std)) as f32, (-mean / std) as f32);
        Self { size, normalisation: mean.iter().zip(std).map(channel).collect() }
    }

    /// Numbers of one output image.
    pub(super) fn len(&self) -> usize {
        self.normalisation.len() * self.size * self.size
    }

    /// Writes `crop` of `picture`, resized and normalised, into `output`: channel by channel, row by row. `output` has
    /// [`Resampler::len`] numbers and the picture the channels that this was made for.
    pub(super) fn write(&self, picture: &Picture<'_>, crop: &Crop, scratch: &mut Scratch, output: &mut [f32]) {
        let (size, channels) = (self.size, self.normalisation.len());
        let Scratch { columns, rows, narrowed, sums } = scratch;
        columns.fit(crop.left, crop.width, picture.width, size);
        rows.fit(crop.top, crop.height, picture.height, size);

        let (first, end) = rows.extent();
        let wide = channels * size;
        narrowed.resize((end - first) * wide, 0.0);
        let image_rows = picture.pixels.chunks_exact(picture.width * channels).skip(first);
        for (narrow, row) in narrowed.chunks_exact_mut(wide).zip(image_rows) {
            match channels {
                1 => narrow_row::<1>(columns, row, crop.flip, narrow),
                _ => narrow_row::<3>(columns, row, crop.flip, narrow),
            }
        }

        sums.resize(wide, 0.0);
        for (y, (start, weights)) in rows.taps().enumerate() {
            sums.fill(0.0);
            for (weight, narrow) in weights.iter().zip(narrowed.chunks_exact(wide).skip(start - first)) {
                for (sum, value) in sums.iter_mut().zip(narrow) {
                    *sum += weight * value;
                }
            }
            let planes = output.chunks_exact_mut(size * size).zip(sums.chunks_exact(size)).zip(&self.normalisation);
            for ((plane, sums), (factor, offset)) in planes {
                for (value, sum) in plane.iter_mut().skip(y * size).zip(sums) {
                    *value = sum * factor + offset;
                }
            }
        }
    }
}

/// Sums the pixels of one row into `size` numbers per channel.
fn narrow_row<const C: usize>(columns: &Axis, row: &[u8], flip: bool, narrow: &mut [f32]) {
    let size = narrow.len() / C;
    for (x, (start, weights)) in columns.taps().enumerate() {
        let mut sums = [0.0_f32; C];
        for (weight, pixel) in weights.iter().zip(row.chunks_exact(C).skip(start)) {
            for (sum, value) in sums.iter_mut().zip(pixel) {
                *sum += weight * f32::from(*value);
            }
        }
        let x = if flip { size - 1 - x } else { x };
        for (value, sum) in narrow.iter_mut().skip(x).step_by(size).zip(sums) {
            *value = sum;
        }
    }
}

/// For every place of the output along one axis: the pixels that it sees, and their weights, which sum to 1.
#[derive(Default)]
struct Axis {
    /// First pixel and number of pixels.
    ranges: Vec<(usize, usize)>,
    /// The weights of all places, one after the other.
    weights: Vec<f32>,
}

impl Axis {
    /// Lays `size` places over `length` pixels from `start` on, of an image that has `pixels` of them.
    fn fit(&mut self, start: f64, length: f64, pixels: usize, size: usize) {
        self.ranges.clear();
        self.weights.clear();
        let scale = length / size as f64;
        let radius = scale.max(1.0);
        let last = pixels.saturating_sub(1);
        for place in 0..size {
            // The middle of pixel p is at p.
            let centre = start + (place as f64 + 0.5) * scale - 0.5;
            // Only pixels closer than the radius have a weight. A negative number becomes 0.
            let low = (((centre - radius).floor() + 1.0) as usize).min(last);
            let high = (((centre + radius).ceil() - 1.0) as usize).clamp(low, last);
            let begin = self.weights.len();
            self.weights
                .extend((low..=high).map(|pixel| (1.0 - (pixel as f64 - centre).abs() / radius).max(0.0) as f32));
            let weights = self.weights.get_mut(begin..).unwrap_or_default();
            let sum: f32 = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= sum);
            self.ranges.push((low, high + 1 - low));
        }
    }

    /// The pixels that any place sees: the first, and the one after the last.
    fn extent(&self) -> (usize, usize) {
        let first = self.ranges.first().map_or(0, |(low, _)| *low);
        let end = self.ranges.last().map_or(first, |(low, count)| low + count);
        (first, end)
    }

    /// The first pixel and the weights of every place.
    fn taps(&self) -> impl Iterator<Item = (usize, &[f32])> {
        let mut rest = self.weights.as_slice();
        self.ranges.iter().map(move |(first, count)| {
            let (weights, others) = rest.split_at_checked(*count).unwrap_or_default();
            rest = others;
            (*first, weights)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    /// The square of a picture without normalisation but for the scale of 0 to 1.
    fn resample(picture: &Picture<'_>, crop: &Crop, size: usize, channels: usize) -> Vec<f32> {
        let resampler = Resampler::new(size, &vec![0.0; channels], &vec![1.0; channels]);
        let mut output = vec![f32::NAN; resampler.len()];
        resampler.write(picture, crop, &mut Scratch::default(), &mut output);
        output
    }

    fn picture(
        width: usize,
        height: usize,
        channels: usize,
        value: impl Fn(usize, usize, usize) -> u8,
    ) -> Picture<'static> {
        let pixel = |place| value(place / channels % width, place / channels / width, place % channels);
        let pixels = (0..width * height * channels).map(pixel).collect();
        Picture { pixels: Cow::Owned(pixels), width, height }
    }

    fn assert_close(found: &[f32], expected: impl Iterator<Item = f64>) {
        for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "at {place}: {found}, expected {expected}");
        }
    }

    #[test]
    fn the_whole_image_in_its_own_size_keeps_every_pixel() {
        let image = picture(6, 6, 3, |x, y, channel| (x * 40 + y * 5 + channel) as u8);
        let planes =
            (0..3).flat_map(|c| (0..6).flat_map(move |y| (0..6).map(move |x| (x * 40 + y * 5 + c) as f64 / 255.0)));
        assert_close(&resample(&image, &Crop::square(6, 6), 6, 3), planes.clone());
        let flipped = resample(&image, &Crop { flip: true, ..Crop::square(6, 6) }, 6, 3);
        let mirrored: Vec<f32> = flipped.chunks(6).flat_map(|row| row.iter().rev().copied()).collect();
        assert_close(&mirrored, planes);
    }

    #[test]
    fn mean_and_deviation_are_applied_per_channel() {
        let image = picture(4, 4, 3, |_, _, channel| [0, 51, 255][channel]);
        let resampler = Resampler::new(4, &[0.5, 0.2, 0.0], &[0.25, 0.1, 2.0]);
        let mut output = vec![0.0; resampler.len()];
        resampler.write(&image, &Crop::square(4, 4), &mut Scratch::default(), &mut output);
        assert_close(&output, [-2.0, 0.0, 0.5].into_iter().flat_map(|value| [value; 16]));
    }

    #[test]
    fn enlarging_interpolates_between_pixels() {
        let image = picture(2, 1, 1, |x, _, _| [0, 200][x]);
        let crop = Crop { left: 0.0, top: 0.0, width: 2.0, height: 1.0, flip: false };
        // Middles of the four places in pixels: -0.25, 0.25, 0.75, 1.25; outside of the image is as its edge.
        let row = [0.0, 50.0, 150.0, 200.0].map(|value| value / 255.0);
        assert_close(&resample(&image, &crop, 4, 1), [row; 4].into_iter().flatten());
    }

    #[test]
    fn a_ramp_stays_a_ramp_in_any_crop() {
        let image = picture(100, 80, 1, |x, y, _| (x + y) as u8);
        for (left, top, width, height) in [(20.3, 15.6, 50.0, 40.5), (30.25, 40.5, 7.5, 5.0)] {
            let crop = Crop { left, top, width, height, flip: false };
            let middle = |place: usize, start: f64, length: f64| start + (place as f64 + 0.5) * length / 16.0 - 0.5;
            let value = |y, x| (middle(x, left, width) + middle(y, top, height)) / 255.0;
            let expected = (0..16).flat_map(|y| (0..16).map(move |x| value(y, x)));
            let found = resample(&image, &crop, 16, 1);
            // The discrete filter is off the middle by less than a hundredth of a pixel's step here.
            for (found, expected) in found.iter().zip(expected) {
                assert!((f64::from(*found) - expected).abs() < 0.1 / 255.0, "{found}, expected {expected}");
            }
        }
    }

    #[test]
    fn shrinking_sees_every_pixel() {
        let stripes = picture(64, 64, 1, |x, _, _| if x % 2 == 0 { 0 } else { 255 });
        let found = resample(&stripes, &Crop::square(64, 64), 8, 1);
        assert!(found.iter().all(|value| (value - 0.5).abs() < 0.02), "{found:?}");
    }

    #[test]
    fn scratch_of_another_image_leaves_no_trace() {
        let (large, small) = (picture(50, 40, 1, |x, _, _| x as u8), picture(9, 12, 1, |x, y, _| (x * y) as u8));
        let resampler = Resampler::new(16, &[0.5], &[0.5]);
        let mut scratch = Scratch::default();
        let [mut first, mut second] = [vec![0.0; 256], vec![0.0; 256]];
        resampler.write(&small, &Crop::square(9, 12), &mut scratch, &mut first);
        resampler.write(&large, &Crop::square(50, 40), &mut scratch, &mut second);
        resampler.write(&small, &Crop::square(9, 12), &mut scratch, &mut second);
        assert_eq!(first, second);
    }
}
