//! The target folder in which cargo builds a plugin.
//!
//! Crates outside of a workspace build in one folder of the user's cache, so that a new plugin does not compile the SDK
//! and what it depends on again. The folder can be removed at any time. Where it cannot be used, the crate's own is.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::built::Messages;
use super::detect::TARGET;
use super::error::{ToolchainError, with_cause};
use super::folders;
use super::under_way::UnderWay;

/// A target folder for one crate.
pub(super) struct BuildFolder<'a> {
    /// The crate's folder.
    owner: &'a Path,
    library: String,
    /// The one that the crate has for itself.
    own: PathBuf,
    /// The one in the user's cache.
    shared: Option<PathBuf>,
}

/// A target folder in which nobody else builds until this is dropped.
pub(super) struct Opened {
    path: PathBuf,
    _lock: File,
}

impl<'a> BuildFolder<'a> {
    /// `own`, or the folder `shared` of the user's cache if that is named and there is one.
    pub(super) fn of(owner: &'a Path, library: &str, own: &Path, shared: Option<&str>) -> Self {
        let shared = shared.and_then(|name| Some(folders::cache()?.join("builds").join(name)));
        // The file's name: cargo writes hyphens of a library so.
        let library = library.replace('-', "_");
        Self { owner, library, own: own.to_owned(), shared }
    }

    /// Waits until nobody builds in the folder.
    pub(super) fn open(self, plugin: &str, messages: Messages, under_way: &UnderWay) -> Result<Opened, ToolchainError> {
        if let Some(shared) = &self.shared {
            if !shared.is_dir() {
                messages.say(&format!(
                    "plugin `{plugin}`: the first build in {} compiles what the SDK needs, too, which takes a minute \
                     or two",
                    shared.display()
                ));
            }
            match self.open_at(shared, plugin, messages, under_way) {
                Ok(opened) => return Ok(opened),
                Err(error) => messages.say(&format!(
                    "plugin `{plugin}`: what the SDK needs cannot be shared with other plugins, and is compiled in {}: \
                     {}",
                    self.own.display(),
                    with_cause(&error)
                )),
            }
        }
        self.open_at(&self.own, plugin, messages, under_way)
    }

    /// Cargo has a lock of its own, but gives the modules of two crates with one name the same file, and takes that of
    /// the one for the other's: so the module of another crate is removed first, and the lock is held until ours is
    /// read.
    fn open_at(
        &self,
        path: &Path,
        plugin: &str,
        messages: Messages,
        under_way: &UnderWay,
    ) -> Result<Opened, ToolchainError> {
        let owners = path.join("owners");
        fs::create_dir_all(&owners).map_err(ToolchainError::file("creating", &owners))?;
        let file = path.join("lock");
        let lock = File::create(&file).map_err(ToolchainError::file("creating", &file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                messages.say(&format!("plugin `{plugin}`: waiting for another build in {}", path.display()));
                under_way.wait_for(&lock).map_err(ToolchainError::file("locking", &file))?;
            }
            Err(TryLockError::Error(error)) => return Err(ToolchainError::file("locking", &file)(error)),
        }
        let mark = owners.join(&self.library);
        let name = self.owner.as_os_str().as_encoded_bytes();
        if fs::read(&mark).ok().as_deref() != Some(name) {
            for folder in ["release", "release/deps"] {
                let module = path.join(TARGET).join(folder).join(&self.library).with_extension("wasm");
                match fs::remove_file(&module) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(ToolchainError::file("removing", &module)(error));
                    }
                    _ => {}
                }
            }
            fs::write(&mark, name).map_err(ToolchainError::file("writing", &mark))?;
        }
        Ok(Opened { path: path.to_owned(), _lock: lock })
    }
}

impl Opened {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn a_shared_folder_that_cannot_be_used_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let folder = |shared: &str| BuildFolder {
            owner: dir.path(),
            library: "mine".into(),
            own: dir.path().join("target"),
            shared: Some(dir.path().join(shared)),
        };
        let open = |shared: &str| folder(shared).open("mine", Messages::Kept, &UnderWay::default()).unwrap();
        assert_eq!(open("cache/builds").path(), dir.path().join("cache/builds"));
        assert_eq!(open("file/builds").path(), dir.path().join("target"));
    }
}
