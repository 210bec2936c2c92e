//! Files with one JSON object a line, which are only ever appended to.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::RunError;

/// What could be read of such a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines<T> {
    /// The objects, in the order in which they were written.
    pub rows: Vec<T>,
    /// Numbers (from 1) of the lines that could not be read: torn when a process or a machine died, or written by a
    /// later version.
    pub skipped: Vec<usize>,
}

/// Reads all lines that can be read. A file that does not exist has none.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Lines<T>, RunError> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        bytes => bytes.map_err(RunError::io("read", path))?,
    };
    Ok(parse(&bytes, 1))
}

/// The lines of a part of a file, the first of which has the number `first`.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8], first: usize) -> Lines<T> {
    let mut lines = Lines { rows: Vec::new(), skipped: Vec::new() };
    for (number, line) in (first..).zip(bytes.split(|byte| *byte == b'\n')).filter(|(_, line)| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(row) => lines.rows.push(row),
            Err(_) => lines.skipped.push(number),
        }
    }
    lines
}

/// A file open for appending.
#[derive(Debug)]
pub(super) struct Appender {
    path: PathBuf,
    file: File,
    /// Whether the file may end in the middle of a line, after a death or a failed write.
    torn: bool,
}

impl Appender {
    /// Opens the file, or makes it.
    pub(super) fn open(path: PathBuf) -> Result<Self, RunError> {
        let open = || {
            let mut file = OpenOptions::new().create(true).append(true).read(true).open(&path)?;
            let mut last = [b'\n'];
            if file.metadata()?.len() > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            Ok((file, last != *b"\n"))
        };
        let (file, torn) = open().map_err(RunError::io("open", &path))?;
        Ok(Self { path, file, torn })
    }

    /// Appends a line in one write. A line that was torn before stays by itself.
    pub(super) fn append<T: Serialize>(&mut self, row: &T) -> Result<(), RunError> {
        let mut line = if self.torn { b"\n".to_vec() } else { Vec::new() };
        let mut write = || {
            serde_json::to_writer(&mut line, row)?;
            line.push(b'\n');
            self.file.write_all(&line)
        };
        let written = write();
        self.torn = written.is_err();
        written.map_err(RunError::io("append to", &self.path))
    }

    /// Makes sure that all lines are on the disk.
    pub(super) fn sync(&self) -> Result<(), RunError> {
        self.file.sync_all().map_err(RunError::io("write", &self.path))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn lines_come_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        assert!(read::<u32>(&path).unwrap().rows.is_empty());
        for part in [[1, 2], [3, 4]] {
            let mut appender = Appender::open(path.clone()).unwrap();
            part.iter().for_each(|row| appender.append(row).unwrap());
        }
        assert_eq!(read::<u32>(&path).unwrap(), Lines { rows: vec![1, 2, 3, 4], skipped: vec![] });
    }

    #[test]
    fn a_torn_line_is_skipped_reported_and_not_glued_to_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, "{\"a\":1}\n{\"a\":2}\n{\"a\"").unwrap();
        let row = |a| std::collections::BTreeMap::from([("a".to_owned(), a)]);
        assert_eq!(read(&path).unwrap(), Lines { rows: vec![row(1), row(2)], skipped: vec![3] });
        Appender::open(path.clone()).unwrap().append(&row(4)).unwrap();
        assert_eq!(read(&path).unwrap(), Lines { rows: vec![row(1), row(2), row(4)], skipped: vec![3] });
    }
}
