//! The sources of plugins: which files they are, where a crate's path dependencies are, and what is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use toml::{Table, Value};

/// Of the files that are sources of plugins.
const ENDINGS: [&str; 5] = ["rs", "py", "js", "mjs", "toml"];
/// The crate that is a part of lossmith, not of a plugin.
const SDK: &str = "lossmith-sdk";
/// Where the packages of path dependencies are kept.
const BESIDE: &str = "path-dependencies";
/// The largest file that is taken for a source.
const LARGEST: u64 = 4 << 20;

/// Walks through the sources below a folder: files ending in `.rs`, `.py`, `.js`, `.mjs` or `.toml`, and `Cargo.lock`.
/// Not what is hidden, in a folder `target` or `node_modules`, in a virtual environment or in a run, at whatever depth,
/// nor what is behind a symbolic link to a folder. `enter` is called with each folder before it is looked into.
pub fn walk(folder: &Path, enter: &mut dyn FnMut(&Path), visit: &mut dyn FnMut(&Path)) {
    enter(folder);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let is_source =
            name == "Cargo.lock" || path.extension().is_some_and(|end| ENDINGS.iter().any(|known| end == *known));
        // Hidden files are those of editors, such as the lock `.#lib.rs` of Emacs.
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        } else if is_folder {
            let foreign = ["manifest.json", "pyvenv.cfg"].iter().any(|file| path.join(file).is_file());
            if name != "target" && name != "node_modules" && !foreign {
                walk(&path, enter, visit);
            }
        } else if is_source {
            visit(&path);
        }
    }
}

/// Where the sources of the plugin in a folder are: the folder, and those of the packages that its crate depends on by
/// a path, directly or not, and that are not below another of these.
#[must_use]
pub fn folders(dir: &Path) -> Vec<PathBuf> {
    let found = packages(dir);
    let nested = |folder: &PathBuf| {
        found.iter().any(|other| other != folder && folder.starts_with(other) && is_walked(other, folder))
    };
    found.iter().filter(|folder| *folder == dir || !nested(folder)).cloned().collect()
}

/// The folder of a plugin first, then those of all packages that it depends on by a path.
fn packages(dir: &Path) -> Vec<PathBuf> {
    let mut open = vec![dir.to_owned()];
    let (mut found, mut known) = (Vec::new(), BTreeSet::new());
    while let Some(folder) = open.pop() {
        let real = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        if !known.insert(real) {
            continue;
        }
        if let Some(manifest) = manifest(&folder) {
            open.extend(paths(&folder, &manifest));
        }
        found.push(folder);
    }
    found
}

/// Whether [`walk`] comes from a folder to one below it.
fn is_walked(from: &Path, to: &Path) -> bool {
    let between = to.strip_prefix(from).into_iter().flat_map(Path::components);
    between
        .map(|part| part.as_os_str())
        .all(|name| name != "target" && name != "node_modules" && !name.as_encoded_bytes().starts_with(b"."))
}

/// The manifest of the workspace that the crate in a folder is a member of, if it is in another folder.
#[must_use]
pub fn workspace(dir: &Path) -> Option<PathBuf> {
    let own = manifest(dir)?;
    if own.contains_key("workspace") {
        return None;
    }
    let named = own.get("package").and_then(|package| package.get("workspace")).and_then(Value::as_str);
    let root = match named {
        Some(path) => dir.join(path),
        None => {
            let dir = dir.canonicalize().ok()?;
            dir.ancestors().skip(1).find(|folder| manifest(folder).is_some_and(|m| m.contains_key("workspace")))?.into()
        }
    };
    Some(root.join("Cargo.toml"))
}

fn manifest(dir: &Path) -> Option<Table> {
    fs::read_to_string(dir.join("Cargo.toml")).ok()?.parse().ok()
}

/// The folders of the packages that a manifest names by a path.
fn paths(dir: &Path, manifest: &Table) -> Vec<PathBuf> {
    let root = workspace(dir).and_then(|file| Some(file.parent()?.to_owned())).unwrap_or_else(|| dir.to_owned());
    let of_root = self::manifest(&root).unwrap_or_default();
    let shared = of_root.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    let tables = std::iter::once(manifest).chain(
        manifest
            .get("target")
            .and_then(Value::as_table)
            .into_iter()
            .flat_map(|targets| targets.values())
            .filter_map(Value::as_table),
    );
    let dependencies = tables
        .flat_map(|table| ["dependencies", "build-dependencies"].map(|key| table.get(key)))
        .flatten()
        .filter_map(Value::as_table)
        .flatten();
    let mut found: Vec<PathBuf> = dependencies
        .filter_map(|(name, dependency)| {
            let of_workspace = dependency.get("workspace").and_then(Value::as_bool) == Some(true);
            match of_workspace {
                true => path(&root, shared?.get(name)?),
                false => path(dir, dependency),
            }
        })
        .collect();
    let patches = of_root.get("patch").and_then(Value::as_table).into_iter().flat_map(|patch| patch.values());
    let patches = patches.filter_map(Value::as_table).flat_map(|patch| patch.values());
    found.extend(patches.filter_map(|patch| path(&root, patch)));
    found
}

fn path(from: &Path, dependency: &Value) -> Option<PathBuf> {
    let joined = from.join(dependency.get("path")?.as_str()?);
    Some(joined.canonicalize().unwrap_or(joined))
}

/// The sources of a plugin as they were at one time, by their place: `src/lib.rs`, and
/// `path-dependencies/NAME/src/lib.rs` for those of another package than the plugin's own. The SDK is not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(BTreeMap<String, Vec<u8>>);

impl Sources {
    /// Reads those of the crate in a folder. What cannot be read is left out.
    pub(super) fn read(dir: &Path) -> Self {
        let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        let name =
            |folder: &Path| manifest(folder).and_then(|m| Some(m.get("package")?.get("name")?.as_str()?.to_owned()));
        let sdk: Vec<_> = packages(&dir).into_iter().filter(|folder| name(folder).as_deref() == Some(SDK)).collect();
        let mut sources = Self::default();
        for (number, folder) in folders(&dir).into_iter().enumerate() {
            let name = name(&folder).unwrap_or_else(|| format!("package-{number}"));
            let place = if number == 0 { String::new() } else { format!("{BESIDE}/{name}/") };
            walk(&folder, &mut |_| (), &mut |path| {
                let Some(below) = path.strip_prefix(&folder).ok().and_then(Path::to_str) else { return };
                let small = fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() <= LARGEST);
                let of_sdk = sdk.iter().any(|sdk| path.starts_with(sdk));
                if small
                    && !of_sdk
                    && let Ok(content) = fs::read(path)
                {
                    sources.0.insert(format!("{place}{below}"), content);
                }
            });
        }
        sources
    }

    pub(super) fn insert(&mut self, place: String, content: Vec<u8>) {
        self.0.insert(place, content);
    }

    /// Places and contents, in the order of the places.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(place, content)| (place.as_str(), content.as_slice()))
    }

    /// Whether these are others than those, but for what cargo writes: `Cargo.lock`.
    pub(super) fn differ_from(&self, others: &Self) -> bool {
        fn edited(sources: &Sources) -> impl Iterator<Item = (&str, &[u8])> {
            sources.files().filter(|(place, _)| Path::new(place).file_name().is_none_or(|name| name != "Cargo.lock"))
        }
        !edited(self).eq(edited(others))
    }

    /// SHA-256 of the content by place, in hex.
    pub(super) fn digests(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(place, content)| (place.clone(), lossmith_files::hex(&Sha256::digest(content)))).collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    fn put(root: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn names(root: &Path, found: Vec<PathBuf>) -> Vec<String> {
        let root = root.canonicalize().unwrap();
        let name = |path: PathBuf| path.canonicalize().unwrap().strip_prefix(&root).unwrap().display().to_string();
        let mut names: Vec<_> = found.into_iter().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn path_dependencies_of_every_kind_are_found() {
        let root = tempfile::tempdir().unwrap();
        put(
            root.path(),
            &[
                (
                    "Cargo.toml",
                    "[workspace]\nmembers = [\"mine\"]\n[workspace.dependencies]\nshared = { path = \"shared\" }\n\
                     [patch.crates-io]\nrand = { path = \"rand\" }\n",
                ),
                (
                    "mine/Cargo.toml",
                    "[package]\nname = \"mine\"\n[dependencies]\nserde = \"1\"\nnear = { path = \"../near\" }\n\
                     shared = { workspace = true }\nown = { path = \"parts/own\" }\n[target.'cfg(unix)'.dependencies]\n\
                     far = { path = \"../far\" }\n[build-dependencies]\nmaker = { path = \"../maker\" }\n\
                     [dev-dependencies]\ntester = { path = \"../tester\" }\n",
                ),
                ("mine/parts/own/Cargo.toml", "[package]\nname = \"own\"\n"),
                (
                    "near/Cargo.toml",
                    "[package]\nname = \"near\"\n[dependencies]\nmine = { path = \"../mine\" }\n\
                     far = { path = \"../far\" }\n",
                ),
                ("shared/Cargo.toml", ""),
                ("far/Cargo.toml", ""),
                ("maker/Cargo.toml", ""),
                ("tester/Cargo.toml", ""),
                ("rand/Cargo.toml", ""),
            ],
        );
        let mine = root.path().join("mine");
        assert_eq!(names(root.path(), folders(&mine)), ["far", "maker", "mine", "near", "rand", "shared"]);
        assert_eq!(names(root.path(), workspace(&mine).into_iter().collect()), ["Cargo.toml"]);
        assert_eq!(workspace(root.path()), None);
    }

    #[test]
    fn sources_have_a_place_and_the_sdk_is_none_of_them() {
        let root = tempfile::tempdir().unwrap();
        put(
            root.path(),
            &[
                (
                    "mine/Cargo.toml",
                    "[package]\nname = \"mine\"\n[dependencies]\nlossmith-sdk = { path = \"../sdk\" }\n\
                     help = { path = \"../help\" }\n",
                ),
                ("mine/src/lib.rs", "one"),
                ("mine/notes.txt", "none"),
                ("mine/target/x.rs", "none"),
                ("sdk/Cargo.toml", "[package]\nname = \"lossmith-sdk\"\n"),
                ("help/Cargo.toml", "[package]\nname = \"help\"\n"),
                ("help/src/lib.rs", "two"),
            ],
        );
        let read = || Sources::read(&root.path().join("mine"));
        let before = read();
        let places: Vec<_> = before.files().map(|(place, _)| place).collect();
        let help = ["path-dependencies/help/Cargo.toml", "path-dependencies/help/src/lib.rs"];
        assert_eq!(places, [&["Cargo.toml"], &help[..], &["src/lib.rs"]].concat());
        put(root.path(), &[("mine/notes.txt", "other"), ("sdk/src/lib.rs", "other")]);
        assert_eq!(read(), before);
        put(root.path(), &[("help/src/lib.rs", "other")]);
        assert_ne!(read(), before);
    }

    #[test]
    fn a_manifest_that_is_broken_hides_no_sources() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), &[("Cargo.toml", "[package"), ("src/lib.rs", "one")]);
        assert_eq!(Sources::read(root.path()).files().count(), 2);
    }
}
