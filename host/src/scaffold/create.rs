//! Making the folder of a plugin.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::error::ScaffoldError;
use super::language::Language;
use super::{files, name};
use lossmith_plugin::Role;

/// A folder that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The folder, as it was given.
    pub directory: PathBuf,
    /// The files in it, sorted, relative to it.
    pub files: Vec<PathBuf>,
}

/// Makes the folder `directory` with a plugin `name` of one strategy. It must not exist, or be empty.
///
/// # Errors
/// See [`ScaffoldError`]. Nothing is left behind, except folders above `directory` that were missing.
pub fn create(name: &str, role: Role, language: Language, directory: &Path) -> Result<Created, ScaffoldError> {
    name::check(name, role)?;
    // Without a name of its own, as `.`, it is the current folder of somebody.
    if directory.file_name().is_none() {
        return Err(ScaffoldError::NoNewFolder { directory: directory.to_path_buf() });
    }
    if directory.symlink_metadata().is_ok() && !is_empty_folder(directory) {
        return Err(ScaffoldError::Exists { directory: directory.to_path_buf() });
    }
    let parent = match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(parent).map_err(ScaffoldError::file("creating", parent))?;
    let aside = tempfile::Builder::new()
        .prefix(".lossmith-new-")
        // As for any other folder: the user's mask decides.
        .permissions(std::fs::Permissions::from_mode(0o777))
        .tempdir_in(parent)
        .map_err(ScaffoldError::file("writing into", parent))?;
    let mut files = Vec::new();
    for (file, content) in files::files(name, role, language) {
        write(&aside.path().join(&file), &content)?;
        files.push(file);
    }
    files.sort();
    // It takes the place of an empty folder and of nothing else.
    std::fs::rename(aside.path(), directory).map_err(ScaffoldError::file("creating", directory))?;
    // What it would remove has another name now.
    let _ = aside.keep();
    Ok(Created { directory: directory.to_path_buf(), files })
}

fn is_empty_folder(path: &Path) -> bool {
    // A link to a folder is not the folder, and would be replaced itself.
    !path.is_symlink() && std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

fn write(file: &Path, content: &[u8]) -> Result<(), ScaffoldError> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(ScaffoldError::file("creating", folder))?;
    }
    std::fs::write(file, content).map_err(ScaffoldError::file("writing", file))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn entries(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_listed_files_are_there_and_nothing_beside_them() {
        let place = tempfile::tempdir().unwrap();
        for (number, language) in Language::ALL.into_iter().enumerate() {
            let folder = place.path().join(format!("deeper/{number}"));
            let created = create("my-plugin", Role::Loss, language, &folder).unwrap();
            assert!(created.files.iter().all(|file| folder.join(file).is_file()), "{created:?}");
            assert!(created.files.iter().any(|file| file == Path::new("experiment.toml")), "{created:?}");
        }
        let mut left = entries(&place.path().join("deeper"));
        left.sort();
        assert_eq!(left, ["0", "1", "2"]);
    }

    #[test]
    fn an_empty_folder_is_taken_and_any_other_stays_as_it_is() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("mine");
        std::fs::create_dir(&folder).unwrap();
        create("my-plugin", Role::Loss, Language::Python, &folder).unwrap();
        std::fs::write(folder.join("plugin.py"), "edited").unwrap();
        let again = create("my-plugin", Role::Loss, Language::Python, &folder);
        assert!(matches!(again, Err(ScaffoldError::Exists { .. })), "{again:?}");
        assert_eq!(std::fs::read_to_string(folder.join("plugin.py")).unwrap(), "edited");
        assert_eq!(entries(place.path()), ["mine"]);
    }

    #[test]
    fn a_link_is_not_replaced() {
        let place = tempfile::tempdir().unwrap();
        let (real, link) = (place.path().join("real"), place.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(matches!(create("my-plugin", Role::Loss, Language::Rust, &link), Err(ScaffoldError::Exists { .. })));
        assert!(link.is_symlink());
    }

    #[test]
    fn the_current_folder_is_refused() {
        for folder in [".", "..", "/", "a/.."] {
            let refused = create("my-plugin", Role::Loss, Language::Rust, Path::new(folder));
            assert!(matches!(refused, Err(ScaffoldError::NoNewFolder { .. })), "{folder}: {refused:?}");
        }
    }
}
