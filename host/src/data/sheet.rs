//! CSV files whose first line names the columns.

use std::fs::File;
use std::path::Path;

use csv::{Position, Reader, ReaderBuilder, StringRecord};

use super::DataError;
use super::listing::Index;
use crate::files;

pub(super) use csv::Trim;

/// An opened file of which the first line is read.
pub(super) struct Sheet<'a> {
    index: Index<'a>,
    /// Which columns are needed, for errors: "`path` and `class` are needed".
    needed: &'static str,
    header: StringRecord,
    reader: Reader<File>,
}

/// A column of a sheet.
#[derive(Clone, Copy)]
pub(super) struct Column {
    place: usize,
    name: &'static str,
}

/// A line after the first one.
pub(super) struct Entry<'a> {
    index: Index<'a>,
    /// Its number, from 1.
    pub(super) line: u64,
    record: StringRecord,
}

impl<'a> Sheet<'a> {
    /// Reads the first line of a file. `trim` says whether blanks around names and values count.
    pub(super) fn open(path: &'a Path, trim: Trim, needed: &'static str) -> Result<Self, DataError> {
        let index = Index::text(path);
        let file =
            files::open(path, files::LIST).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
        let mut reader = ReaderBuilder::new().trim(trim).from_reader(file);
        let header = reader.headers().map_err(|error| damaged(index, &error))?.clone();
        Ok(Self { index, needed, header, reader })
    }

    /// The column of that name, if there is one.
    pub(super) fn find(&self, name: &'static str) -> Option<Column> {
        let place = self.header.iter().position(|column| column == name)?;
        Some(Column { place, name })
    }

    /// The column of that name.
    pub(super) fn column(&self, name: &'static str) -> Result<Column, DataError> {
        self.find(name).ok_or_else(|| {
            // A file without a first line has its data there, which may be long.
            let found: String = self.header.iter().collect::<Vec<_>>().join(", ").chars().take(200).collect();
            self.wrong(format!("there is no column `{name}`, only: {found}"))
        })
    }

    /// An error about the first line.
    pub(super) fn wrong(&self, problem: String) -> DataError {
        self.index.wrong(1, problem, format!("the first line names the columns; {}", self.needed))
    }

    /// The other lines.
    pub(super) fn entries(self) -> impl Iterator<Item = Result<Entry<'a>, DataError>> {
        let index = self.index;
        self.reader.into_records().map(move |record| {
            let record = record.map_err(|error| damaged(index, &error))?;
            Ok(Entry { index, line: record.position().map_or(0, Position::line), record })
        })
    }
}

impl Entry<'_> {
    /// What is in a column; an error if that is nothing.
    pub(super) fn text(&self, column: Column) -> Result<&str, DataError> {
        match self.record.get(column.place) {
            None | Some("") => Err(self.wrong(
                format!("the column `{}` is empty", column.name),
                format!("every line needs a value in the column `{}`", column.name),
            )),
            Some(text) => Ok(text),
        }
    }

    /// An error about this line.
    pub(super) fn wrong(&self, problem: impl Into<String>, help: impl Into<String>) -> DataError {
        self.index.wrong(self.line, problem, help)
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
