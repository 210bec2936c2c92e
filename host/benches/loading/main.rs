//! Batches as a training loads them, and nothing else: `scripts/throughput/table.py` counts them.
//!
//! `loading KIND FOLDER SIZE CLASSES SAMPLES AUGMENTED WORKERS` prints a line of JSON with the number of images after
//! each batch, until somebody stops it.
#![expect(clippy::expect_used, reason = "a bench stops at the first thing that does not work")]

use std::io::Write;
use std::sync::Arc;

use lossmith::data::{
    AugmentationConfig, BatchLoader, DataConfig, DataKind, Dataset, Drawn, Sampler, SamplerConfig, SplitKind,
};
use serde_json::{Value, json};
use tch::Device;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [kind, path, size, classes, samples, augmented, workers] = arguments.as_slice() else {
        // As `cargo bench` starts all benches.
        return println!("usage: loading KIND FOLDER SIZE CLASSES SAMPLES AUGMENTED WORKERS");
    };
    let number = |text: &String| text.parse::<usize>().expect("a number");
    let kind: DataKind = serde_json::from_value(Value::from(kind.as_str())).expect("a kind of data");
    let config = DataConfig {
        path: Some(path.into()),
        split: SplitKind::ClosedSet,
        validation: 0.0,
        test: 0.0,
        size: Some(number(size)),
        workers: number(workers),
        augmentation: AugmentationConfig { enabled: augmented == "1", ..AugmentationConfig::default() },
        ..DataConfig::new(kind)
    };
    let dataset = Arc::new(Dataset::open(&config, 1).expect("the data opens"));
    let sampling = SamplerConfig { classes: number(classes), samples: number(samples), ..SamplerConfig::default() };
    let sampler = Sampler::new(&sampling, &dataset, 1).expect("the data has so many classes");
    for epoch in 0.. {
        let drawn = Drawn { seed: 1, epoch, ..Drawn::default() };
        let batches =
            BatchLoader::train_from(&dataset, sampler.epoch(epoch), drawn, None, Device::Cpu).expect("threads start");
        for batch in batches {
            let images = batch.expect("images are read").indices.len();
            println!("{}", json!({ "images": images }));
            std::io::stdout().flush().expect("somebody reads");
        }
    }
}
