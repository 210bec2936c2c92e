//! The target folder in which cargo builds a plugin.
//!
//! Crates outside of a workspace build in one folder of the user's cache, so that a new plugin does not compile the SDK
//! and what it depends on again. The folder can be removed at any time.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::built::Messages;
use super::detect::TARGET;
use super::error::ToolchainError;
use super::folders;

/// A target folder for one crate.
pub(super) struct BuildFolder<'a> {
    /// The crate's folder.
    owner: &'a Path,
    library: String,
    path: PathBuf,
    shared: bool,
}

/// A target folder in which nobody else builds until this is dropped.
pub(super) struct Opened {
    path: PathBuf,
    _lock: File,
}

impl<'a> BuildFolder<'a> {
    /// `own`, or the folder `shared` of the user's cache if that is named and there is one.
    pub(super) fn of(owner: &'a Path, library: &str, own: &Path, shared: Option<&str>) -> Self {
        let folder = shared.and_then(|name| Some(folders::cache()?.join("builds").join(name)));
        // The file's name: cargo writes hyphens of a library so.
        let library = library.replace('-', "_");
        Self { owner, library, shared: folder.is_some(), path: folder.unwrap_or_else(|| own.to_owned()) }
    }

    /// Waits until nobody builds in the folder. Cargo has a lock of its own, but gives the modules of two crates with
    /// one name the same file, and takes that of the one for the other's: so the module of another crate is removed
    /// first, and the lock is held until ours is read.
    pub(super) fn open(self, plugin: &str, messages: Messages) -> Result<Opened, ToolchainError> {
        let Self { owner, library, path, shared } = self;
        if shared && !path.is_dir() {
            messages.say(&format!(
                "plugin `{plugin}`: the first build in {} compiles what the SDK needs, too, which takes a minute or \
                 two",
                path.display()
            ));
        }
        let owners = path.join("owners");
        fs::create_dir_all(&owners).map_err(ToolchainError::file("creating", &owners))?;
        let file = path.join("lock");
        let lock = File::create(&file).map_err(ToolchainError::file("creating", &file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                messages.say(&format!("plugin `{plugin}`: waiting for another build in {}", path.display()));
                lock.lock().map_err(ToolchainError::file("locking", &file))?;
            }
            Err(TryLockError::Error(error)) => return Err(ToolchainError::file("locking", &file)(error)),
        }
        let mark = owners.join(&library);
        let name = owner.as_os_str().as_encoded_bytes();
        if fs::read(&mark).ok().as_deref() != Some(name) {
            for folder in ["release", "release/deps"] {
                let module = path.join(TARGET).join(folder).join(&library).with_extension("wasm");
                match fs::remove_file(&module) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(ToolchainError::file("removing", &module)(error));
                    }
                    _ => {}
                }
            }
            fs::write(&mark, name).map_err(ToolchainError::file("writing", &mark))?;
        }
        Ok(Opened { path, _lock: lock })
    }
}

impl Opened {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
