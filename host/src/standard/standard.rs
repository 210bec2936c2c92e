//! Finds the component that a path or a bare name means.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::included::Included;
use crate::experiment::is_bare;
use lossmith_plugin::{Cause, Limits, Phase, Plugin, PluginError, Runtime, stem};

/// The environment variable with the folder that is looked into first.
const VARIABLE: &str = "LOSSMITH_PLUGINS";

/// Where bare names of plugins are looked for.
#[derive(Clone, Debug, Default)]
pub struct Standard {
    /// A folder of components that come before all others.
    folder: Option<PathBuf>,
}

/// What a name or path means.
#[derive(Clone, Debug)]
enum Found {
    /// A file.
    File(PathBuf),
    /// One that is in the binary.
    Included(&'static Included),
    /// Nothing.
    Nowhere,
}

impl Standard {
    /// As the environment says: the folder of `LOSSMITH_PLUGINS` comes first.
    #[must_use]
    pub fn from_environment() -> Self {
        Self { folder: std::env::var_os(VARIABLE).filter(|folder| !folder.is_empty()).map(PathBuf::from) }
    }

    /// Loads the component that a path or a bare name means; `beside` is the folder of the experiment file. What is
    /// `known` is not compiled again.
    ///
    /// # Errors
    /// When there is none, or [`Plugin::load`] refuses it.
    pub fn load(
        &self,
        runtime: &Runtime,
        plugin: &Path,
        beside: &Path,
        limits: &Arc<Limits>,
        known: &[Arc<Plugin>],
    ) -> Result<Arc<Plugin>, PluginError> {
        let name = stem(plugin);
        let error = |cause| PluginError {
            plugin: name.clone(),
            hash: String::new(),
            phase: Phase::Load,
            cause: Box::new(cause),
        };
        if let (true, Some(folder)) = (is_bare(plugin), self.missing()) {
            return Err(error(Cause::Refused(format!("{VARIABLE} names {}, which is no folder", folder.display()))));
        }
        match self.find(plugin, beside) {
            Found::File(path) => Plugin::load_known(runtime, &name, &path, limits, known),
            Found::Included(included) => {
                let bytes = included.component().map_err(|text| error(Cause::Invalid(text)))?;
                match known.iter().find(|plugin| plugin.bytes == bytes) {
                    Some(plugin) => Ok(Arc::clone(plugin)),
                    None => Plugin::from_bytes(runtime, &name, bytes.to_vec(), limits),
                }
            }
            Found::Nowhere => Err(error(self.unknown(&name, beside))),
        }
    }

    /// The bytes of the component that a path or a bare name means, if they can be read.
    pub(crate) fn read(&self, plugin: &Path, beside: &Path) -> Option<Vec<u8>> {
        match self.find(plugin, beside) {
            Found::File(path) => lossmith_files::read(&path, lossmith_files::LIST).ok(),
            Found::Included(included) => included.component().ok().map(<[u8]>::to_vec),
            Found::Nowhere => None,
        }
    }

    /// The files that decide what a path or a bare name means. They need not exist.
    #[must_use]
    pub fn files(&self, plugin: &Path, beside: &Path) -> Vec<PathBuf> {
        if !is_bare(plugin) {
            return vec![plugin.to_owned()];
        }
        let folders = self.folder.as_deref().into_iter().chain([beside]);
        folders.map(|folder| folder.join(plugin).with_extension("wasm")).collect()
    }

    /// Where the components are that bare names mean in the current folder: for each place its names.
    pub(crate) fn places(&self) -> Vec<(String, Vec<String>)> {
        let included = Included::all().iter().map(|included| included.name.to_owned()).collect();
        let folder = self.folder.iter().map(|folder| (format!("in {} ({VARIABLE})", folder.display()), names(folder)));
        let beside = ("in the current folder".to_owned(), names(Path::new("")));
        folder.chain([beside, ("in the binary".to_owned(), included)]).filter(|(_, names)| !names.is_empty()).collect()
    }

    /// The folder of the environment if there is no such folder.
    pub(crate) fn missing(&self) -> Option<&Path> {
        self.folder.as_deref().filter(|folder| !folder.is_dir())
    }

    fn find(&self, plugin: &Path, beside: &Path) -> Found {
        if !is_bare(plugin) {
            return Found::File(plugin.to_owned());
        }
        // What is there but no file is an error of the one that loads it, not a reason to look elsewhere.
        if let Some(path) = self.files(plugin, beside).into_iter().find(|path| path.symlink_metadata().is_ok()) {
            return Found::File(path);
        }
        Included::all()
            .iter()
            .find(|included| plugin.as_os_str() == included.name)
            .map_or(Found::Nowhere, Found::Included)
    }

    fn unknown(&self, name: &str, beside: &Path) -> Cause {
        let shown = |folder: &Path| {
            if folder.as_os_str().is_empty() { "the current folder".to_owned() } else { folder.display().to_string() }
        };
        let mut places: Vec<_> =
            self.folder.iter().map(|folder| format!("{} ({VARIABLE})", folder.display())).collect();
        places.extend([shown(beside), "the binary".to_owned()]);
        Cause::NoPlugin { places: places.join(", "), name: name.to_owned(), known: self.known(beside) }
    }

    /// All bare names that mean something, sorted.
    #[must_use]
    pub fn known(&self, beside: &Path) -> Vec<String> {
        let mut known: Vec<_> = Included::all().iter().map(|included| included.name.to_owned()).collect();
        known.extend(self.folder.iter().flat_map(|folder| names(folder)));
        known.extend(names(beside));
        known.sort();
        known.dedup();
        known
    }
}

/// The names of the components in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut names: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "wasm")).map(|path| stem(&path)).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn found(standard: &Standard, name: &str, beside: &Path) -> String {
        match standard.find(Path::new(name), beside) {
            Found::File(path) => path.display().to_string(),
            Found::Included(included) => format!("included {}", included.name),
            Found::Nowhere => "nowhere".into(),
        }
    }

    #[test]
    fn the_folder_comes_first_then_what_is_beside_then_the_binary() {
        let (folder, beside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let standard = Standard { folder: Some(folder.path().to_owned()) };
        assert_eq!(found(&standard, "losses", beside.path()), "included losses");
        assert_eq!(found(&standard, "mine", beside.path()), "nowhere");
        assert_eq!(found(&standard, "./losses", beside.path()), "./losses");
        for place in [beside.path(), folder.path()] {
            std::fs::write(place.join("losses.wasm"), "").unwrap();
            assert_eq!(found(&standard, "losses", beside.path()), place.join("losses.wasm").display().to_string());
        }
        assert_eq!(found(&Standard::default(), "miners", beside.path()), "included miners");
    }

    #[test]
    fn what_is_nowhere_is_told_with_the_places_and_the_names() {
        let beside = tempfile::tempdir().unwrap();
        std::fs::write(beside.path().join("mine.wasm"), "").unwrap();
        let Cause::NoPlugin { places, known, .. } = Standard::default().unknown("losses", beside.path()) else {
            unreachable!()
        };
        assert_eq!(places, format!("{}, the binary", beside.path().display()));
        assert!(known.contains(&"mine".to_owned()) && known.contains(&"losses".to_owned()), "{known:?}");
    }

    #[test]
    fn every_included_module_is_a_plugin() {
        let runtime = Runtime::new().unwrap();
        let (nowhere, limits) = (tempfile::tempdir().unwrap(), Arc::new(Limits::default()));
        let names: Vec<_> = Included::all().iter().map(|included| included.name).collect();
        assert_eq!(
            names,
            [
                "balances",
                "fusions",
                "losses",
                "miners",
                "proxies",
                "rankings",
                "regularizers",
                "schedules",
                "transfers"
            ]
        );
        for name in names {
            let plugin = Standard::default().load(&runtime, Path::new(name), nowhere.path(), &limits, &[]).unwrap();
            assert!(!plugin.strategies.is_empty(), "{name}");
        }
    }
}
