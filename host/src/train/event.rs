//! What a training tells whoever watches it.

use lossmith_plugin::Level;
use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::data::{PartName, Summary};
use crate::eval::Measuring;
use crate::objective::Bound;
use crate::run;

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// Everything is loaded.
    Ready {
        /// The run's folder.
        run: PathBuf,
        /// The images.
        data: Box<Summary>,
        /// The device, as `cpu` or `cuda:0`.
        device: String,
        /// Trainable numbers of the network.
        parameters: usize,
        /// What was taken of a file with weights, in a line, if the training begins with one.
        weights: Option<String>,
        /// The strategies.
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
        now: Measuring,
    },
    /// A candidate, its verdict, a swap, a rollback, or a command.
    Session {
        /// As it is in the journal.
        event: &'a run::Event,
        /// How long a swap or a rollback took; none of what is neither.
        milliseconds: Option<f64>,
    },
    /// The test part was measured, once, with the best checkpoint.
    Tested {
        /// Epochs of the checkpoint.
        epoch: u64,
        /// What was measured, by name.
        values: &'a BTreeMap<String, f64>,
    },
    /// The run is complete or was stopped.
    Ended(End),
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All epochs are complete.
    Finished,
    /// Somebody stopped it; its state is saved.
    Interrupted,
}
