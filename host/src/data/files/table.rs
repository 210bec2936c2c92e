//! Text files of columns that are divided by blanks.

use std::path::Path;

use super::listing::Index;
use crate::data::DataError;

/// One line of a file.
pub(in crate::data) struct TableRow<const N: usize> {
    /// Its number, from 1.
    pub(in crate::data) line: u64,
    pub(in crate::data) columns: [String; N],
}

/// The lines of a file, which must have the named columns. Empty lines are left out. The last column may have blanks.
pub(in crate::data) fn read<const N: usize>(path: &Path, names: [&str; N]) -> Result<Vec<TableRow<N>>, DataError> {
    let text = lossmith_files::read_text(path, lossmith_files::LIST)
        .map_err(|cause| DataError::Read { path: path.to_owned(), cause })?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let row = |(line, text): (u64, &str)| {
        let columns: Vec<String> = text.trim().splitn(N, ' ').map(|column| column.trim().to_owned()).collect();
        let count = columns.len();
        let columns = columns.try_into().map_err(|_| {
            let problem = format!("there are {count} columns, expected {N}: {}", names.join(", "));
            Index::text(path).wrong(line, problem, "the file is not the one of the data set; fetch it again")
        })?;
        Ok(TableRow { line, columns })
    };
    lines.map(row).collect()
}

/// A number of a line.
pub(in crate::data) fn number(path: &Path, line: u64, name: &str, text: &str) -> Result<u64, DataError> {
    let problem = || format!("the {name} is `{text}`, expected a number");
    let help = "the file is not the one of the data set; fetch it again";
    text.parse().map_err(|_| Index::text(path).wrong(line, problem(), help))
}
