//! A component that was built, and where the messages of its build go.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::error::ToolchainError;
use super::sources::Sources;

/// A component that was built and is not written yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The crate's name without a leading `lossmith-`, or the name in `plugin.toml`.
    pub name: String,
    /// The component.
    pub bytes: Vec<u8>,
    /// What it was built of.
    pub sources: Sources,
    /// Its folder.
    out_dir: PathBuf,
}

impl Built {
    pub(super) fn new(name: &str, bytes: Vec<u8>, out_dir: PathBuf, sources: Sources) -> Self {
        Self { name: name.to_owned(), bytes, sources, out_dir }
    }

    /// Writes `NAME.wasm` and returns its path. An older file is replaced in one step.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn write(&self) -> Result<PathBuf, ToolchainError> {
        let file = self.out_dir.join(format!("{}.wasm", self.name));
        write(&self.out_dir, &file, &self.bytes)?;
        Ok(file)
    }
}

/// The destination of the compiler's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// To the standard error output.
    Shown,
    /// Into the error.
    Kept,
}

impl Messages {
    /// Says what a build does.
    pub(super) fn say(self, line: &str) {
        match self {
            Self::Shown => eprintln!("{line}"),
            Self::Kept => {}
        }
    }
}

/// Writes aside and renames, so that nobody ever reads half a component.
fn write(dir: &Path, file: &Path, component: &[u8]) -> Result<(), ToolchainError> {
    std::fs::create_dir_all(dir).map_err(ToolchainError::file("creating", dir))?;
    let mut aside = tempfile::Builder::new()
        // As for any other file: the user's mask decides.
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(dir)
        .map_err(ToolchainError::file("writing into", dir))?;
    aside.write_all(component).map_err(ToolchainError::file("writing", file))?;
    aside.persist(file).map_err(|error| ToolchainError::file("replacing", file)(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_component_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("new/tiny.wasm");
        for content in ["first", "second"] {
            write(&dir.path().join("new"), &file, content.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), content);
        }
        assert_eq!(std::fs::read_dir(dir.path().join("new")).unwrap().count(), 1);
    }
}
