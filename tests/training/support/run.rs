//! Reading a run's files without the program that wrote them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::Value;

/// A tensor as its file has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Stored {
    pub(crate) fn floats(&self) -> Vec<f32> {
        assert_eq!(self.dtype, Dtype::F32);
        self.bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    }

    pub(crate) fn integers(&self) -> Vec<i64> {
        assert_eq!(self.dtype, Dtype::I64);
        self.bytes.chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap())).collect()
    }
}

/// The tensors of a file by name.
pub(crate) fn tensors(path: &Path) -> BTreeMap<String, Stored> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let stored = file.iter().map(|(name, view)| {
        let stored = Stored { dtype: view.dtype(), shape: view.shape().to_vec(), bytes: view.data().to_vec() };
        (name.to_owned(), stored)
    });
    stored.collect()
}

/// A run's folder.
pub(crate) struct Run {
    pub(crate) path: PathBuf,
}

impl Run {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The folder as an argument.
    pub(crate) fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// The name of the folder.
    pub(crate) fn folder(&self) -> &str {
        self.path.file_name().unwrap().to_str().unwrap()
    }

    pub(crate) fn text(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).unwrap()
    }

    pub(crate) fn lines(&self, file: &str) -> Vec<Value> {
        self.text(file).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The rows of one kind in `metrics.jsonl` that were not undone.
    pub(crate) fn rows(&self, kind: &str) -> Vec<Value> {
        let mut rows: Vec<Value> = Vec::new();
        for row in self.lines("metrics.jsonl") {
            if row["kind"] == "rewind" {
                rows.retain(|earlier| earlier["step"].as_u64() <= row["step"].as_u64());
            } else {
                rows.push(row);
            }
        }
        rows.into_iter().filter(|row| row["kind"] == kind).collect()
    }

    /// One metric of the rows of one kind that have it.
    pub(crate) fn values(&self, kind: &str, name: &str) -> Vec<f64> {
        self.rows(kind).iter().filter_map(|row| row["values"][name].as_f64()).collect()
    }

    /// The names of the journal's events.
    pub(crate) fn events(&self) -> Vec<String> {
        self.lines("journal.jsonl").iter().map(|entry| entry["event"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path.join(folder)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// `checkpoints/NAME.safetensors`.
    pub(crate) fn checkpoint(&self, name: &str) -> BTreeMap<String, Stored> {
        tensors(&self.path.join("checkpoints").join(format!("{name}.safetensors")))
    }

    /// Tensors of a checkpoint whose names begin so.
    pub(crate) fn part(&self, checkpoint: &str, prefix: &str) -> BTreeMap<String, Stored> {
        self.checkpoint(checkpoint).into_iter().filter(|(name, _)| name.starts_with(prefix)).collect()
    }
}
