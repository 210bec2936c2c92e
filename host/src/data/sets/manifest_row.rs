//! Rows of a manifest, and the columns that it has.

use lossmith_images::Area;

use super::split_column::PartOrFold;
use crate::data::DataError;
use crate::data::files::{Column, RetrievalRole, Sheet, SheetEntry};

/// Whether the column `vendor` names the subject if there is no column `subject`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Vendors {
    Ignored,
    /// As in the manifest of the emoji: the name up to its first `-`, as a designer draws one emoji in several styles.
    AreSubjects,
}

/// One image.
pub(super) struct ManifestRow {
    pub(super) name: String,
    pub(super) class: String,
    pub(super) line: u64,
    pub(super) subject: Option<String>,
    pub(super) place: Option<PartOrFold>,
    pub(super) role: Option<RetrievalRole>,
    pub(super) area: Option<Area>,
}

/// The columns of a list that are there.
pub(super) struct Columns {
    path: Column,
    class: Column,
    pub(super) subject: Option<Column>,
    vendor: Option<Column>,
    pub(super) split: Option<Column>,
    /// `is_query` and `is_gallery`.
    roles: Option<[Column; 2]>,
    /// Left, right, top, bottom.
    edges: Option<[Column; 4]>,
}

/// Left, right, top, bottom.
const EDGES: [&str; 4] = ["x_1", "x_2", "y_1", "y_2"];
const ROLES: [&str; 2] = ["is_query", "is_gallery"];

impl Columns {
    pub(super) fn find(sheet: &Sheet, vendors: Vendors) -> Result<Self, DataError> {
        let path = sheet.column("path")?;
        let class = match (sheet.find("class"), sheet.find("label")) {
            (Some(_), Some(_)) => {
                return Err(sheet.wrong("there are both columns `class` and `label`, which mean the same".to_owned()));
            }
            (None, Some(label)) => label,
            _ => sheet.column("class")?,
        };
        let subject = sheet.find("subject");
        let vendor = if subject.is_none() && vendors == Vendors::AreSubjects { sheet.find("vendor") } else { None };
        let (roles, edges) = (together(sheet, ROLES)?, together(sheet, EDGES)?);
        Ok(Self { path, class, subject, vendor, split: sheet.find("split"), roles, edges })
    }

    /// A warning that names the columns that are not used.
    pub(super) fn unused(&self, sheet: &Sheet) -> Option<String> {
        let mut used = vec!["path", "class", "label", "subject", "split"];
        used.extend(self.vendor.map(|_| "vendor"));
        used.extend(ROLES.into_iter().chain(EDGES));
        sheet.unused(&used)
    }

    pub(super) fn row(&self, entry: &SheetEntry) -> Result<ManifestRow, DataError> {
        let text = |column| entry.text(column).map(str::to_owned);
        let designer = |column| text(column).map(|vendor| vendor.split('-').next().unwrap_or_default().to_owned());
        let subject = match (self.subject, self.vendor) {
            (Some(column), _) => Some(text(column)?),
            (None, vendor) => vendor.map(designer).transpose()?,
        };
        Ok(ManifestRow {
            name: text(self.path)?,
            class: text(self.class)?,
            line: entry.line,
            subject,
            place: None,
            role: self.roles.map(|columns| role(entry, columns)).transpose()?,
            area: self.edges.map(|columns| area(entry, columns)).transpose()?.flatten(),
        })
    }
}

/// Columns that have a meaning only together; none if there is none of them.
fn together<const N: usize>(sheet: &Sheet, names: [&'static str; N]) -> Result<Option<[Column; N]>, DataError> {
    let found = names.map(|name| sheet.find(name));
    if found.iter().all(Option::is_none) {
        return Ok(None);
    }
    let columns: Vec<Column> = names.into_iter().map(|name| sheet.column(name)).collect::<Result<_, _>>()?;
    Ok(columns.try_into().ok())
}

fn role(entry: &SheetEntry, [query, gallery]: [Column; 2]) -> Result<RetrievalRole, DataError> {
    let yes = |column| match entry.optional(column)?.map(str::to_ascii_lowercase).as_deref() {
        None | Some("0" | "0.0" | "false" | "no") => Ok(false),
        Some("1" | "1.0" | "true" | "yes") => Ok(true),
        Some(text) => Err(entry.wrong(
            format!("`{text}` is neither yes nor no in `is_query` or `is_gallery`"),
            "write `true` or `false`, `1` or `0`, `yes` or `no`, or nothing for no",
        )),
    };
    Ok(RetrievalRole { query: yes(query)?, gallery: yes(gallery)? })
}

fn area(entry: &SheetEntry, columns: [Column; 4]) -> Result<Option<Area>, DataError> {
    let help = "`x_1` and `x_2` are left and right, `y_1` and `y_2` top and bottom, in pixels; leave all four empty \
        for the whole image";
    let wrong = |problem: String| Err(entry.wrong(problem, help));
    let mut edges = Vec::new();
    for (column, name) in columns.into_iter().zip(EDGES) {
        let Some(text) = entry.optional(column)? else { continue };
        match text.parse::<f64>() {
            // No image has so many pixels a side.
            Ok(edge) if edge.abs() < f64::from(i32::MAX) => edges.push(edge.round() as i64),
            _ => return wrong(format!("`{name}` is `{text}`, expected a number of pixels")),
        }
    }
    match edges.as_slice() {
        [] => Ok(None),
        [left, right, top, bottom] if left < right && top < bottom => {
            Ok(Some(Area { left: *left, top: *top, width: right - left, height: bottom - top }))
        }
        [left, right, top, bottom] => {
            wrong(format!("the area from {left} to {right} and from {top} to {bottom} has no pixels"))
        }
        _ => wrong("of `x_1`, `x_2`, `y_1` and `y_2` some are empty".to_owned()),
    }
}
