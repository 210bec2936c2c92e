//! What a training tells whoever watches it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lossmith_plugin::Level;
use serde::Serialize;

use crate::data::{DataSummary, PartName};
use crate::eval::Measuring;
use crate::objective::Bound;
use crate::run;

/// Something that happened. As JSON it is what `lossmith train --json` prints.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum TrainingEvent<'a> {
    /// Everything is loaded.
    Ready {
        /// The run's folder.
        run: PathBuf,
        /// The images.
        data: Box<DataSummary>,
        /// The device, as `cpu` or `cuda:0`.
        device: String,
        /// Trainable numbers of the network.
        parameters: usize,
        /// What was taken of a file with weights, in a line, if the training begins with one.
        weights: Option<String>,
        /// The strategies; not in JSON.
        #[serde(skip)]
        bound: &'a [Bound],
        /// The teacher in a line, if there is one.
        teacher: Option<String>,
        /// Epochs of the run.
        epochs: u64,
        /// Steps in an epoch.
        steps: u64,
        /// Where the training continues; 0 at the start of a run.
        from_step: u64,
    },
    /// A step is complete.
    Step {
        /// Epoch, from 0.
        epoch: u64,
        /// Epochs of the run; an edit can change that.
        epochs: u64,
        /// Steps of this epoch that are complete.
        step: u64,
        /// Images of a step.
        images: usize,
        /// The loss over the last logging interval, at the end of one.
        loss: Option<f64>,
    },
    /// A strategy logged a line.
    Line {
        /// Its place in the experiment.
        slot: String,
        /// How important it is.
        level: Level,
        /// The text.
        text: String,
    },
    /// An epoch is complete and measured.
    Epoch {
        /// Epochs that are complete.
        epoch: u64,
        /// Epochs of the run.
        epochs: u64,
        /// Mean loss of its steps.
        loss: f64,
        /// Seconds since the epoch began, the evaluation included.
        seconds: f64,
        /// What the evaluation measured, by name; empty when it was not due.
        values: &'a BTreeMap<String, f64>,
        /// Whether it is the best so far.
        best: bool,
    },
    /// A part of the data is being measured.
    Measuring {
        /// Which part.
        part: PartName,
        /// How far it is.
        #[serde(flatten)]
        now: Measuring,
    },
    /// The test part was measured, once, with the best checkpoint.
    Tested {
        /// Epochs of the checkpoint.
        epoch: u64,
        /// What was measured, by name.
        values: &'a BTreeMap<String, f64>,
    },
    /// A candidate, its verdict, a swap, a rollback, or a command.
    #[serde(untagged)]
    Session {
        /// As it is in the journal.
        #[serde(flatten)]
        event: &'a run::Event,
        /// How long a swap or a rollback took; none of what is neither.
        #[serde(skip_serializing_if = "Option::is_none")]
        milliseconds: Option<f64>,
    },
    /// The run is complete or was stopped.
    #[serde(untagged)]
    Ended(End),
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum End {
    /// All epochs are complete.
    Finished,
    /// Somebody stopped it; its state is saved.
    Interrupted,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use serde_json::json;

    #[test]
    fn events_have_a_fixed_form() {
        let values = BTreeMap::from([("validation/map-at-r".to_owned(), 0.5)]);
        let paused = run::Event::Control { command: "pause".to_owned() };
        let step = TrainingEvent::Step { epoch: 1, epochs: 3, step: 2, images: 32, loss: None };
        let step_form = json!({ "event": "step", "epoch": 1, "epochs": 3, "step": 2, "images": 32, "loss": null });
        let line = TrainingEvent::Line { slot: "data".to_owned(), level: Level::Warn, text: "dark".to_owned() };
        let tested = TrainingEvent::Tested { epoch: 3, values: &values };
        let part = PartName::Test;
        let measuring = TrainingEvent::Measuring { part, now: Measuring { what: "slices", done: 0, of: 1 } };
        let swapped = TrainingEvent::Session { event: &paused, milliseconds: Some(1.5) };
        for (event, form) in [
            (step, step_form),
            (line, json!({ "event": "line", "slot": "data", "level": "warning", "text": "dark" })),
            (tested, json!({ "event": "tested", "epoch": 3, "values": { "validation/map-at-r": 0.5 } })),
            (measuring, json!({ "event": "measuring", "part": "test", "what": "slices", "done": 0, "of": 1 })),
            (swapped, json!({ "event": "control", "command": "pause", "milliseconds": 1.5 })),
            (
                TrainingEvent::Session { event: &paused, milliseconds: None },
                json!({ "event": "control", "command": "pause" }),
            ),
            (TrainingEvent::Ended(End::Finished), json!({ "event": "finished" })),
            (TrainingEvent::Ended(End::Interrupted), json!({ "event": "interrupted" })),
        ] {
            assert_eq!(serde_json::to_value(event).unwrap(), form);
        }
    }
}
