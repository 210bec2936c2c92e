//! Reading files that a user names: regular ones only, up to a size.
//!
//! A FIFO never ends, or never begins; a link to a device may have no end. Neither may stop a command or fill the
//! memory.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Largest experiment, sweep file, or other text that somebody writes by hand: 16 MiB.
pub const TEXT: u64 = 16 << 20;
/// Largest list of images or batch of embeddings: 2 GiB.
pub const LIST: u64 = 2 << 30;
/// Largest image: 1 GiB.
pub const IMAGE: u64 = 1 << 30;
/// Largest file of weights, or of many images: 64 GiB.
pub const WEIGHTS: u64 = 64 << 30;

/// The bytes of a regular file of at most `limit` bytes.
///
/// # Errors
/// It cannot be read, is not a regular file ([`ErrorKind::InvalidInput`]) or is larger ([`ErrorKind::FileTooLarge`]).
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = open(path, limit)?;
    let mut bytes = Vec::with_capacity(usize::try_from(file.metadata()?.len()).unwrap_or_default());
    // It may grow meanwhile.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    within(bytes.len() as u64, limit)?;
    Ok(bytes)
}

/// The text of a regular file of at most `limit` bytes.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String> {
    String::from_utf8(read(path, limit)?)
        .map_err(|error| Error::new(ErrorKind::InvalidData, format!("it is not UTF-8 text: {}", error.utf8_error())))
}

/// A regular file of at most `limit` bytes.
///
/// # Errors
/// As [`read`].
pub fn open(path: &Path, limit: u64) -> Result<File> {
    // To open a device can do something already.
    check(&std::fs::metadata(path)?, limit)?;
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    // Another may have taken its place since.
    check(&file.metadata()?, limit)?;
    Ok(file)
}

/// Whether a path names a regular file of at most `limit` bytes, for those who open it themselves.
///
/// # Errors
/// As [`read`].
pub fn check_path(path: &Path, limit: u64) -> Result<()> {
    check(&std::fs::metadata(path)?, limit)
}

fn check(metadata: &Metadata, limit: u64) -> Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return within(metadata.len(), limit);
    }
    let kind = if kind.is_dir() {
        return Err(Error::new(ErrorKind::IsADirectory, "it is a folder"));
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(Error::new(ErrorKind::InvalidInput, format!("it is {kind}, not a regular file")))
}

fn within(size: u64, limit: u64) -> Result<()> {
    if size > limit {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "hello").unwrap();
        assert_eq!(read(&file, 5).unwrap(), b"hello");
        assert_eq!(read_text(&file, 5).unwrap(), "hello");
        assert_eq!(read(&file, 4).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(read(folder.path(), 5).unwrap_err().kind(), ErrorKind::IsADirectory);
        assert_eq!(read(&folder.path().join("none"), 5).unwrap_err().kind(), ErrorKind::NotFound);
        std::fs::write(&file, b"\xff").unwrap();
        assert_eq!(read_text(&file, 5).unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
        std::os::unix::fs::symlink("/dev/zero", path("zero")).unwrap();
        std::os::unix::fs::symlink(path("fifo"), path("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        for (name, word) in [("fifo", "FIFO"), ("link", "FIFO"), ("zero", "device"), ("socket", "socket")] {
            let error = read(&path(name), TEXT).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}");
            assert!(error.to_string().contains(word), "{name}: {error}");
            assert!(check_path(&path(name), TEXT).is_err(), "{name}");
        }
        // What has no size of its own, as files of the system, is read up to the limit.
        assert!(!read(Path::new("/proc/self/status"), TEXT).unwrap().is_empty());
        assert_eq!(read(Path::new("/proc/self/status"), 4).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
}
