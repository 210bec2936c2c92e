//! Losses that each make one mistake, or do one thing that is only strange. `lossmith plugin check` is to tell which.
//!
//! All but the last few are the mean square of the embeddings, `mean(x^2)` with the gradient `2 x / (B D)`.

use std::sync::atomic::{AtomicI64, Ordering};

use lossmith_sdk::prelude::*;

export! {
    losses: [
        Right, Held, WrongSign, Doubled, Shifted, HalfLost, AnchorsOnly, ParameterWrong,
        Rare, Counting, FirstImage, Cubic, Unguarded, Imprecise,
        RootOfZero, RootByChoice, LogOfZero, DeadParameter, OddMetric, TooLarge, Growing, Naming, Filling,
    ]
}

fn value(batch: &Batch) -> (Tensor, Tensor) {
    let embeddings = batch.embeddings();
    (embeddings.square().mean(ALL), embeddings)
}

/// The value with a gradient that is `factor` times the right one.
fn with_factor(batch: &Batch, factor: f64) -> Tensor {
    let (value, embeddings) = value(batch);
    let gradient = embeddings.detach() * (2.0 * factor / (batch.size() * batch.dimension()) as f64);
    value.with_gradients(&[(&embeddings, &gradient)])
}

strategy! {
    /// The right gradient, by the plugin.
    pub struct Right as "right" {}
}

impl Loss for Right {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        Ok(with_factor(batch, 1.0))
    }
}

strategy! {
    /// A factor that no gradient flows through, as declared.
    pub struct Held as "held" {}
}

impl Loss for Held {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let (value, embeddings) = value(batch);
        Ok(value * embeddings.detach().sigmoid().sum(ALL))
    }
}

strategy! {
    /// Mistake 1: the gradient has the wrong sign.
    pub struct WrongSign as "wrong-sign" {}
}

impl Loss for WrongSign {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        Ok(with_factor(batch, -1.0))
    }
}

strategy! {
    /// Mistake 2: the gradient is twice as large.
    pub struct Doubled as "doubled" {}
}

impl Loss for Doubled {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        Ok(with_factor(batch, 2.0))
    }
}

strategy! {
    /// Mistake 2 where a number is above 100 only, which no generated batch has.
    pub struct Rare as "rare" {}
}

impl Loss for Rare {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let is_rare = batch.embeddings().gt(100.0).any(ALL).to_float().item() > 0.0;
        Ok(with_factor(batch, if is_rare { 2.0 } else { 1.0 }))
    }
}

strategy! {
    /// Mistake 3: each image has the gradient of the next one.
    pub struct Shifted as "shifted" {}
}

impl Loss for Shifted {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let (value, embeddings) = value(batch);
        let next = Tensor::cat(&[&Tensor::arange(1, batch.size()), &Tensor::arange(0, 1)], 0);
        let gradient = embeddings.detach().index_select(0, &next) * (2.0 / (batch.size() * batch.dimension()) as f64);
        Ok(value.with_gradients(&[(&embeddings, &gradient)]))
    }
}

strategy! {
    /// Mistake 4: half of the loss went through a list of numbers, where its gradient is lost.
    pub struct HalfLost as "half-lost" {}
}

impl Loss for HalfLost {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let (value, embeddings) = value(batch);
        let numbers = embeddings.to_doubles();
        Ok(value + numbers.iter().map(|x| x.sin()).sum::<f64>())
    }
}

strategy! {
    /// Mistake 5: only the images of the first class have a gradient.
    pub struct AnchorsOnly as "anchors-only" {}
}

impl Loss for AnchorsOnly {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let (value, embeddings) = value(batch);
        let first = batch.labels().eq(0.0).to_float().unsqueeze(1);
        let gradient = embeddings.detach() * first * (2.0 / (batch.size() * batch.dimension()) as f64);
        Ok(value.with_gradients(&[(&embeddings, &gradient)]))
    }
}

strategy! {
    /// Mistake 6: the gradient of a trainable tensor is missing a factor.
    pub struct ParameterWrong as "parameter-wrong" {}
}

impl Loss for ParameterWrong {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let (value, _) = value(batch);
        let scale = state::parameter("scale", 1.0, || Tensor::full(&[1], 1.5));
        let squared = scale.square().sum(ALL);
        Ok(value + squared.with_gradients(&[(&scale, &scale.detach())]))
    }
}

strategy! {
    /// Counts its calls in a variable of the plugin.
    pub struct Counting as "counting" {}
}

static CALLS: AtomicI64 = AtomicI64::new(0);

impl Loss for Counting {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        Ok(value(batch).0 * (1 + CALLS.fetch_add(1, Ordering::Relaxed)) as f64)
    }
}

strategy! {
    /// Depends on which image comes first.
    pub struct FirstImage as "first-image" {}
}

impl Loss for FirstImage {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let embeddings = batch.embeddings();
        Ok((&embeddings - embeddings.index_select(0, &Tensor::arange(0, 1))).square().mean(ALL))
    }
}

strategy! {
    /// Compares all triplets at once, in B x B x B numbers.
    pub struct Cubic as "cubic" {}
}

impl Loss for Cubic {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let x = batch.embeddings();
        let products = x.matmul(&x.transpose(0, 1));
        Ok((products.unsqueeze(2) - products.unsqueeze(1)).square().mean(ALL))
    }
}

strategy! {
    /// Divides by norms without a guard.
    pub struct Unguarded as "unguarded" {}
}

impl Loss for Unguarded {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let x = batch.embeddings();
        Ok((&x / x.square().sum(keep(1)).sqrt()).index_select(1, &Tensor::arange(0, 1)).mean(ALL))
    }
}

strategy! {
    /// Loses its digits: a small difference of large numbers.
    pub struct Imprecise as "imprecise" {}
}

impl Loss for Imprecise {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let (value, _) = value(batch);
        Ok((value * 1e-6 + 1.0 - 1.0) * 1e6)
    }
}

/// Distances between all images, whose root has an infinite slope on the diagonal.
fn rooted(x: &Tensor) -> Tensor {
    let squares = (x.unsqueeze(1) - x.unsqueeze(0)).square().sum(2);
    squares.sqrt() // the root of 0
}

strategy! {
    /// A gradient that is NaN everywhere.
    pub struct RootOfZero as "root-of-zero" {}
}

impl Loss for RootOfZero {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        Ok(rooted(&batch.embeddings()).mean(ALL))
    }
}

strategy! {
    /// The same, at one end of a range only.
    pub struct RootByChoice as "root-by-choice" {
        /// What is added below the root.
        epsilon: f64 = 0.1, range 0.0..=1.0;
    }
}

impl Loss for RootByChoice {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let x = batch.embeddings();
        let squares = (x.unsqueeze(1) - x.unsqueeze(0)).square().sum(2);
        Ok((squares + self.epsilon).sqrt().mean(ALL))
    }
}

strategy! {
    /// A value that is not finite: the logarithm of 0.
    pub struct LogOfZero as "log-of-zero" {}
}

impl Loss for LogOfZero {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let x = batch.embeddings();
        let zeros = x * 0.0;
        let logarithms = zeros.log(); // the logarithm of 0
        Ok(logarithms.mean(ALL))
    }
}

strategy! {
    /// The gradient of a trainable tensor is NaN, that of the embeddings is right.
    pub struct DeadParameter as "dead-parameter" {}
}

impl Loss for DeadParameter {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let scale = state::parameter("scale", 1.0, || Tensor::zeros(&[2], Dtype::Float));
        Ok(value(batch).0 + scale.square().sum(ALL).sqrt())
    }
}

strategy! {
    /// Reports a metric that is not finite.
    pub struct OddMetric as "odd-metric" {}
}

impl Loss for OddMetric {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        report::metric("odd", f64::NAN);
        Ok(value(batch).0)
    }
}

strategy! {
    /// Makes more than a limit allows of a batch of more than 40 images.
    pub struct TooLarge as "too-large" {}
}

impl Loss for TooLarge {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let (value, x) = value(batch);
        if batch.size() > 40 {
            drop(x.sum(ALL).expand(&[1 << 20, 1 << 20]) + 1.0); // too large
        }
        Ok(value)
    }
}

/// What was kept, with the rows of `more` below it.
fn keep_more(more: &Tensor) {
    match state::buffer("kept") {
        Some(kept) => state::replace_buffer("kept", &Tensor::cat(&[&kept, more], 0)),
        None => state::set_buffer("kept", more),
    }
}

strategy! {
    /// Keeps twice as much with each call.
    pub struct Growing as "growing" {}
}

impl Loss for Growing {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let (value, embeddings) = value(batch);
        keep_more(&state::buffer("kept").unwrap_or_else(|| embeddings.detach()));
        Ok(value)
    }
}

strategy! {
    /// Reports metrics of new names with each call.
    pub struct Naming as "naming" {
        /// How many there are.
        names: i64 = 20, range 1..=100;
    }
}

impl Loss for Naming {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        for number in 0..self.names {
            report::metric(&format!("of-{}-{number}", progress.step()), 1.0);
        }
        Ok(value(batch).0)
    }
}

strategy! {
    /// Keeps the embeddings of the last batches, five of them at most.
    pub struct Filling as "filling" {}
}

impl Loss for Filling {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let (value, embeddings) = value(batch);
        if state::buffer("kept").is_none_or(|kept| kept.shape()[0] < 5 * batch.size()) {
            keep_more(&embeddings.detach());
        }
        Ok(value)
    }
}
