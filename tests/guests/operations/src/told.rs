//! The interfaces `context` and `report`.

use lossmith_sdk::prelude::*;

strategy! {
    /// Reports all that it is told.
    pub struct Told as "told" {
        /// A number.
        number: f64 = 0.5, range 0.0..=2.0;
        /// An integer.
        integer: i64 = 3, range 1..10;
        /// A switch.
        switch: bool = false;
        /// A text.
        text: String = "text".to_owned();
        /// A list.
        numbers: Vec<f64> = vec![0.25, 0.75];
        /// A choice.
        distance: lossmith_sdk::Formula = lossmith_sdk::Formula::Cosine;
    }
}

impl Loss for Told {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        report::metric("number", self.number);
        report::metric("integer", self.integer as f64);
        report::metric("switch", f64::from(u8::from(self.switch)));
        report::metric("numbers", self.numbers.iter().sum::<f64>());
        report::debug(&self.text);
        report::warn(&format!("{:?}", self.distance));

        report::metric("size", batch.size() as f64);
        report::metric("dimension", batch.dimension() as f64);
        report::metric("class-count", batch.class_count() as f64);
        report::metric("largest-class", batch.largest_class() as f64);
        report::metric("slice-count", batch.slice_count() as f64);
        report::info(&format!("{:?}", batch.thresholds()));
        state::set_buffer("labels", &batch.labels());
        for (number, slice) in batch.slices().iter().enumerate() {
            state::set_buffer(&format!("slice-{number}"), slice);
        }
        if let Some(teacher) = batch.teacher() {
            state::set_buffer("teacher", &teacher);
        }
        if let Some(tuples) = batch.tuples() {
            report::metric("triplets", f64::from(u8::from(tuples.are_triplets())));
            state::set_buffer("anchors", &tuples.anchors());
            state::set_buffer("positives", &tuples.positives());
            state::set_buffer("negative-anchors", &tuples.negative_anchors());
            state::set_buffer("negatives", &tuples.negatives());
        }

        report::metric("epoch", progress.epoch() as f64);
        report::metric("epochs", progress.epochs() as f64);
        report::metric("step", progress.step() as f64);
        report::metric("steps-per-epoch", progress.steps_per_epoch() as f64);
        report::metric("last-step-of-epoch", f64::from(u8::from(progress.is_last_step_of_epoch())));
        report::metric("recall", progress.metric("validation/recall").unwrap_or(-1.0));
        report::metric("unknown", progress.metric("unknown").unwrap_or(-1.0));

        let weight = state::parameter("weight", 10.0, || Tensor::full(&[2], 3.0));
        let embeddings = batch.embeddings();
        report::metric("tensor", &embeddings.square().sum(ALL));
        Ok(embeddings.square().mean(ALL) * weight.sum(ALL))
    }
}
