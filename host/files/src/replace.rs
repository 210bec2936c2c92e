//! Writing a file so that it is there whole or not at all.

use std::fs::{File, Permissions};
use std::io::{Result, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// How the names of files begin that are being written.
pub const ASIDE: &str = ".writing-";

/// Writes `bytes` to `path`, replacing what was there: aside in the same folder, synced, renamed, the folder synced.
/// After an error the old file, if any, is still there and nothing is left beside it.
///
/// # Errors
/// No room, no such folder, or the system refuses to write.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    // The parent of a bare name is the empty path.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Readable as any other file of the user's; a temporary file would be private.
    let everyone = Permissions::from_mode(0o666);
    let mut aside = tempfile::Builder::new().prefix(ASIDE).permissions(everyone).tempfile_in(folder)?;
    aside.write_all(bytes)?;
    aside.as_file().sync_all()?;
    aside.persist(path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace(&path, b"first, which is longer").unwrap();
        replace(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let error = replace(&folder.path().join("missing/file"), b"").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
