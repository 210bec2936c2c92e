//! A folder of its own for each test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::{Outcome, Run, fashion_mnist, lossmith};

pub(crate) const MINED_TRIPLETS: &str = r#"
[[objective]]
loss = { plugin = "losses", strategy = "triplet", params = { margin = 0.2 } }
miner = { plugin = "miners", strategy = "batch-hard" }
"#;

/// State of every kind: a parameter, a buffer, and random numbers.
pub(crate) const PROXIES: &str = r#"
[[objective]]
weight = 0.5
loss = { plugin = "proxies", strategy = "proxy-anchor" }

[[objective]]
weight = 2.0
loss = { plugin = "test-roles", strategy = "running-mean" }

[[objective]]
loss = { plugin = "test-roles", strategy = "noise" }
"#;

/// A folder with `experiment.toml`, in which the command is started.
pub(crate) struct Lab(TempDir);

impl Lab {
    /// An experiment on the small data with these objectives.
    pub(crate) fn new(objectives: &str) -> Self {
        let lab = Self(TempDir::new().unwrap());
        lab.write("experiment.toml", &experiment(data(), objectives));
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        // In one step, as editors do: a training that follows the file must not see half of it.
        let path = self.path(name);
        let aside = path.with_extension("aside");
        fs::write(&aside, text).unwrap();
        fs::rename(aside, path).unwrap();
    }

    /// Changes the experiment's text.
    #[track_caller]
    pub(crate) fn replace(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("experiment.toml")).unwrap();
        assert!(text.contains(from), "{text}");
        self.write("experiment.toml", &text.replace(from, to));
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        lossmith(self.0.path(), arguments)
    }

    pub(crate) fn lossmith(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(&mut self.command(arguments))
    }

    /// The arguments that train the experiment with changes (`key=value`).
    pub(crate) fn training<'a>(&self, sets: &[&'a str]) -> Vec<&'a str> {
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        ["--json", "train", "experiment.toml"].into_iter().chain(sets).collect()
    }

    pub(crate) fn try_train(&self, sets: &[&str]) -> Outcome {
        self.lossmith(&self.training(sets))
    }

    /// Trains, which must go well, and returns the run.
    #[track_caller]
    pub(crate) fn train(&self, sets: &[&str]) -> Run {
        self.run_of(&self.try_train(sets).ok())
    }

    /// The run that the lines of a training name.
    #[track_caller]
    pub(crate) fn run_of(&self, lines: &str) -> Run {
        let ready: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        Run::at(self.path(ready["run"].as_str().unwrap()))
    }

    /// The one run of an experiment of this name.
    #[track_caller]
    pub(crate) fn run(&self, name: &str) -> Run {
        let prefix = format!("{name}-");
        let mut runs = self.runs().into_iter().filter(|run| run.folder().starts_with(&prefix));
        let run = runs.next().unwrap();
        assert!(runs.next().is_none(), "there are several");
        run
    }

    /// All runs, in the order of their names.
    pub(crate) fn runs(&self) -> Vec<Run> {
        let folders = fs::read_dir(self.path("runs")).into_iter().flatten();
        let mut folders: Vec<_> = folders.map(|folder| folder.unwrap().path()).collect();
        folders.sort();
        folders.into_iter().map(Run::at).collect()
    }
}

/// The small data, written once in this process.
fn data() -> &'static Path {
    static DATA: OnceLock<PathBuf> = OnceLock::new();
    DATA.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("training-data");
        fashion_mnist(&folder);
        folder
    })
}

fn experiment(data: &Path, objectives: &str) -> String {
    format!(
        r#"name = "tiny"
seed = 1
epochs = 2
device = "cpu"
threads = 1

[data]
kind = "fashion-mnist"
path = {data:?}
validation = 0.2
workers = 1

[sampler]
classes = 10
samples = 4

[model]
width = 4
embedding = 8

[optimizer]
name = "adamw"
learning-rate = 0.003

[run]
log-every = 1
{objectives}"#
    )
}
