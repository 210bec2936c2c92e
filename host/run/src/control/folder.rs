//! The folder of the socket.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

const FOLDER: &str = "control";
const SOCKET: &str = "socket";

/// The folder `control` of a run, held open.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    file: File,
}

impl Folder {
    /// Opens the folder of a run.
    pub(super) fn open(run: &Path) -> io::Result<Self> {
        let path = run.join(FOLDER);
        // Opening something else could wait for ever, a pipe for instance.
        if !fs::symlink_metadata(&path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { file: File::open(&path)?, path })
    }

    /// Makes the folder if there is none. Only its owner can enter it.
    pub(super) fn make(run: &Path) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(run.join(FOLDER)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        let folder = Self::open(run)?;
        folder.file.set_permissions(Permissions::from_mode(0o700))?;
        Ok(folder)
    }

    /// Where the socket is. Its address may have at most 107 bytes and run folders can be deep, so this goes through
    /// the open folder where the system can do that.
    pub(super) fn socket(&self) -> PathBuf {
        let open = Path::new("/proc/self/fd").join(self.file.as_raw_fd().to_string());
        if open.is_dir() { open.join(SOCKET) } else { self.path.join(SOCKET) }
    }

    /// Runs `action` while no other process does so in this folder. Where files cannot be locked, nobody waits.
    pub(super) fn alone<T>(&self, action: impl FnOnce() -> T) -> T {
        let locked = self.file.lock().is_ok();
        let result = action();
        if locked {
            // Closing the folder unlocks it at the latest.
            let _ = self.file.unlock();
        }
        result
    }
}
