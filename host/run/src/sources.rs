//! `sources/HASH/`: what components were built of, where they were built for the run.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Run, RunError};

impl Run {
    /// Keeps the sources of the component with this SHA-256, by their places in its folder. Those that are there stay.
    ///
    /// # Errors
    /// No room, or the system refuses to write.
    pub fn store_sources<'a>(
        &self,
        hash: &str,
        files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<(), RunError> {
        let folder = self.source_folder(hash);
        if folder.is_dir() {
            return Ok(());
        }
        let root = self.path().join("sources");
        fs::create_dir_all(&root).map_err(RunError::io("make", &root))?;
        let io = RunError::io("write", &root);
        let write = || -> io::Result<()> {
            let aside = tempfile::Builder::new().prefix(lossmith_files::ASIDE).tempdir_in(&root)?;
            // It keeps files from others; the run does not.
            fs::set_permissions(aside.path(), fs::metadata(&root)?.permissions())?;
            for (place, content) in files {
                let path = aside.path().join(place);
                fs::create_dir_all(path.parent().unwrap_or(aside.path()))?;
                fs::write(path, content)?;
            }
            let aside = aside.keep();
            match fs::rename(&aside, &folder) {
                // Another thread kept the same.
                Err(_) if folder.is_dir() => fs::remove_dir_all(&aside),
                renamed => renamed,
            }
        };
        write().map_err(io)
    }

    /// The sources of the component with this SHA-256; none of a component that was given as a file.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn sources(&self, hash: &str) -> Result<BTreeMap<String, Vec<u8>>, RunError> {
        let folder = self.source_folder(hash);
        let mut found = BTreeMap::new();
        if folder.is_dir() {
            collect(&folder, &folder, &mut found).map_err(RunError::io("read", &folder))?;
        }
        Ok(found)
    }

    /// Where the sources of the component with this SHA-256 are, if they are kept.
    #[must_use]
    pub fn source_folder(&self, hash: &str) -> PathBuf {
        self.path().join("sources").join(hash)
    }

    /// Keeps the sources that another run has of these components, too.
    ///
    /// # Errors
    /// They cannot be read, or there is no room.
    pub fn copy_sources<'a>(&self, from: &Self, hashes: impl IntoIterator<Item = &'a str>) -> Result<(), RunError> {
        for hash in hashes {
            let sources = from.sources(hash)?;
            if !sources.is_empty() {
                self.store_sources(hash, sources.iter().map(|(place, content)| (place.as_str(), content.as_slice())))?;
            }
        }
        Ok(())
    }
}

fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, found)?;
        } else {
            let place = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            found.insert(place, fs::read(&path)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn sources_are_kept_by_their_component_and_copied() {
        let root = tempfile::tempdir().unwrap();
        let (one, two) = (Run::create(root.path(), "one").unwrap(), Run::create(root.path(), "two").unwrap());
        let files = [("Cargo.toml", b"a".as_slice()), ("src/deep/lib.rs", b"b")];
        one.store_sources("12", files).unwrap();
        one.store_sources("12", [("other", b"c".as_slice())]).unwrap();
        two.copy_sources(&one, ["12", "34"]).unwrap();
        for run in [&one, &two] {
            let kept = run.sources("12").unwrap();
            assert_eq!(kept.iter().map(|(place, text)| (place.as_str(), text.as_slice())).collect::<Vec<_>>(), files);
            assert_eq!(std::fs::read_dir(run.path().join("sources")).unwrap().count(), 1);
        }
        assert!(two.sources("34").unwrap().is_empty());
    }
}
