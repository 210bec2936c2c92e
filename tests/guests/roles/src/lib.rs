//! A plugin as a third party would write it, with one small strategy for each role. The tests of the host use it.

use lossmith_sdk::prelude::*;

export! {
    losses: [RunningMean, Noise, Failing, GrownProxies],
    miners: [Neighbours],
    transfers: [CosineDifference, ClassCosine],
    balances: [WeightedSum],
    schedules: [Uniform],
    fusions: [Concatenation],
}

strategy! {
    /// Squared distance to the running mean of all embeddings, which is a buffer.
    pub struct RunningMean as "running-mean" {
        /// How much of the old mean stays at each step.
        momentum: f64 = 0.9, range 0.0..=1.0;
    }
}

impl Loss for RunningMean {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        let embeddings = batch.embeddings();
        let now = embeddings.detach().mean(0);
        let mean = match state::buffer("mean") {
            Some(before) => before * self.momentum + now * (1.0 - self.momentum),
            None => now,
        };
        state::set_buffer("mean", &mean);
        report::metric("mean-norm", &mean.norm(2.0, ALL));
        report::metric("step", progress.step() as f64);
        Ok((embeddings - mean).square().mean(ALL))
    }
}

strategy! {
    /// Mean square of embeddings with normal noise added.
    pub struct Noise as "noise" {
        /// Standard deviation of the noise.
        deviation: f64 = 0.1, range 0.0..;
    }
}

impl Loss for Noise {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let noise = random::normal(&[batch.size(), batch.dimension()]) * self.deviation;
        report::info("noise added");
        Ok((batch.embeddings() + noise).square().mean(ALL))
    }
}

strategy! {
    /// Mean square of the embeddings, which becomes NaN after some steps.
    pub struct Failing as "failing" {
        /// Steps that go well.
        after: i64 = 0, range 0..;
    }
}

impl Loss for Failing {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        let good = progress.step() < self.after as u64;
        Ok(batch.embeddings().square().mean(ALL) * if good { 1.0 } else { f64::NAN })
    }
}

strategy! {
    /// 1 minus the mean cosine of each image and the proxies of its class.
    pub struct GrownProxies as "grown-proxies" {
        /// Proxies of each class.
        per_class: i64 = 1, range 1..;
        /// Whether proxies of another number are taken over; otherwise they are used as they are, which fails.
        migrate: bool = true;
    }
}

impl Loss for GrownProxies {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let (classes, count) = (batch.class_count(), self.per_class);
        // Row `j * classes + c` is proxy `j` of class `c`.
        let rows = classes * count;
        let kept = || state::parameter("proxies", 10.0, || random::normal(&[rows, batch.dimension()]));
        let mut proxies = kept();
        if self.migrate && proxies.size(0) != rows {
            proxies = state::replace_parameter("proxies", &repeated(&proxies, rows));
        }
        report::metric("rows", kept().size(0) as f64);
        // For each proxy of a class the calls that have seen it; of a copy those that have seen the kept one.
        let mut seen = state::buffer("seen").unwrap_or_else(|| Tensor::zeros(&[count], Dtype::Float));
        if self.migrate && seen.size(0) != count {
            state::replace_buffer("seen", &repeated(&seen, count));
            seen = state::buffer("seen").ok_or("the buffer is gone")?;
        }
        state::set_buffer("seen", &(seen + 1.0));
        let cosines = batch.embeddings().cosine_matrix(&proxies).reshape(&[batch.size(), count, classes]).mean(1);
        Ok((1.0 - cosines.gather(1, &batch.labels().unsqueeze(1))).mean(ALL))
    }
}

/// The entries of the first dimension again and again, until there are `count`.
fn repeated(tensor: &Tensor, count: i64) -> Tensor {
    let kept = tensor.size(0);
    let entries: Vec<i64> = (0..count).map(|entry| entry % kept).collect();
    tensor.index_select(0, &Tensor::from_integers(&entries, &[count]))
}

strategy! {
    /// Pairs with the next image in the batch, by class.
    pub struct Neighbours as "neighbours" {}
}

impl Miner for Neighbours {
    fn mine(&self, batch: &Batch, _: &Progress) -> Result<Tuples> {
        let (anchors, next) = (Tensor::arange(0, batch.size() - 1), Tensor::arange(1, batch.size()));
        let labels = batch.labels();
        let same = labels.index_select(0, &anchors).eq(&labels.index_select(0, &next));
        let different = same.logical_not();
        Ok(Tuples::pairs(
            &anchors.masked_select(&same),
            &next.masked_select(&same),
            &anchors.masked_select(&different),
            &next.masked_select(&different),
        ))
    }
}

strategy! {
    /// Absolute difference of the cosines of teacher and student.
    pub struct CosineDifference as "cosine-difference" {}
}

impl Transfer for CosineDifference {
    fn pair_losses(&self, batch: &Batch, _: &Progress) -> Result<PairLosses<'static>> {
        let teacher = batch.teacher().ok_or("this transfer needs a teacher")?;
        let student = batch.embeddings();
        let difference = (student.cosine_matrix(&student) - teacher.cosine_matrix(&teacher)).abs();
        let size = batch.size();
        let off_diagonal = 1.0 - Tensor::eye(size);
        Ok(PairLosses::new(&(difference * off_diagonal), (size * size) as f64))
    }
}

strategy! {
    /// How far cosines are from 1 within a class and from the first threshold (0 without a schedule) between classes.
    /// It needs no teacher.
    pub struct ClassCosine as "class-cosine" {}
}

impl Transfer for ClassCosine {
    fn pair_losses(&self, batch: &Batch, _: &Progress) -> Result<PairLosses<'static>> {
        let thresholds = batch.thresholds();
        for (slice, threshold) in thresholds.iter().enumerate() {
            report::metric(&format!("threshold-{slice}"), *threshold);
        }
        let labels = batch.labels();
        let same = labels.unsqueeze(0).eq(&labels.unsqueeze(1)).to_float();
        let threshold = thresholds.first().copied().unwrap_or(0.0);
        let wanted = &same + (1.0 - &same) * threshold;
        let size = batch.size();
        let values = (batch.embeddings().cosine_matrix(&batch.embeddings()) - wanted).square();
        Ok(PairLosses::new(&values, (size * size) as f64))
    }
}

strategy! {
    /// The pairs of one class weighted, the others not. A weight of 1 is the unbalanced loss.
    pub struct WeightedSum as "sum" {
        /// Weight of the pairs of one class.
        alpha: f64 = 1.0, range 0.0..;
    }
}

impl Balance for WeightedSum {
    fn weigh(&self, pairs: &PairLosses, _: &Batch, _: &Progress) -> Result<Tensor> {
        let values = pairs.values();
        let intra = (&values * pairs.same_class()).sum(ALL);
        let inter = (values * pairs.different_class()).sum(ALL);
        Ok((intra * self.alpha + inter) / pairs.divisor())
    }
}

strategy! {
    /// Thresholds at equal steps from the lowest to the highest.
    pub struct Uniform as "uniform" {
        /// Threshold of the first slice.
        minimum: f64 = 0.1;
        /// Threshold of the last slice.
        maximum: f64 = 1.5;
    }
}

impl Schedule for Uniform {
    fn thresholds(&self, batch: &Batch, _: &Progress) -> Result<Vec<f64>> {
        let slices = batch.slice_count();
        let step = (self.maximum - self.minimum) / (slices - 1).max(1) as f64;
        Ok((0..slices).map(|slice| self.minimum + slice as f64 * step).collect())
    }
}

strategy! {
    /// Normalises each slice and joins them.
    pub struct Concatenation as "concatenation" {}
}

impl Fusion for Concatenation {
    fn fuse(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let slices: Vec<_> = batch.slices().iter().map(|slice| slice.normalize(2.0, 1)).collect();
        Ok(Tensor::cat(&slices.iter().collect::<Vec<_>>(), 1))
    }
}
