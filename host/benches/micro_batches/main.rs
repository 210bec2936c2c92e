//! What a step costs whose batch is computed in parts: its time against that of the plain step on the same batch, and
//! the most memory that the process ever had.
//!
//! Everything is measured on the real command, from outside. The two ways take turns.
#![expect(clippy::unwrap_used, reason = "a bench ends at the first surprise")]

#[path = "../../../tests/support/mod.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod guests;
#[path = "../../../tests/training/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests need more of it")]
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use support::{Lab, gzip, idx_images, idx_labels};

const OBJECTIVE: &str = r#"
[[objective]]
loss = { plugin = "losses", strategy = "multi-similarity" }
"#;

/// A fifth is for validation: 4080 to train on, which all batches here divide.
const IMAGES: usize = 5_100;
const ROUNDS: usize = 3;

/// A network, the images of each of the ten classes in a batch, the images of a part, and epochs of a run. The last
/// epoch is not counted: it ends with an evaluation.
const CASES: [(&str, usize, usize, usize); 4] = [
    ("model.width=32", 51, 255, 3),
    ("model.width=32", 102, 255, 3),
    ("model.width=32", 204, 255, 3),
    ("model.backbone=resnet18", 51, 102, 2),
];

fn main() {
    // `cargo test --benches` asks for a list.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let lab = Lab::new(OBJECTIVE);
    data(&lab.path("images"));
    println!(
        "{:<24} {:>5} {:>5} {:>12} {:>12} {:>6} {:>9} {:>9}",
        "network", "B", "part", "plain ms", "parts ms", "ratio", "plain MB", "parts MB"
    );
    for (network, samples, part, epochs) in CASES {
        let sets = |part: usize| {
            let own = [format!("sampler.samples={samples}"), format!("epochs={epochs}")];
            let part = (part > 0).then(|| format!("training.micro-batch={part}"));
            own.into_iter().chain(part).chain([network.to_owned()]).collect::<Vec<_>>()
        };
        let (mut plain, mut parts) = (Runs::default(), Runs::default());
        for _ in 0..ROUNDS {
            plain.add(&lab, &sets(0));
            parts.add(&lab, &sets(part));
        }
        let (one, other) = (plain.milliseconds(), parts.milliseconds());
        println!(
            "{network:<24} {:>5} {part:>5} {one:>12.1} {other:>12.1} {:>6.3} {:>9.0} {:>9.0}",
            10 * samples,
            other / one,
            plain.megabytes,
            parts.megabytes
        );
    }
}

/// Some trainings of one kind.
#[derive(Default)]
struct Runs {
    steps: Vec<f64>,
    megabytes: f64,
}

impl Runs {
    /// Trains, and adds the times of its epochs and the most memory that it had.
    fn add(&mut self, lab: &Lab, own: &[String]) {
        let data = format!("data.path={}", lab.path("images").display());
        let fixed = [&data, "threads=2", "evaluation.every=1000", "evaluation.test=false", "evaluation.nmi=false"];
        let sets: Vec<&str> = fixed.into_iter().chain(own.iter().map(String::as_str)).collect();
        let mut command = lab.command(&lab.training(&sets));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let status = format!("/proc/{}/status", child.id());
        let (mut steps, mut epochs) = (1.0, Vec::new());
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if line["event"] == "ready" {
                steps = line["steps"].as_f64().unwrap();
            }
            if line["event"] == "epoch" {
                epochs.push(line["seconds"].as_f64().unwrap() * 1e3 / steps);
            }
            self.megabytes = self.megabytes.max(peak(&status));
        }
        assert!(child.wait().unwrap().success());
        epochs.pop();
        self.steps.extend(epochs);
    }

    /// The median of a step's share of an epoch.
    fn milliseconds(&self) -> f64 {
        let mut steps = self.steps.clone();
        steps.sort_by(f64::total_cmp);
        steps[steps.len() / 2]
    }
}

/// The most resident memory that a process had so far; 0 where the system does not say, or when it has ended.
fn peak(status: &str) -> f64 {
    let text = fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or_default() / 1e3
}

/// The files of a data set as Fashion-MNIST is.
fn data(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (name, first, count) in [("train", 0, IMAGES), ("t10k", IMAGES, 100)] {
        let labels: Vec<u8> = (0..count).map(|number| (number % 10) as u8).collect();
        fs::write(folder.join(format!("{name}-images-idx3-ubyte.gz")), gzip(&idx_images(first, count))).unwrap();
        fs::write(folder.join(format!("{name}-labels-idx1-ubyte.gz")), gzip(&idx_labels(&labels))).unwrap();
    }
}
