//! What the checkpoints of a run take on the disk.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;

use serde::Serialize;

use super::{Run, RunError};

/// The checkpoints of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeptCheckpoints {
    /// Their names without the ending: `best`, `epoch-0003`.
    pub names: Vec<String>,
    /// What they take, in bytes. The best one is often the file of an epoch, and counts once.
    pub bytes: u64,
}

impl Run {
    /// The checkpoints that are there.
    ///
    /// # Errors
    /// The system refuses to list the folder. One that is not there has none.
    pub fn kept_checkpoints(&self) -> Result<KeptCheckpoints, RunError> {
        let folder = self.path().join("checkpoints");
        let list = || -> std::io::Result<KeptCheckpoints> {
            let (mut names, mut files) = (Vec::new(), BTreeMap::new());
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let Some(name) = name.strip_suffix(".safetensors").filter(|name| !name.starts_with('.')) else {
                    continue;
                };
                let about = entry.metadata()?;
                names.push(name.to_owned());
                files.insert((about.dev(), about.ino()), about.len());
            }
            names.sort();
            Ok(KeptCheckpoints { names, bytes: files.into_values().sum() })
        };
        match list() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(KeptCheckpoints::default()),
            listed => listed.map_err(RunError::io("list", &folder)),
        }
    }
}

impl fmt::Display for KeptCheckpoints {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names.as_slice() {
            [] => out.write_str("none"),
            names => write!(out, "{} ({})", names.join(", "), size(self.bytes)),
        }
    }
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    let units = [(1_u64 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")];
    let unit = units.into_iter().find(|(of, _)| bytes >= *of);
    unit.map_or_else(|| format!("{bytes} bytes"), |(of, name)| format!("{:.1} {name}", bytes as f64 / of as f64))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn a_file_with_two_names_counts_once() {
        let root = tempfile::tempdir().unwrap();
        let run = Run::create(root.path(), "run").unwrap();
        assert_eq!(run.kept_checkpoints().unwrap().to_string(), "none");
        let at = |name: &str| run.path().join("checkpoints").join(name);
        fs::write(at("epoch-0001.safetensors"), [0; 1000]).unwrap();
        fs::write(at("epoch-0002.safetensors"), [0; 2000]).unwrap();
        fs::hard_link(at("epoch-0002.safetensors"), at("best.safetensors")).unwrap();
        fs::write(at(".writing-x"), [0; 50]).unwrap();
        assert_eq!(run.kept_checkpoints().unwrap().to_string(), "best, epoch-0001, epoch-0002 (2.9 kB)");
        fs::remove_dir_all(run.path().join("checkpoints")).unwrap();
        assert_eq!(run.kept_checkpoints().unwrap(), KeptCheckpoints::default());
        assert_eq!([size(999), size(3 << 20), size(5 << 29)], ["999 bytes", "3.0 MB", "2.5 GB"]);
    }
}
