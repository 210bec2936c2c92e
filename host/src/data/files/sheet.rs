//! CSV files whose first line names the columns. Where that line has no comma, semicolons or tabs divide the columns.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use csv::{Position, Reader, ReaderBuilder, StringRecord};

use super::listing::Index;
use crate::data::DataError;

pub(in crate::data) use csv::Trim;

/// An opened file of which the first line is read.
pub(in crate::data) struct Sheet<'a> {
    index: Index<'a>,
    /// Which columns are needed, for errors: "`path` and `class` are needed".
    needed: &'static str,
    header: StringRecord,
    reader: Reader<LineEnds<BufReader<File>>>,
}

/// A column of a sheet.
#[derive(Clone, Copy)]
pub(in crate::data) struct Column {
    place: usize,
    name: &'static str,
}

/// A line after the first one.
pub(in crate::data) struct SheetEntry<'a> {
    index: Index<'a>,
    /// Its number, from 1.
    pub(in crate::data) line: u64,
    record: StringRecord,
}

impl<'a> Sheet<'a> {
    /// Reads the first line of a file. `trim` says whether blanks around names and values count.
    pub(in crate::data) fn open(path: &'a Path, trim: Trim, needed: &'static str) -> Result<Self, DataError> {
        let index = Index::text(path);
        let read = |cause| DataError::Read { path: path.to_owned(), cause };
        let mut file = BufReader::new(lossmith_files::open(path, lossmith_files::LIST).map_err(read)?);
        let mut first = Vec::new();
        file.by_ref().take(LONGEST_FIRST_LINE).read_until(b'\n', &mut first).map_err(read)?;
        file.rewind().map_err(read)?;
        let mut reader = ReaderBuilder::new().delimiter(delimiter(&first)).trim(trim).from_reader(LineEnds::of(file));
        let header = reader.headers().map_err(|error| damaged(index, &error))?.clone();
        let sheet = Self { index, needed, header, reader };
        let mut names = BTreeSet::new();
        match sheet.header.iter().find(|name| !name.is_empty() && !names.insert(*name)) {
            Some(twice) => Err(sheet.wrong(format!("there are two columns `{}`", shown([twice])))),
            None => Ok(sheet),
        }
    }

    /// A warning that names the columns that are not `used`.
    pub(in crate::data) fn unused(&self, used: &[&str]) -> Option<String> {
        let others: Vec<&str> = self.header.iter().filter(|name| !used.contains(name)).collect();
        let (columns, are) = if others.len() == 1 { ("column", "is") } else { ("columns", "are") };
        let file = self.index.path.display();
        let text = || format!("{columns} of {file} that {are} not used: {}", shown(others.iter().copied()));
        (!others.is_empty()).then(text)
    }

    /// The column of that name, if there is one.
    pub(in crate::data) fn find(&self, name: &'static str) -> Option<Column> {
        let place = self.header.iter().position(|column| column == name)?;
        Some(Column { place, name })
    }

    /// The column of that name.
    pub(in crate::data) fn column(&self, name: &'static str) -> Result<Column, DataError> {
        self.find(name).ok_or_else(|| self.wrong(format!("there is no column `{name}`, only: {}", shown(&self.header))))
    }

    /// An error about the first line.
    pub(in crate::data) fn wrong(&self, problem: String) -> DataError {
        self.index.wrong(1, problem, format!("the first line names the columns; {}", self.needed))
    }

    /// The other lines.
    pub(in crate::data) fn entries(self) -> impl Iterator<Item = Result<SheetEntry<'a>, DataError>> {
        let (index, mut records) = (self.index, self.reader.into_records());
        std::iter::from_fn(move || {
            let record = records.next()?;
            // Its own position is that of the empty lines before it.
            let next = records.reader().position().line();
            let entry = |record: StringRecord| {
                let breaks = record.iter().flat_map(str::bytes).filter(|byte| *byte == b'\n').count() as u64;
                SheetEntry { index, line: next.saturating_sub(1 + breaks), record }
            };
            Some(record.map(entry).map_err(|error| damaged(index, &error)))
        })
    }
}

/// A text whose lines all end in `\n`, the last one, too: the reader of CSV counts these, and no others.
struct LineEnds<R> {
    from: R,
    /// After what was read last.
    place: ColumnPlace,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ColumnPlace {
    Start,
    Inside,
    AfterReturn,
}

impl<R> LineEnds<R> {
    fn of(from: R) -> Self {
        Self { from, place: ColumnPlace::Start }
    }
}

impl<R: BufRead> Read for LineEnds<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let mut given = self.from.fill_buf()?;
        if self.place == ColumnPlace::AfterReturn {
            self.place = ColumnPlace::Start;
            if given.first() == Some(&b'\n') {
                self.from.consume(1);
                given = self.from.fill_buf()?;
            }
        }
        let plain = given.iter().position(|byte| *byte == b'\r').unwrap_or(given.len()).min(to.len());
        let (Some((place, _)), Some(text)) = (to.split_at_mut_checked(plain), given.get(..plain)) else { return Ok(0) };
        if let Some(last) = text.last() {
            self.place = if *last == b'\n' { ColumnPlace::Start } else { ColumnPlace::Inside };
            place.copy_from_slice(text);
            self.from.consume(plain);
            return Ok(plain);
        }
        // A `\r`, or the end.
        let Some(place) = to.first_mut() else { return Ok(0) };
        if given.is_empty() && self.place == ColumnPlace::Start {
            return Ok(0);
        }
        self.place = if given.is_empty() { ColumnPlace::Start } else { ColumnPlace::AfterReturn };
        let taken = given.len().min(1);
        self.from.consume(taken);
        *place = b'\n';
        Ok(1)
    }
}

impl SheetEntry<'_> {
    /// The value of a column; an error if it is empty.
    pub(in crate::data) fn text(&self, column: Column) -> Result<&str, DataError> {
        match self.record.get(column.place) {
            None | Some("") => Err(self.wrong(
                format!("the column `{}` is empty", column.name),
                format!("every line needs a value in the column `{}`", column.name),
            )),
            Some(text) if text.contains(['\n', '\r', '\0']) => Err(self.wrong(
                format!("the column `{}` has a line break or a zero byte: {}", column.name, shown([text])),
                "a quote may be opened and not closed; write `\"\"` for a quote within quotes",
            )),
            Some(text) => Ok(text),
        }
    }

    /// The value of a column; `None` if it is empty.
    pub(in crate::data) fn optional(&self, column: Column) -> Result<Option<&str>, DataError> {
        match self.record.get(column.place) {
            None | Some("") => Ok(None),
            Some(_) => self.text(column).map(Some),
        }
    }

    /// An error about this line.
    pub(in crate::data) fn wrong(&self, problem: impl Into<String>, help: impl Into<String>) -> DataError {
        self.index.wrong(self.line, problem, help)
    }
}

/// The first line tells how columns are divided only as far as this.
const LONGEST_FIRST_LINE: u64 = 1 << 16;

fn delimiter(first: &[u8]) -> u8 {
    [b',', b';', b'\t'].into_iter().find(|delimiter| first.contains(delimiter)).unwrap_or(b',')
}

/// Names in a message. A file without a first line has its data there, which may be long.
fn shown<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let most = 200;
    let mut text = String::new();
    for name in names {
        if text.chars().count() > most {
            break;
        }
        let separator = if text.is_empty() { "" } else { ", " };
        text += separator;
        text.extend(name.chars().take(most).map(|c| if c.is_control() { '?' } else { c }));
    }
    match text.char_indices().nth(most) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + " ...",
        None => text,
    }
}

fn damaged(index: Index, error: &csv::Error) -> DataError {
    let line = error.position().map_or(0, Position::line);
    let problem = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("there are {len} columns, expected {expected_len} as in the first line")
        }
        csv::ErrorKind::Utf8 { .. } => "this is not UTF-8".to_owned(),
        _ => error.to_string(),
    };
    index.wrong(line, problem, "the file must be CSV in UTF-8 with a first line that names the columns")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn every_line_ends_alike() {
        for (text, expected) in [
            ("", ""),
            ("a", "a\n"),
            ("a\nb\n", "a\nb\n"),
            ("a\r\n\r\nb\r\n", "a\n\nb\n"),
            ("a\rb\r\rc", "a\nb\n\nc\n"),
            ("\n\ra\n\n", "\n\na\n\n"),
        ] {
            // Line ends are cut by the end of the buffer, too.
            for room in 1..4 {
                let mut read = String::new();
                let text = BufReader::with_capacity(room, text.as_bytes());
                LineEnds::of(text).read_to_string(&mut read).unwrap();
                assert_eq!(read, expected, "{room}");
            }
        }
    }
}
