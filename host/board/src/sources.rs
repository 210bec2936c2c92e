//! The sources of plugins that a training follows and builds, for the editor. Nothing else can be read or written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::overview::Overview;

/// Of files that are shown.
const ENDINGS: [&str; 5] = ["rs", "py", "js", "mjs", "toml"];
/// How deep below a plugin's folder they are looked for, and how many are shown.
const LEVELS: usize = 4;
const FILES: usize = 200;
/// The largest file that is edited.
const LARGEST: u64 = 1 << 20;

/// A file that may be edited.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SourceFile {
    /// The plugin's folder and the place below it.
    pub(crate) name: String,
    path: PathBuf,
}

/// Why a file was not saved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SaveError {
    /// Somebody else wrote it since it was read.
    #[error("the file was changed by another program meanwhile, and is left as it is; load it again")]
    Changed,
    /// The system refused.
    #[error("the file could not be read or written: {0}")]
    Io(#[from] io::Error),
}

/// The files of the plugins that the training of a run builds and follows; none of a training that is over, or that
/// was started without `--watch`.
pub(crate) fn files(run: &Overview) -> Vec<SourceFile> {
    let watches = run.manifest.as_ref().is_some_and(|manifest| manifest.command.iter().any(|word| word == "--watch"));
    if !run.goes_on() || !watches {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (_, folder) in run.leaves.iter().flatten().filter(|(key, _)| key.ends_with(".plugin.crate")) {
        // The real place: nothing below it that is a link to elsewhere is taken.
        let Ok(folder) = Path::new(folder).canonicalize() else { continue };
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        collect(&folder, &name, LEVELS, &mut found);
    }
    found.sort();
    found.dedup();
    found
}

fn collect(folder: &Path, name: &str, levels: usize, found: &mut Vec<SourceFile>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (file, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        let Ok(kind) = entry.file_type() else { continue };
        let is_source = path.extension().is_some_and(|end| ENDINGS.iter().any(|known| end == *known));
        if file.starts_with('.') || found.len() >= FILES {
            continue;
        }
        let name = format!("{name}/{file}");
        if kind.is_dir() && levels > 1 && !["target", "node_modules"].contains(&file.as_str()) {
            collect(&path, &name, levels - 1, found);
        } else if kind.is_file() && is_source && entry.metadata().is_ok_and(|about| about.len() <= LARGEST) {
            found.push(SourceFile { name, path });
        }
    }
}

impl SourceFile {
    /// What is in it.
    pub(crate) fn text(&self) -> io::Result<String> {
        fs::read_to_string(&self.path)
    }

    /// Replaces what is in it as a whole, if it is still what was read `before`.
    pub(crate) fn save(&self, before: &str, text: &str) -> Result<(), SaveError> {
        if self.text()? != before {
            return Err(SaveError::Changed);
        }
        Ok(lossmith_files::replace(&self.path, text.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn only_sources_below_the_folder_are_there_and_a_change_of_others_is_not_lost() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("mine");
        for file in ["mine/src/lib.rs", "mine/Cargo.toml", "mine/target/a.rs", "mine/.git/b.rs", "mine/c.bin", "d.rs"] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "text").unwrap();
        }
        std::os::unix::fs::symlink(root.path().join("d.rs"), folder.join("link.rs")).unwrap();
        std::os::unix::fs::symlink(root.path(), folder.join("up")).unwrap();
        let mut found = Vec::new();
        collect(&folder, "mine", LEVELS, &mut found);
        found.sort();
        let names: Vec<&str> = found.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["mine/Cargo.toml", "mine/src/lib.rs"]);
        found[1].save("text", "new").unwrap();
        assert!(matches!(found[1].save("text", "other"), Err(SaveError::Changed)));
        assert_eq!(found[1].text().unwrap(), "new");
    }
}
