//! The cache of built components, by the digest of all that they are made of.
//!
//! They are in the user's cache folder, which can be removed at any time. The tools of some languages make other bytes
//! of the same sources each time: what is kept makes one source one component.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::folders;
use super::under_way::UnderWay;

/// The size of the cache in bytes; what was not used for longest goes first.
const ROOM: u64 = 1 << 30;

/// All that a component is made of, by name: SHA-256 of the files, and the version of the tool.
pub(super) type Inputs = BTreeMap<String, String>;

/// The folder of built components.
pub(super) struct ComponentCache {
    folder: PathBuf,
}

impl ComponentCache {
    /// The one in the user's cache folder. None where the user has none.
    pub(super) fn of_user() -> Option<Self> {
        Some(Self { folder: folders::cache()?.join("components") })
    }

    /// Waits for another build of the same, and keeps others waiting until the lock is dropped.
    pub(super) fn lock(&self, inputs: &Inputs, under_way: &UnderWay) -> io::Result<File> {
        let folder = self.folder.join("locks");
        fs::create_dir_all(&folder)?;
        // Few files, whatever is built: those that have one in common wait for each other.
        let digest = digest(inputs);
        let lock = File::create(folder.join(digest.get(..2).unwrap_or_default()))?;
        under_way.wait_for(&lock)?;
        Ok(lock)
    }

    /// The component that was made of these. A file that is damaged is none.
    pub(super) fn get(&self, inputs: &Inputs) -> Option<Vec<u8>> {
        let prefix = digest(inputs);
        let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix));
        let path = self.files().into_iter().map(|(_, _, path)| path).find(named)?;
        let component = fs::read(&path).ok()?;
        if path != self.path(&prefix, &component) {
            return None;
        }
        // Without the date it only goes earlier.
        let _ = File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(component)
    }

    /// Keeps a component.
    pub(super) fn put(&self, inputs: &Inputs, component: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut aside = tempfile::NamedTempFile::new_in(&self.folder)?;
        io::Write::write_all(&mut aside, component)?;
        aside.persist(self.path(&digest(inputs), component))?;
        let mut files = self.files();
        files.sort();
        let mut sum: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in files {
            if sum > ROOM && fs::remove_file(path).is_ok() {
                sum -= size;
            }
        }
        Ok(())
    }

    /// Why a plugin in `dir` must be built, as what it is made of differs from the last time; and remembers these for
    /// the next.
    pub(super) fn why(&self, dir: &Path, inputs: &Inputs) -> String {
        let name = lossmith_files::hex(&Sha256::digest(dir.as_os_str().as_encoded_bytes()));
        let file = self.folder.join("last").join(name).with_extension("json");
        let before = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Inputs>(&bytes).ok());
        if let (Some(folder), Ok(text)) = (file.parent(), serde_json::to_vec(inputs)) {
            // It is only for a message.
            let _ = fs::create_dir_all(folder).and_then(|()| fs::write(&file, text));
        }
        before.map_or_else(|| "it was not built here before".to_owned(), |before| difference(&before, inputs))
    }

    /// When they were used, sizes and paths.
    fn files(&self) -> Vec<(SystemTime, u64, PathBuf)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let components = entries.filter(|path| path.extension().is_some_and(|ending| ending == "wasm"));
        let looked_at = components.filter_map(|path| {
            let found = fs::metadata(&path).ok()?;
            Some((found.modified().ok()?, found.len(), path))
        });
        looked_at.collect()
    }

    /// Its name tells whether it is whole.
    fn path(&self, inputs: &str, component: &[u8]) -> PathBuf {
        self.folder.join(format!("{inputs}-{}.wasm", lossmith_files::hex(&Sha256::digest(component))))
    }
}

fn digest(inputs: &Inputs) -> String {
    let mut hasher = Sha256::new();
    for (name, value) in inputs {
        for text in [name, value] {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
    }
    lossmith_files::hex(&hasher.finalize())
}

fn difference(before: &Inputs, now: &Inputs) -> String {
    let mut parts = Vec::new();
    for (name, value) in now {
        match before.get(name) {
            None => parts.push(format!("{name} is new")),
            Some(other) if other != value => parts.push(format!("{name} changed")),
            Some(_) => {}
        }
    }
    parts.extend(before.keys().filter(|name| !now.contains_key(*name)).map(|name| format!("{name} is gone")));
    if parts.is_empty() { "the last build was not kept".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    fn inputs(pairs: &[(&str, &str)]) -> Inputs {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_component_is_found_by_what_it_was_made_of_while_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let cache = ComponentCache { folder: folder.path().join("components") };
        let (one, two) = (inputs(&[("plugin.py", "1")]), inputs(&[("plugin.py", "2")]));
        assert_eq!(cache.get(&one), None);
        cache.put(&one, b"first").unwrap();
        cache.put(&two, b"second").unwrap();
        assert_eq!((cache.get(&one).unwrap(), cache.get(&two).unwrap()), (b"first".to_vec(), b"second".to_vec()));
        for (_, _, path) in cache.files() {
            fs::write(path, b"damaged").unwrap();
        }
        assert_eq!(cache.get(&one), None);
    }

    #[test]
    fn what_differs_is_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let cache = ComponentCache { folder: folder.path().to_owned() };
        let dir = Path::new("/plugins/soft");
        let first = inputs(&[("plugin.py", "1"), ("old.py", "1")]);
        assert_eq!(cache.why(dir, &first), "it was not built here before");
        assert_eq!(cache.why(dir, &first), "the last build was not kept");
        let second = inputs(&[("plugin.py", "2"), ("new.py", "1")]);
        assert_eq!(cache.why(dir, &second), "new.py is new, plugin.py changed, old.py is gone");
        assert_eq!(cache.why(Path::new("/plugins/hard"), &second), "it was not built here before");
    }
}
