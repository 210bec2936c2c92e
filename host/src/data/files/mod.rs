//! Readers of image files, and of files that list images. This folder knows no data set.

mod listing;
pub(super) mod mat;
mod sheet;
mod source;
mod survey;
pub(super) mod table;

pub(super) use listing::{Index, Listed, Listing};
pub(super) use sheet::{Column, Sheet, SheetEntry, Trim};
pub(super) use source::{
    ImageFile, ImageSource, OwnPart, RetrievalRole, Scan, digest_line, extend_digest, filter, hex,
};
pub(super) use survey::Survey;
