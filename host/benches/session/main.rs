//! What edits of a running training cost: the way from a saved file to a verdict, the swap, the way back, and watching.
//!
//! Everything is measured on the real command, from outside or by the times that it prints.
#![expect(clippy::unwrap_used, reason = "a bench ends at the first surprise")]

#[path = "../../../tests/training/session/driver.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod driver;
#[path = "../../../tests/support/mod.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod guests;
#[path = "../../../tests/training/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests need more of it")]
mod support;

use std::fs;
use std::path::Path;
use std::time::Instant;

use driver::{Live, component};
use serde_json::Value;
use support::Lab;

const OBJECTIVE: &str = r#"
[[objective]]
loss = { plugin = "live.wasm", strategy = "evil-later", params = { how = "", after = 0 } }
"#;

const CRATE: &str = r#"
[[objective]]
loss = { plugin = { crate = "spread" }, strategy = "spread" }
"#;

const SOURCE: &str = r#"//! A plugin.
use lossmith_sdk::prelude::*;

export! { losses: [Spread] }

strategy! {
    /// Mean cosine of all pairs.
    pub struct Spread as "spread" {}
}

impl Loss for Spread {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let embeddings = batch.embeddings();
        Ok(embeddings.cosine_matrix(&embeddings).mean(ALL) * 1.0)
    }
}
"#;

/// Middle, smallest and largest of some times in milliseconds.
struct Times(Vec<f64>);

impl Times {
    fn show(mut self, what: &str) {
        self.0.sort_by(f64::total_cmp);
        let (first, last) = (self.0.first().unwrap(), self.0.last().unwrap());
        let middle = self.0[self.0.len() / 2];
        println!("{what:<58} {middle:>9.2} {first:>9.2} {last:>9.2} {:>4}", self.0.len());
    }
}

fn main() {
    // `cargo test --benches` asks for a list.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    println!("{:<58} {:>9} {:>9} {:>9} {:>4}", "milliseconds", "median", "least", "most", "n");
    components();
    sources();
    watching();
}

/// A component is saved, taken, and one that fails leads back.
fn components() {
    let lab = Lab::new(OBJECTIVE);
    component(&lab, "live.wasm", "evil", 0);
    let mut live = Live::start(&lab, &["session.quiet-ms=200"]);
    let (mut saved, mut checked, mut swapped, mut back) = (vec![], vec![], vec![], vec![]);
    for variant in 1..=20 {
        let begun = Instant::now();
        component(&lab, "live.wasm", "evil", variant);
        let verdict = live.verdict();
        saved.push(begun.elapsed().as_secs_f64() * 1e3);
        checked.push(number(&verdict, "milliseconds"));
        swapped.push(number(&live.event("swap"), "milliseconds"));
    }
    for _ in 0..10 {
        let next = live.pause().1;
        live.edit("how = \"\", after = 0", &format!("how = \"panic\", after = {}", next + 1));
        live.go_on();
        swapped.push(number(&live.event("swap"), "milliseconds"));
        back.push(number(&live.event("rollback"), "milliseconds"));
        live.edit(&format!("how = \"panic\", after = {}", next + 1), "how = \"\", after = 0");
    }
    live.kill();
    Times(saved).show("component saved, to its verdict (200 ms of it quiet)");
    Times(checked).show("  of that the gate: read, compile (2.2 MB), try out");
    Times(swapped).show("swap at the start of an epoch, journal included");
    Times(back).show("rollback: state of the epoch's start, plugin before");
}

/// The source of a plugin in Rust is saved.
fn sources() {
    let lab = Lab::new(CRATE);
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/sdk").canonicalize().unwrap();
    fs::create_dir_all(lab.path("spread/src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"spread\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\nlossmith-sdk = {{ path = {sdk:?} }}\n"
    );
    lab.write("spread/Cargo.toml", &manifest);
    lab.write("spread/src/lib.rs", SOURCE);
    // The first build is of the SDK and what it needs: not what an edit costs.
    lab.lossmith(&["plugin", "build", "spread"]).ok();
    let mut live = Live::start(&lab, &["session.quiet-ms=200"]);
    let mut saved = vec![];
    for number in 2..=6 {
        let begun = Instant::now();
        lab.write("spread/src/lib.rs", &SOURCE.replace("* 1.0", &format!("* {number}.0")));
        let verdict = live.verdict();
        assert_eq!(verdict["verdict"], "accepted", "{verdict}");
        saved.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    live.kill();
    Times(saved).show("Rust source saved, to its verdict (200 ms of it quiet)");
}

/// The same training with and without `--watch`, taking turns.
fn watching() {
    let lab = Lab::new(support::MINED_TRIPLETS);
    let step = |watch: bool| {
        let sets = ["epochs=40", "evaluation.every=1000", "evaluation.test=false", "run.log-every=50"];
        let mut arguments = lab.training(&sets);
        arguments.extend(watch.then_some("--watch"));
        let said = lab.lossmith(&arguments).ok();
        let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let steps = number(&lines[0], "steps");
        let mut epochs: Vec<f64> =
            lines.iter().filter(|line| line["event"] == "epoch").map(|line| number(line, "seconds")).collect();
        epochs.sort_by(f64::total_cmp);
        epochs[epochs.len() / 2] / steps * 1e3
    };
    let (mut without, mut with) = (vec![], vec![]);
    for _ in 0..7 {
        without.push(step(false));
        with.push(step(true));
    }
    let middle = |times: &[f64]| {
        let mut times = times.to_vec();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let ratio = middle(&with) / middle(&without);
    Times(without).show("a step (its share of an epoch), nobody watches");
    Times(with).show("a step, files are watched");
    println!("watching / not watching: {ratio:.3}");
}

#[track_caller]
fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap()
}
