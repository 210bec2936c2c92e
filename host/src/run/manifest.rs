//! `manifest.json`: what it takes to run an experiment again.

use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
    /// Digest of the data (file names, sizes and contents, as the data set defines it).
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
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn the_versions_are_those_that_are_built() {
        let workspace: toml::Table = include_str!("../../../Cargo.toml").parse().unwrap();
        let wanted = &workspace["workspace"]["dependencies"];
        let versions = Versions::current("2.13.0".into());
        assert_eq!(wanted["tch"].as_str(), Some(format!("={}", versions.tch).as_str()));
        assert_eq!(wanted["wasmtime"]["version"].as_str(), Some(format!("={}", versions.wasmtime).as_str()));
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
