//! Measuring an epoch and, at the end, the test part.

use std::collections::BTreeMap;
use std::time::Instant;

use lossmith_plugin::Level;

use super::Training;
use crate::data::PartName;
use crate::eval::class_name;
use crate::experiment::{Experiment, OnFault};
use crate::run::{Confusion, Row, RowKind};
use crate::train::event::TrainingEvent;
use crate::train::training_error::TrainingError;

impl Training {
    /// Whether the epoch that is complete is to be measured.
    fn due(&self) -> bool {
        let complete = self.state.epoch();
        let Experiment { epochs, evaluation, .. } = self.state.experiment();
        complete == *epochs || complete.is_multiple_of(evaluation.every.get() as u64)
    }

    /// Measures the epoch that is complete, where the process before this one had trained it and failed to measure it.
    pub(super) fn make_up(&mut self, watch: &mut dyn FnMut(TrainingEvent<'_>)) -> Result<(), TrainingError> {
        let measurable = !self.state.assembly().dataset.validation().is_empty();
        if !self.resumed || self.state.inside() != 0 || !self.due() || !measurable {
            return Ok(());
        }
        let (rows, step) = (self.run().metrics()?.rows, self.state.step());
        let row = |kind| rows.iter().rfind(|row| row.kind == kind && row.step == step);
        match (row(RowKind::Epoch), row(RowKind::Evaluation)) {
            (Some(epoch), None) => {
                let loss = epoch.values.get("loss").copied().unwrap_or(f64::NAN);
                self.measure(loss, Instant::now(), watch)
            }
            _ => Ok(()),
        }
    }

    /// Measures the validation part, if that is due, and saves the epoch.
    pub(super) fn measure(
        &mut self,
        loss: f64,
        begun: Instant,
        watch: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<(), TrainingError> {
        let complete = self.state.epoch();
        let due = self.due();
        let values = if due { self.evaluate(PartName::Validation, watch)? } else { BTreeMap::new() };
        // A fusion may have made its parameters just now.
        self.state.adopt()?;
        let has_pair = self.state.assembly().dataset.validation().has_pair();
        let best = self.checkpoints.judge(&values, &self.state.experiment().evaluation, has_pair)?;
        let Experiment { epochs, evaluation, run, session, .. } = self.state.experiment();
        let (epochs, every) = (*epochs, run.checkpoint_every.get() as u64);
        let last = complete == epochs || self.checkpoints.are_out_of_patience(evaluation);
        // A way back to the start of each epoch, where one may be needed.
        let way_back = self.revisions.revision() > 0 && session.on_fault == OnFault::Rollback;
        if due && !values.is_empty() {
            self.write(RowKind::Evaluation, complete, values.clone())?;
        }
        let untrained = self.state.assembly().strategies.objectives.untrained_fusion();
        if untrained && !std::mem::replace(&mut self.fusion_told, true) {
            let text = "it has trainable parameters, and no objective trains them: add one with `on = \"fused\"` or \
                `on = \"fused-only\"`";
            watch(TrainingEvent::Line { slot: "fusion".to_owned(), level: Level::Warn, text: text.to_owned() });
        }
        if last || best.is_some() || way_back || complete.is_multiple_of(every) {
            self.save_epoch(best)?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        watch(TrainingEvent::Epoch { epoch: complete, epochs, loss, seconds, values: &values, best: best.is_some() });
        Ok(())
    }

    /// Measures a part of the data; nothing when it is empty.
    fn evaluate(
        &mut self,
        part: PartName,
        watch: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<BTreeMap<String, f64>, TrainingError> {
        let mut watch = |now| watch(TrainingEvent::Measuring { part, now });
        let embedded = self.state.assembly().embedded(part);
        let ranks = self.lead.as_ref().map_or(Ok(None), |lead| lead.evaluation(embedded))?;
        let Some(evaluation) = self.state.evaluate(part, self.metrics.last(), ranks, &mut watch)? else {
            return Ok(BTreeMap::new());
        };
        let names = self.state.assembly().dataset.class_names();
        for (classifier, classification) in &evaluation.classification {
            let classes = classification.classes.iter().map(|class| class_name(names, *class)).collect();
            let confusion = Confusion {
                part: part.to_string(),
                classifier: classifier.to_string(),
                epoch: self.state.epoch(),
                step: self.state.step(),
                classes,
                confusion: classification.confusion.clone(),
            };
            self.run().record_confusion(&confusion)?;
        }
        let values = evaluation.values(names).into_iter();
        Ok(values.map(|(name, value)| (format!("{part}/{name}"), value)).collect())
    }

    /// Measures the test part at the end of the last epoch, once, with the best checkpoint, unless `evaluation.test` is
    /// off.
    pub(super) fn test(&mut self, watch: &mut dyn FnMut(TrainingEvent<'_>)) -> Result<(), TrainingError> {
        if !self.state.experiment().evaluation.test {
            return Ok(());
        }
        let step = self.state.step();
        let tested = |row: &Row| row.step == step && row.values.keys().any(|name| name.starts_with("test/"));
        if self.run().metrics()?.rows.iter().any(tested) {
            // Before the run was stopped.
            return Ok(());
        }
        let mut epoch = self.state.experiment().epochs;
        if let Some(best) = self.checkpoints.best()? {
            self.state.load_weights(&best)?;
            // The others have those of the last step.
            if let Some(lead) = &mut self.lead {
                lead.leave_behind();
            }
            epoch = best.epoch;
        }
        let values = self.evaluate(PartName::Test, watch)?;
        if !values.is_empty() {
            self.write(RowKind::Evaluation, epoch, values.clone())?;
            watch(TrainingEvent::Tested { epoch, values: &values });
        }
        Ok(())
    }
}
