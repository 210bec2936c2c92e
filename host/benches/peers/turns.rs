//! Steps of a loss on request, so that they take turns with those of another process.
//!
//! Prints a line of JSON with the loss of the batch when it is ready. Then each line of the input, `WHO WARM-UP
//! SECONDS` (`component` or `native`), is answered by a line with the median milliseconds of the steps that it made.

use std::io::BufRead;
use std::time::{Duration, Instant};

use lossmith_plugin::{Input, Progress};
use serde_json::json;
use tch::Kind;

use super::support::{data, native};
use super::{Case, backward};

pub(super) fn run(case: &Case, size: i64, dimension: i64) {
    let (embeddings, labels) = data(size, dimension);
    let mut slot = case.slot();
    let input = || Input {
        embeddings: Some(embeddings.shallow_clone()),
        labels: Some(labels.shallow_clone()),
        class_count: size / 4,
        slice_count: 1,
        ..Input::default()
    };
    let progress = Progress { epochs: 2, steps_per_epoch: 2, ..Progress::default() };
    let value = slot.loss(input(), &progress).expect("the loss is computed").to_kind(Kind::Double).double_value(&[]);
    println!("{}", json!({ "value": value }));
    let of_native = native(case.name);
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let mut words = line.split(' ');
        let who = words.next().expect("who makes the steps");
        let mut seconds = || Duration::from_secs_f64(words.next().and_then(|word| word.parse().ok()).expect("seconds"));
        let (warm_up, measured) = (seconds(), seconds());
        let milliseconds = match who {
            "component" => turn(warm_up, measured, || case.step(&mut slot, input(), &embeddings)),
            _ => turn(warm_up, measured, || drop(backward(&of_native(&embeddings, &labels), &[&embeddings]))),
        };
        println!("{}", json!({ "milliseconds": milliseconds }));
    }
}

/// Median milliseconds of at least three steps.
fn turn(warm_up: Duration, measured: Duration, mut step: impl FnMut()) -> f64 {
    let begun = Instant::now();
    while begun.elapsed() < warm_up {
        step();
    }
    let (begun, mut times) = (Instant::now(), Vec::new());
    while times.len() < 3 || begun.elapsed() < measured {
        let begun = Instant::now();
        step();
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
