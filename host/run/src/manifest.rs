//! `manifest.json`: what it takes to run an experiment again.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::RunError;

/// What ran, on what, with what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// Name of the experiment.
    pub name: String,
    /// When the run was made, in UTC.
    pub started: Timestamp,
    /// The command line, the program included.
    pub command: Vec<String>,
    /// Versions of what decides the numbers.
    pub versions: Versions,
    /// Seed of all random numbers.
    pub seed: u64,
    /// The device, as `cpu` or `cuda:0`.
    pub device: String,
    /// Threads of an operation on the CPU; the order of sums depends on it.
    pub threads: u32,
    /// Digest of the data (file names, sizes and contents, as the data set defines it); empty of a session in a loop of
    /// somebody else, who alone knows the data.
    pub data: String,
    /// Where the data was, as an absolute path; none in runs of versions before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_path: Option<PathBuf>,
    /// Commit of the repository that the command was started in, with `-dirty` if files were changed; none outside of
    /// one.
    pub commit: Option<String>,
    /// How an image becomes the network's input, in evaluation; none of a run before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocessing: Option<Preprocessing>,
    /// The components that were loaded at the start.
    pub plugins: Vec<PluginEntry>,
    /// The teacher of its transfers; none without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherEntry>,
    /// The files that its network and its teacher were made of; empty without such files, and of a run before this was
    /// kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileEntry>,
    /// The experiment file; none if it was no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<PathBuf>,
    /// `key=value` settings of the command line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<String>,
    /// The run and the epoch that this one branched off from, as `NAME@3`, or the run that it repeats; none if it began
    /// from nothing.
    pub parent: Option<String>,
}

/// How an image becomes the network's input, in evaluation. `examples/deployment` does the same in Python.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Preprocessing {
    /// Height and width of the input in pixels.
    pub size: usize,
    /// 3 for red, green and blue, 1 for grey.
    pub channels: usize,
    /// What of the image is seen: `largest-centre-square`.
    pub crop: String,
    /// How it is resized: `bilinear`.
    pub interpolation: String,
    /// Whether the interpolation widens when the image is made smaller.
    pub antialias: bool,
    /// Mean of each channel, on the scale of 0 (black) to 1 (white).
    pub mean: Vec<f64>,
    /// Standard deviation of each channel on the same scale.
    pub std: Vec<f64>,
}

impl Preprocessing {
    /// As all networks see images, with these numbers.
    #[must_use]
    pub fn new(size: usize, mean: &[f64], std: &[f64]) -> Self {
        let (crop, interpolation) = ("largest-centre-square".to_owned(), "bilinear".to_owned());
        let (mean, std) = (mean.to_vec(), std.to_vec());
        Self { size, channels: mean.len(), crop, interpolation, antialias: true, mean, std }
    }
}

/// Versions of the parts of the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Versions {
    /// Of this program.
    pub lossmith: String,
    /// Of the binding to libtorch.
    pub tch: String,
    /// Of libtorch.
    pub libtorch: String,
    /// Of the WebAssembly runtime.
    pub wasmtime: String,
}

impl Versions {
    /// The versions of this build, and the version of libtorch that was found.
    #[must_use]
    pub fn current(libtorch: String) -> Self {
        Self {
            lossmith: env!("CARGO_PKG_VERSION").to_owned(),
            tch: "0.26.0".to_owned(),
            libtorch,
            wasmtime: "48.0.8".to_owned(),
        }
    }
}

/// A component that takes part in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PluginEntry {
    /// Where it is bound in the experiment, as `objective.0.loss`.
    pub slot: String,
    /// Its role, as `loss`.
    pub role: String,
    /// Name of the strategy.
    pub strategy: String,
    /// SHA-256 of the component, in hex: the name of its file in `plugins/`.
    pub hash: String,
}

/// The network that a run's transfers learn from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TeacherEntry {
    /// The run or file that it comes from.
    pub name: String,
    /// SHA-256 in hex of its weights, its network and its preparation of images.
    pub digest: String,
}

/// A file that a network was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileEntry {
    /// The key of the experiment that names it: `model.path`.
    pub key: String,
    /// Where it was, as an absolute path.
    pub path: PathBuf,
    /// SHA-256 of its bytes, in hex.
    pub digest: String,
}

impl FileEntry {
    /// A file as it is now.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn now(key: &str, path: &Path) -> Result<Self, RunError> {
        let digest = file_digest(path).map_err(RunError::io("read", path))?;
        Ok(Self { key: key.to_owned(), path: path.to_owned(), digest })
    }
}

/// SHA-256 of a file's bytes, in hex.
///
/// # Errors
/// It cannot be read.
pub fn file_digest(path: &Path) -> io::Result<String> {
    let mut opened = lossmith_files::open(path, lossmith_files::WEIGHTS)?;
    let (mut digest, mut bytes) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let count = opened.read(&mut bytes)?;
        if count == 0 {
            return Ok(lossmith_files::hex(&digest.finalize()));
        }
        digest.update(bytes.get(..count).unwrap_or_default());
    }
}

impl Manifest {
    /// Compares the file that a key of the experiment names with the one that the run was made with. What the run keeps
    /// nothing of is passed over, and what cannot be read: whoever makes a network of it says so.
    ///
    /// # Errors
    /// It is another file.
    pub fn check_file(&self, key: &str, path: &Path) -> Result<(), RunError> {
        let Some(kept) = self.files.iter().find(|file| file.key == key) else { return Ok(()) };
        match file_digest(path) {
            Ok(found) if found != kept.digest => Err(RunError::OtherFile {
                key: key.to_owned(),
                path: path.to_owned(),
                found,
                expected: kept.digest.clone(),
            }),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// The commit that `folder` is at, with `-dirty` if tracked files were changed. None if it is in no git repository or
/// there is no git.
#[must_use]
pub fn commit(folder: &Path) -> Option<String> {
    let arguments = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"];
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    pub(crate) fn manifest() -> Manifest {
        let plugin = |role: &str, strategy: &str, hash: &str| PluginEntry {
            slot: format!("objective.0.{role}"),
            role: role.into(),
            strategy: strategy.into(),
            hash: hash.repeat(32),
        };
        Manifest {
            name: "fashion-triplet".into(),
            started: "2025-01-31T14:05:02Z".parse().unwrap(),
            command: ["lossmith", "train", "a <b>.toml"].map(String::from).to_vec(),
            versions: Versions::current("2.13.0".into()),
            seed: 17,
            device: "cpu".into(),
            threads: 2,
            data: "fashion-mnist 3f2a".into(),
            data_path: None,
            commit: None,
            preprocessing: None,
            plugins: vec![plugin("loss", "triplet", "a1"), plugin("miner", "batch-hard", "b2")],
            teacher: None,
            files: Vec::new(),
            experiment: None,
            sets: Vec::new(),
            parent: None,
        }
    }

    #[test]
    fn the_versions_are_those_that_are_built() {
        let workspace: toml::Table = include_str!("../../../Cargo.toml").parse().unwrap();
        let wanted = &workspace["workspace"]["dependencies"];
        let versions = Versions::current("2.13.0".into());
        assert_eq!(wanted["tch"].as_str(), Some(format!("={}", versions.tch).as_str()));
        assert_eq!(wanted["wasmtime"]["version"].as_str(), Some(format!("={}", versions.wasmtime).as_str()));
    }

    #[test]
    fn the_digest_of_a_file_is_that_of_all_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "abc").unwrap();
        let digest = file_digest(&path).unwrap();
        assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        // More than is read at once.
        let long = vec![7; (1 << 20) + 1];
        std::fs::write(&path, &long).unwrap();
        assert_eq!(file_digest(&path).unwrap(), lossmith_files::hex(&Sha256::digest(&long)));
        assert!(FileEntry::now("model.path", &folder.path().join("none")).is_err());
    }

    #[test]
    fn the_commit_of_a_repository() {
        let folder = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let who = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
            let output = Command::new("git").arg("-C").arg(folder.path()).args(who).args(arguments).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        git(&["init", "--quiet"]);
        assert_eq!(commit(folder.path()), None);
        std::fs::write(folder.path().join("file"), "one").unwrap();
        git(&["add", "."]);
        git(&["commit", "--quiet", "--message", "one"]);
        let hash = git(&["rev-parse", "HEAD"]);
        assert_eq!(commit(folder.path()), Some(hash.clone()));
        std::fs::write(folder.path().join("file"), "two").unwrap();
        assert_eq!(commit(folder.path()), Some(format!("{hash}-dirty")));
        assert_eq!(commit(&folder.path().join("missing")), None);
    }
}
