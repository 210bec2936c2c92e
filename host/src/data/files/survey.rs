//! Reads the header of every image file, so that a file that cannot be used is known before the first step.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::thread::ScopedJoinHandle;

use image::metadata::Orientation;
use lossmith_images::{Header, ImageFault};

use super::source::{ImageFile, ImageSource, extend_digest};
use crate::data::DataError;

/// The most bytes of an image file.
const MOST_BYTES: u64 = 1 << 30;

/// The results of reading the headers of all files.
#[derive(Default)]
pub(in crate::data) struct Survey {
    /// A line for each image whose pixels are not used as they are stored.
    lines: Vec<String>,
    /// Images of which only the first frame is used.
    pub(in crate::data) animated: usize,
}

impl Survey {
    /// Looks at all files on several threads.
    ///
    /// # Errors
    /// Names the files that cannot be used.
    pub(in crate::data) fn of(source: &ImageSource, threads: usize) -> Result<Self, DataError> {
        let files = match source {
            ImageSource::Bytes { .. } => return Ok(Self::default()),
            ImageSource::Files(files) => files,
        };
        let share = files.len().div_ceil(threads.max(1)).max(1);
        let headers = std::thread::scope(|scope| {
            let look = |files: &[ImageFile]| files.iter().map(header).collect::<Vec<_>>();
            let threads: Vec<_> = files.chunks(share).map(|files| scope.spawn(move || look(files))).collect();
            let join = |thread: ScopedJoinHandle<'_, _>| thread.join().map_err(|_| DataError::Worker);
            threads.into_iter().map(join).collect::<Result<Vec<_>, _>>()
        })?;
        let mut survey = Self::default();
        let mut bad: Vec<(PathBuf, ImageFault)> = Vec::new();
        for (image, (header, file)) in headers.into_iter().flatten().zip(files).enumerate() {
            match header {
                Ok(header) => survey.add(image, &header),
                Err(fault) => bad.push((file.path.clone(), fault)),
            }
        }
        if bad.is_empty() { Ok(survey) } else { Err(DataError::Images { files: bad, total: files.len() }) }
    }

    fn add(&mut self, image: usize, header: &Header) {
        self.animated += usize::from(header.animated);
        if header.orientation != Orientation::NoTransforms {
            self.lines.push(format!("{image} turned {}\n", header.orientation.to_exif()));
        }
        if header.alpha {
            self.lines.push(format!("{image} on white\n"));
        }
    }

    /// The digest of the data: it tells apart how the pixels of a file are used. Where they are used as they are stored
    /// it stays.
    pub(in crate::data) fn digest(&self, digest: String) -> String {
        if self.lines.is_empty() { digest } else { extend_digest(&digest, self.lines.iter().cloned()) }
    }
}

fn header(ImageFile { path, area }: &ImageFile) -> Result<Header, ImageFault> {
    let found = path.metadata()?;
    if !found.is_file() {
        return Err(ImageFault::NotAFile);
    }
    if found.len() > MOST_BYTES {
        return Err(ImageFault::Bytes { bytes: found.len(), most: MOST_BYTES });
    }
    let header = Header::read(BufReader::new(File::open(path)?))?;
    let Header { width, height, .. } = header;
    match area {
        Some(area) if area.within(width, height).is_none() => Err(ImageFault::Outside { area: *area, width, height }),
        _ => Ok(header),
    }
}
