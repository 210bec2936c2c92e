//! Following a file with one JSON object a line while another process appends to it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::marker::PhantomData;
use std::path::PathBuf;

use serde::de::DeserializeOwned;

use super::jsonl::{self, Lines};
use super::row::{Row, settle};
use super::{Entry, Run, RunError};

/// Reads what is new in a file with one JSON object a line. It remembers how far it came and holds no open file.
#[derive(Debug)]
pub struct Tail<T> {
    path: PathBuf,
    /// How many bytes the lines have that were read.
    offset: u64,
    /// How many lines those are.
    lines: usize,
    rows: PhantomData<T>,
}

/// What is new in a file since the last look at it.
#[derive(Clone, Debug, PartialEq)]
pub struct News<T> {
    /// Whether the file is shorter than what was read of it. What was told before counts no more then, and the lines
    /// are those from its beginning.
    pub anew: bool,
    /// The lines that are complete, with their numbers in the file where they could not be read.
    pub lines: Lines<T>,
}

impl<T: DeserializeOwned> Tail<T> {
    /// Follows a file from its beginning. It need not be there yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, offset: 0, lines: 0, rows: PhantomData }
    }

    /// The lines that were completed since the last call. The rest of a line that is not complete comes with a later
    /// call; a file that does not exist has no lines.
    ///
    /// # Errors
    /// The file cannot be read; the next call tries again. Lines that cannot be understood are counted, not refused.
    pub fn read(&mut self) -> Result<News<T>, RunError> {
        let (anew, mut bytes) = self.appended().map_err(RunError::io("read", &self.path))?;
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        let lines = jsonl::parse(&bytes, self.lines + 1);
        self.offset += bytes.len() as u64;
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count();
        Ok(News { anew, lines })
    }

    /// What is behind the lines that were read; all there is if the file is shorter than those.
    fn appended(&mut self) -> io::Result<(bool, Vec<u8>)> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => Some(opened?),
        };
        let length = file.as_ref().map_or(Ok(0), |file| file.metadata().map(|about| about.len()))?;
        let anew = length < self.offset;
        let from = if anew { 0 } else { self.offset };
        let mut bytes = Vec::new();
        if let Some(file) = &mut file {
            file.seek(SeekFrom::Start(from))?;
            file.read_to_end(&mut bytes)?;
        }
        if anew {
            (self.offset, self.lines) = (0, 0);
        }
        Ok((anew, bytes))
    }
}

impl News<Row> {
    /// Adds what is new to rows that were collected in this way before. They are then what [`Run::metrics`] reads: rows
    /// that were undone are taken out.
    pub fn add_to(self, rows: &mut Vec<Row>) {
        if self.anew {
            rows.clear();
        }
        settle(rows, self.lines.rows);
    }
}

impl Run {
    /// Follows `metrics.jsonl` from its beginning. Among the rows are those of [`RowKind::Rewind`], which undo earlier
    /// ones; [`News::add_to`] does so.
    ///
    /// [`RowKind::Rewind`]: super::RowKind::Rewind
    #[must_use]
    pub fn follow_metrics(&self) -> Tail<Row> {
        Tail::new(self.path().join("metrics.jsonl"))
    }

    /// Follows `journal.jsonl` from its beginning.
    #[must_use]
    pub fn follow_journal(&self) -> Tail<Entry> {
        Tail::new(self.path().join("journal.jsonl"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use crate::{Event, RowKind};
    use std::collections::BTreeMap;
    use std::fs::{self, OpenOptions};
    use std::io::Write;
    use std::path::Path;

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn news(anew: bool, rows: &[u32], skipped: &[usize]) -> News<u32> {
        News { anew, lines: Lines { rows: rows.to_vec(), skipped: skipped.to_vec() } }
    }

    #[test]
    fn each_call_returns_what_was_completed_since_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let mut tail = Tail::<u32>::new(path.clone());
        assert_eq!(tail.read().unwrap(), news(false, &[], &[]));
        append(&path, "1\n2\n3");
        assert_eq!(tail.read().unwrap(), news(false, &[1, 2], &[]));
        assert_eq!(tail.read().unwrap(), news(false, &[], &[]));
        append(&path, "4\n5\n");
        assert_eq!(tail.read().unwrap(), news(false, &[34, 5], &[]));
        // Lines have the numbers that they have for who reads the whole file.
        append(&path, "\nx\n6\n");
        assert_eq!(tail.read().unwrap(), news(false, &[6], &[6]));
        assert_eq!(jsonl::read::<u32>(&path).unwrap(), Lines { rows: vec![1, 2, 34, 5, 6], skipped: vec![6] });
    }

    #[test]
    fn a_file_that_became_shorter_is_read_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let mut tail = Tail::<u32>::new(path.clone());
        append(&path, "1\n2\n3\n");
        tail.read().unwrap();
        fs::write(&path, "7\nx\n").unwrap();
        assert_eq!(tail.read().unwrap(), news(true, &[7], &[2]));
        append(&path, "8\n");
        assert_eq!(tail.read().unwrap(), news(false, &[8], &[]));
        fs::remove_file(&path).unwrap();
        assert_eq!(tail.read().unwrap(), news(true, &[], &[]));
        assert_eq!(tail.read().unwrap(), news(false, &[], &[]));
        append(&path, "9\n");
        assert_eq!(tail.read().unwrap(), news(false, &[9], &[]));
    }

    #[test]
    fn rows_that_are_collected_are_those_that_count() {
        let root = tempfile::tempdir().unwrap();
        let run = Run::create(root.path(), "run").unwrap();
        let (mut tail, mut rows) = (run.follow_metrics(), Vec::new());
        let row = |step| Row { kind: RowKind::Step, epoch: 0, step, values: BTreeMap::new() };
        let mut metrics = run.open_metrics().unwrap();
        (1..=3).for_each(|step| metrics.write(&row(step)).unwrap());
        tail.read().unwrap().add_to(&mut rows);
        assert_eq!(rows, [row(1), row(2), row(3)]);
        metrics.rewind(0, 1).unwrap();
        metrics.write(&row(2)).unwrap();
        tail.read().unwrap().add_to(&mut rows);
        assert_eq!(rows, [row(1), row(2)]);
        assert_eq!(rows, run.metrics().unwrap().rows);
        fs::write(run.path().join("metrics.jsonl"), "").unwrap();
        tail.read().unwrap().add_to(&mut rows);
        assert_eq!(rows, run.metrics().unwrap().rows);
    }

    #[test]
    fn a_journal_is_followed() {
        let root = tempfile::tempdir().unwrap();
        let run = Run::create(root.path(), "run").unwrap();
        let mut tail = run.follow_journal();
        for event in [Event::Started { process: None }, Event::Finished { epoch: 1, step: 2 }] {
            run.record(event.clone()).unwrap();
            let found: Vec<Event> = tail.read().unwrap().lines.rows.into_iter().map(|entry| entry.event).collect();
            assert_eq!(found, [event]);
        }
    }
}
