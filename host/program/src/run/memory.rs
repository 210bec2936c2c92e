//! The arrays of a run.

use crate::plan::{Buffer, BufferId};

/// An array that a pass writes.
#[derive(Debug)]
pub(super) enum Array<'a, T> {
    /// The caller's.
    Wanted(&'a mut [T]),
    Temporary(Vec<T>),
}

impl<T> Array<'_, T> {
    pub(super) fn slice(&mut self) -> &mut [T] {
        match self {
            Self::Wanted(slice) => slice,
            Self::Temporary(list) => list,
        }
    }
}

enum Place<'a, T> {
    Given(&'a [T]),
    Written(Array<'a, T>),
    /// A pass is writing it.
    Taken,
}

/// The arrays of a run by their numbers.
pub(super) struct Memory<'a, T> {
    places: Vec<Place<'a, T>>,
}

impl<'a, T> Memory<'a, T> {
    pub(super) fn new(
        buffers: &[Buffer],
        constants: &'a [Vec<T>],
        given: &[&'a [T]],
        wanted: &'a mut [&mut [T]],
        temporaries: Vec<Vec<T>>,
    ) -> Self {
        let mut wanted = wanted.iter_mut();
        let all = buffers.iter().zip(constants).zip(temporaries);
        let places = all.map(|((buffer, constant), temporary)| match *buffer {
            Buffer::Given(place) => Place::Given(given[place]),
            // In the order of their places.
            Buffer::Wanted => wanted.next().map_or(Place::Taken, |slice| Place::Written(Array::Wanted(slice))),
            Buffer::Positions(_) | Buffer::Filled(..) => Place::Given(constant),
            Buffer::Temporary(_) => Place::Written(Array::Temporary(temporary)),
        });
        Self { places: places.collect() }
    }

    pub(super) fn read(&self, buffer: BufferId) -> &[T] {
        match &self.places[buffer] {
            Place::Given(slice) => slice,
            Place::Written(Array::Wanted(slice)) => slice,
            Place::Written(Array::Temporary(list)) => list,
            Place::Taken => &[],
        }
    }

    pub(super) fn take(&mut self, buffer: BufferId) -> Array<'a, T> {
        match std::mem::replace(&mut self.places[buffer], Place::Taken) {
            Place::Written(array) => array,
            Place::Given(_) | Place::Taken => Array::Temporary(Vec::new()),
        }
    }

    pub(super) fn put(&mut self, buffer: BufferId, array: Array<'a, T>) {
        self.places[buffer] = Place::Written(array);
    }

    /// The arrays for another run.
    pub(super) fn temporaries(self) -> Vec<Vec<T>> {
        let list = self.places.into_iter().map(|place| match place {
            Place::Written(Array::Temporary(list)) => list,
            Place::Given(_) | Place::Written(Array::Wanted(_)) | Place::Taken => Vec::new(),
        });
        list.collect()
    }
}
