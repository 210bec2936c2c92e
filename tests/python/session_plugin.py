"""A plugin in Rust for the tests of sessions: strategies that are right at first, and then not."""

from pathlib import Path

SDK = Path(__file__).resolve().parents[2] / "plugins" / "sdk"

MANIFEST = f"""
[package]
name = "changing"
version = "0.1.0"
edition = "2024"

[lib]
crate-type = ["cdylib"]

[dependencies]
lossmith-sdk = {{ path = "{SDK}" }}

[workspace]
"""

SOURCE = """
use std::sync::atomic::{AtomicI64, Ordering};

use lossmith_sdk::prelude::*;

export! {
    losses: [Square, Endless, NanGradient, Panics, Growing, Proxies, Counting],
    miners: [Ring, Counted],
}

const FACTOR: f64 = 1.0;

fn square(batch: &Batch) -> Tensor {
    batch.embeddings().square().mean(ALL) * FACTOR
}

strategy! {
    /// Mean square of the embeddings.
    pub struct Square as "square" {
        /// Its factor.
        factor: f64 = 1.0, range 0.0..;
    }
}

impl Loss for Square {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        Ok(square(batch) * self.factor)
    }
}

strategy! {
    /// Never ends.
    pub struct Endless as "endless" {}
}

impl Loss for Endless {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let counted = AtomicI64::new(0);
        while counted.fetch_add(1, Ordering::Relaxed) >= 0 {}
        Ok(square(batch))
    }
}

strategy! {
    /// A finite value with a gradient that is not, from a step on.
    pub struct NanGradient as "nan-gradient" {
        /// Steps that go well.
        after: i64 = 0, range 0..;
    }
}

impl Loss for NanGradient {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        let bad = progress.step() >= self.after as u64;
        let root = (batch.embeddings() * 0.0).square().sum(ALL).sqrt();
        Ok(if bad { square(batch) + root } else { square(batch) })
    }
}

strategy! {
    /// Panics from a step on.
    pub struct Panics as "panics" {
        /// Steps that go well.
        after: i64 = 0, range 0..;
    }
}

impl Loss for Panics {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        assert!(progress.step() < self.after as u64, "the end is near");
        Ok(square(batch))
    }
}

strategy! {
    /// A thousand times as large from a step on.
    pub struct Growing as "growing" {
        /// Steps that go well.
        after: i64 = 0, range 0..;
    }
}

impl Loss for Growing {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        Ok(square(batch) * if progress.step() >= self.after as u64 { 1000.0 } else { 1.0 })
    }
}

strategy! {
    /// Distance to proxies, and how many calls there were.
    pub struct Proxies as "proxies" {
        /// Proxies.
        count: i64 = 2, range 1..;
        /// The call that fails; 0: none.
        fails: i64 = 0, range 0..;
    }
}

impl Loss for Proxies {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let proxies =
            state::parameter("proxies", 2.0, || random::normal(&[self.count, batch.dimension()]));
        let calls = state::buffer("calls").unwrap_or_else(|| Tensor::zeros(&[1], Dtype::Float)) + 1.0;
        state::set_buffer("calls", &calls);
        assert!(self.fails == 0 || calls.sum(ALL).item() < self.fails as f64, "too many calls");
        Ok(batch.embeddings().matmul(&proxies.t()).square().mean(ALL))
    }
}

strategy! {
    /// Another value in each call.
    pub struct Counting as "counting" {}
}

static CALLS: AtomicI64 = AtomicI64::new(0);

impl Loss for Counting {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        Ok(square(batch) * (1 + CALLS.fetch_add(1, Ordering::Relaxed)) as f64)
    }
}

fn ring(batch: &Batch, by: i64) -> Tuples {
    let (size, all) = (batch.size(), Tensor::arange(0, batch.size()));
    let moved = |by: i64| Tensor::cat(&[&Tensor::arange(by % size, size), &Tensor::arange(0, by % size)], 0);
    Tuples::triplets(&all, &moved(by), &moved(by + 1))
}

strategy! {
    /// Each image with some of the next ones.
    pub struct Ring as "ring" {
        /// How far on the positive is.
        by: i64 = 1, range 1..;
        /// Steps that go well.
        after: i64 = 1000000, range 0..;
    }
}

impl Miner for Ring {
    fn mine(&self, batch: &Batch, progress: &Progress) -> Result<Tuples> {
        assert!(progress.step() < self.after as u64, "the miner is tired");
        Ok(ring(batch, self.by))
    }
}

strategy! {
    /// Other tuples in each call.
    pub struct Counted as "counted" {}
}

impl Miner for Counted {
    fn mine(&self, batch: &Batch, _: &Progress) -> Result<Tuples> {
        Ok(ring(batch, 1 + CALLS.fetch_add(1, Ordering::Relaxed) % 2))
    }
}
"""


def write(folder: Path, source: str = SOURCE) -> Path:
    """Writes the plugin's folder."""
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "Cargo.toml").write_text(MANIFEST)
    (folder / "src" / "lib.rs").write_text(source)
    return folder
