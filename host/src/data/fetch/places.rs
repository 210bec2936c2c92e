//! Search paths of installed data.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::data::{DataError, DataKind};

/// The places of a data set, the first one first: `$LOSSMITH_DATA/<name>`, `.data/<name>`, and for what Debian has
/// `/usr/share/datasets/<name>`. None for kinds whose path the user gives.
#[must_use]
pub fn places(kind: DataKind) -> Vec<PathBuf> {
    below(kind, std::env::var_os("LOSSMITH_DATA"))
}

fn below(kind: DataKind, variable: Option<OsString>) -> Vec<PathBuf> {
    let roots: &[&str] = match kind {
        DataKind::Folder | DataKind::Manifest => return Vec::new(),
        DataKind::FashionMnist => &[".data", "/usr/share/datasets"],
        _ => &[".data"],
    };
    let roots = variable.map(PathBuf::from).into_iter().chain(roots.iter().map(PathBuf::from));
    roots.map(|root| root.join(kind.name())).collect()
}

/// Whether a folder holds data of this kind; what is in its files is not looked at.
fn holds(kind: DataKind, folder: &Path) -> bool {
    match kind {
        DataKind::Emoji => folder.join("manifest.csv").is_file(),
        _ => folder.is_dir(),
    }
}

/// The first of the [`places`] that holds the data.
///
/// # Errors
/// [`DataError::NotInstalled`] if none of them does, [`DataError::NoPath`] for kinds that have no places.
pub fn find(kind: DataKind) -> Result<PathBuf, DataError> {
    let places = places(kind);
    if places.is_empty() {
        return Err(DataError::NoPath { kind });
    }
    match places.iter().find(|place| holds(kind, place)) {
        Some(place) => Ok(place.clone()),
        None => Err(DataError::NotInstalled { kind, places }),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn the_variable_comes_first() {
        for kind in [DataKind::FashionMnist, DataKind::Emoji, DataKind::Cub] {
            let with = below(kind, Some("/somewhere".into()));
            assert_eq!(*with.first().unwrap(), Path::new("/somewhere").join(kind.name()));
            assert_eq!(with.get(1..).unwrap(), below(kind, None));
        }
    }

    #[test]
    fn a_folder_has_no_place_of_its_own() {
        assert!(matches!(find(DataKind::Folder), Err(DataError::NoPath { kind: DataKind::Folder })));
    }
}
