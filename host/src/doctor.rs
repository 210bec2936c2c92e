//! Checks of the installation: what a training needs, and the remedy for what is missing.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::standard::Standard;
use crate::started::{Started, started};
use crate::toolchain;

/// The version of libtorch that tch 0.26 is made for.
const TORCH_VERSION: &str = "2.13.0";

/// The library that is this command in the Python package.
const PACKAGE: &str = "_lossmith.abi3.so";

/// The workspace's manifest, which pins the version of wasmtime.
const MANIFEST: &str = include_str!("../../Cargo.toml");

/// The diagnosis of one thing that a training needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// What was looked for, as `libtorch` or `data set fashion-mnist`.
    pub what: String,
    /// What was found, in a few words; of something missing, that it is.
    pub found: String,
    /// What to do, if something is missing or wrong.
    pub remedy: Option<String>,
}

impl Diagnosis {
    fn fine(what: &str, found: impl Into<String>) -> Self {
        Self { what: what.into(), found: found.into(), remedy: None }
    }

    fn wrong(what: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// Looks for everything. `dir` is the folder that relative paths start from, bare names of plugins are looked for as
/// `standard` says.
///
/// Nothing is changed and nothing is an error: what is missing is a diagnosis with a remedy.
#[must_use]
pub fn inspect(dir: &Path, standard: &Standard) -> Vec<Diagnosis> {
    let mut findings = vec![
        command(started()),
        libtorch(loaded_library("libtorch_cpu.so").as_deref(), started().within.is_some()),
        devices(started().within.is_some()),
        Diagnosis::fine("several processes", "libtorch's Gloo; tensors of GPUs go through the memory of the host"),
        Diagnosis::fine("wasmtime", wasmtime_version().unwrap_or_else(|| "of unknown version".into())),
        wasm_toolchain(dir),
        fashion_mnist(&data_folders(dir)),
        compiled_components(),
    ];
    findings.extend(components(standard));
    findings.extend(toolchain::componentizers(dir).into_iter().map(|(language, tool)| {
        let found = tool.map_or_else(
            // Nothing is wrong: most plugins are in Rust.
            |error| {
                let help = miette::Diagnostic::help(&error).map(|help| help.to_string()).unwrap_or_default();
                format!("not set up: {error}\n{help}")
            },
            |program| program.display().to_string(),
        );
        Diagnosis::fine(&format!("plugins in {language}"), found)
    }));
    findings
}

fn command(started: &Started) -> Diagnosis {
    let version = env!("CARGO_PKG_VERSION");
    let found = match (&started.within, loaded_library(PACKAGE)) {
        (Some((python, _)), Some(library)) => {
            let folder = library.parent().unwrap_or(&library);
            format!("{version}, a package of {}, in {}", python.display(), folder.display())
        }
        _ => {
            let program = std::env::current_exe();
            let place = program.map_or_else(|error| error.to_string(), |path| path.display().to_string());
            format!("{version} in {place}")
        }
    };
    Diagnosis::fine("lossmith", found)
}

fn compiled_components() -> Diagnosis {
    let what = "compiled components";
    match lossmith_plugin::compiled_components() {
        Ok(folder) => Diagnosis::fine(what, format!("kept in {}", folder.display())),
        // A training does not need it.
        Err(why) => Diagnosis::fine(what, format!("not kept, each start compiles anew: {why}")),
    }
}

/// `in_python`: it is that of the torch of an interpreter, which is of the right version, or the package would not have
/// been imported; the third number may be another.
fn libtorch(library: Option<&Path>, in_python: bool) -> Diagnosis {
    let what = "libtorch";
    let Some(library) = library else {
        return Diagnosis::fine(what, format!("linked, made for {TORCH_VERSION}"));
    };
    let libraries = library.parent().unwrap_or(Path::new(""));
    // Of an installed command the version is beside the library.
    let installed = version_of_libtorch(libraries).map(|version| (version, libraries));
    let folder = libraries.parent().unwrap_or(Path::new(""));
    let (version, folder) =
        installed.map_or_else(|| (version_of_libtorch(folder), folder), |(version, folder)| (Some(version), folder));
    match version {
        Some(version) if in_python || version == TORCH_VERSION => {
            Diagnosis::fine(what, format!("{version} in {}", folder.display()))
        }
        Some(version) => Diagnosis::wrong(
            what,
            format!("{version} in {}, not {TORCH_VERSION}", folder.display()),
            "in the checkout of Lossmith: scripts/setup.sh, then build again",
        ),
        None => Diagnosis::fine(what, format!("{}, of unknown version", library.display())),
    }
}

/// The file that this process has loaded, where the system tells (Linux).
fn loaded_library(name: &str) -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let path = maps.lines().filter_map(|line| line.find('/').and_then(|start| line.get(start..))).map(Path::new);
    path.into_iter().find(|path| path.file_name().is_some_and(|file| file == name)).map(Path::to_path_buf)
}

/// From `build-version`, which libtorch's own archive and our set-up have, else from the header that PyTorch has.
fn version_of_libtorch(folder: &Path) -> Option<String> {
    let plain = |version: &str| version.trim().split('+').next().map(str::to_owned);
    if let Ok(version) = std::fs::read_to_string(folder.join("build-version")) {
        return plain(&version);
    }
    let header = std::fs::read_to_string(folder.join("include/torch/headeronly/version.h")).ok()?;
    let (_, definition) = header.split_once("#define TORCH_VERSION ")?;
    definition.split('"').nth(1).and_then(plain)
}

/// `in_python`: libtorch is the GPU build on every machine, as pip brings it.
fn devices(in_python: bool) -> Diagnosis {
    let threads = tch::get_num_threads();
    let cpu = format!("cpu ({threads} thread{})", if threads == 1 { "" } else { "s" });
    match (tch::Cuda::is_available(), tch::utils::has_cuda()) {
        (true, _) => {
            let gpus = (0..tch::Cuda::device_count()).map(|index| format!(", cuda:{index}"));
            Diagnosis::fine("devices", cpu + &gpus.collect::<String>())
        }
        (false, true) => {
            let found = format!("{cpu}; the GPU build of libtorch sees no GPU");
            if in_python {
                Diagnosis::fine("devices", found)
            } else {
                Diagnosis::wrong("devices", found, "run: nvidia-smi (it says whether the driver works)")
            }
        }
        (false, false) => Diagnosis::fine("devices", cpu),
    }
}

fn wasmtime_version() -> Option<String> {
    let manifest: toml::Table = MANIFEST.parse().ok()?;
    let pinned = manifest.get("workspace")?.get("dependencies")?.get("wasmtime")?.get("version")?.as_str()?;
    Some(pinned.trim_start_matches('=').to_owned())
}

fn wasm_toolchain(dir: &Path) -> Diagnosis {
    match toolchain::detect(dir) {
        Ok(found) => Diagnosis::fine("Wasm toolchain", found.to_string()),
        Err(error) => {
            let remedy = miette::Diagnostic::help(&error).map(|help| help.to_string());
            Diagnosis { what: "Wasm toolchain".into(), found: error.to_string(), remedy }
        }
    }
}

/// Where `scripts/setup/dataset.sh` looks for data sets and puts them, in its order.
fn data_folders(dir: &Path) -> Vec<PathBuf> {
    let own = std::env::var_os("LOSSMITH_DATA").filter(|folder| !folder.is_empty());
    own.map(PathBuf::from).into_iter().chain([dir.join(".data"), "/usr/share/datasets".into()]).collect()
}

fn fashion_mnist(folders: &[PathBuf]) -> Diagnosis {
    let what = "data set fashion-mnist";
    let parts = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"];
    let has = |folder: &Path, part: &str| {
        ["ubyte.gz", "ubyte"].iter().any(|ending| folder.join(format!("{part}-{ending}")).is_file())
    };
    let mut folders = folders.iter().map(|folder| folder.join("fashion-mnist"));
    match folders.find(|folder| parts.iter().all(|part| has(folder, part))) {
        Some(folder) => Diagnosis::fine(what, folder.display().to_string()),
        None => Diagnosis::wrong(what, "missing", "run: lossmith data fetch fashion-mnist"),
    }
}

fn components(standard: &Standard) -> Vec<Diagnosis> {
    let missing = standard.missing().map(|folder| {
        let found = format!("{} is no folder, though LOSSMITH_PLUGINS names it", folder.display());
        Diagnosis::wrong("plugins", found, "unset LOSSMITH_PLUGINS; the standard plugins are in the binary")
    });
    let places = standard.places().into_iter();
    missing
        .into_iter()
        .chain(places.map(|(place, names)| Diagnosis::fine("plugins", format!("{} {place}", names.join(", ")))))
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn file(path: PathBuf, content: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    #[test]
    fn libtorch_is_judged_by_the_folder_it_was_loaded_from() {
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join("lib/libtorch_cpu.so");
        assert!(libtorch(Some(&library), false).found.ends_with("of unknown version"));

        file(dir.path().join("include/torch/headeronly/version.h"), "#define TORCH_VERSION \\\n  \"2.13.0\"\n");
        assert_eq!(libtorch(Some(&library), false).found, format!("2.13.0 in {}", dir.path().display()));

        file(dir.path().join("build-version"), "2.12.1+cu130\n");
        let finding = libtorch(Some(&library), false);
        assert!(finding.found.starts_with("2.12.1 in"), "{finding:?}");
        assert!(finding.remedy.is_some());
    }

    #[test]
    fn this_process_has_loaded_the_libtorch_that_tch_wants() {
        let _ = devices(false);
        let library = loaded_library("libtorch_cpu.so").unwrap();
        assert_eq!(libtorch(Some(&library), false).remedy, None);
    }

    #[test]
    fn the_version_of_wasmtime_is_a_version() {
        let version = wasmtime_version().unwrap();
        assert_eq!(version.split('.').filter(|part| part.parse::<u32>().is_ok()).count(), 3, "{version}");
    }

    #[test]
    fn a_data_set_with_a_missing_part_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let folders = [dir.path().to_path_buf()];
        for part in ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"] {
            file(dir.path().join("fashion-mnist").join(part), "");
            assert_eq!(fashion_mnist(&folders).found, "missing");
        }
        file(dir.path().join("fashion-mnist/t10k-labels-idx1-ubyte"), "");
        assert_eq!(fashion_mnist(&folders).remedy, None);
    }
}
