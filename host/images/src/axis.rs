//! One axis of a resampling: which pixels each place of the output sees, and how much of each.

/// For every place of the output along one axis: the pixels that it sees, and their weights, which sum to 1.
///
/// All places see equally many pixels, so that a processor's branches go the same way at each: where the filter reaches
/// fewer, others have a weight of 0.
#[derive(Default)]
pub(crate) struct Axis {
    /// The first pixel of each place, ascending.
    pub(crate) starts: Vec<usize>,
    /// The weights of all places, one after the other.
    pub(crate) weights: Vec<f32>,
    /// Pixels that a place sees, at least 1.
    pub(crate) taps: usize,
}

impl Axis {
    /// Lays `size` places over `length` pixels from `start` on, of an image that has `pixels` of them.
    pub(crate) fn fit(&mut self, start: f64, length: f64, pixels: usize, size: usize) {
        let scale = length / size as f64;
        let radius = scale.max(1.0);
        let last = pixels.saturating_sub(1);
        // The middle of the place, and the first and the last pixel that the filter reaches.
        let reach = |place: usize| {
            // The middle of pixel p is at p.
            let centre = start + (place as f64 + 0.5) * scale - 0.5;
            // Only pixels closer than the radius have a weight. A negative number becomes 0.
            let low = (((centre - radius).floor() + 1.0) as usize).min(last);
            let high = (((centre + radius).ceil() - 1.0) as usize).clamp(low, last);
            (centre, low, high)
        };
        self.taps = (0..size).map(reach).map(|(_, low, high)| high + 1 - low).max().unwrap_or(1);
        self.starts.clear();
        self.weights.clear();
        self.weights.resize(size * self.taps, 0.0);
        for (place, weights) in self.weights.chunks_exact_mut(self.taps).enumerate() {
            let (centre, low, high) = reach(place);
            // At the end of the image the pixels without a weight are in front.
            let first = low.min(pixels.saturating_sub(self.taps));
            let reached = weights.iter_mut().skip(low - first).take(high + 1 - low);
            let mut sum = 0.0_f32;
            for (weight, pixel) in reached.zip(low..) {
                *weight = (1.0 - (pixel as f64 - centre).abs() / radius).max(0.0) as f32;
                sum += *weight;
            }
            weights.iter_mut().for_each(|weight| *weight /= sum);
            self.starts.push(first);
        }
    }

    /// The pixels that any place sees: the first, and the one after the last.
    pub(crate) fn extent(&self) -> (usize, usize) {
        let first = self.starts.first().copied().unwrap_or(0);
        (first, self.starts.last().map_or(first, |start| start + self.taps))
    }

    /// The first pixel and the weights of every place.
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.starts.iter().copied().zip(self.weights.chunks_exact(self.taps.max(1)))
    }
}
