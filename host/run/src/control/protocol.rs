//! What is said between a training and those who control it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a training is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// How it stands with it.
    Status,
    /// Wait before the next step.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Save the state and end.
    Stop,
    /// Save the state and go on.
    Checkpoint,
    /// Go back to the revision before.
    Revert {
        /// And to the state that the training had before the one that is live.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        weights: bool,
    },
    /// Change keys of the experiment.
    Set {
        /// `key.path=value`, applied in order.
        sets: Vec<String>,
    },
    /// Put a shadow in place of its objective.
    Promote {
        /// Name of the shadow.
        name: String,
    },
}

/// The words of the command line: `set optimizer.learning-rate=0.01`.
impl fmt::Display for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status => out.write_str("status"),
            Self::Pause => out.write_str("pause"),
            Self::Resume => out.write_str("resume"),
            Self::Stop => out.write_str("stop"),
            Self::Checkpoint => out.write_str("checkpoint"),
            Self::Revert { weights: false } => out.write_str("revert"),
            Self::Revert { weights: true } => out.write_str("revert --weights"),
            Self::Set { sets } => write!(out, "set {}", sets.join(" ")),
            Self::Promote { name } => write!(out, "promote {name}"),
        }
    }
}

/// What a training answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Response {
    /// It was done.
    Done {
        /// What was done.
        text: String,
    },
    /// It was not done.
    Refused {
        /// Why.
        text: String,
        /// What to do about it.
        help: Option<String>,
    },
    /// How it stands with the training.
    Status {
        /// The state after the last complete step.
        snapshot: Box<Snapshot>,
    },
}

/// How it stands with a training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Snapshot {
    /// The run's folder.
    pub run: String,
    /// Epochs that are complete.
    pub epoch: u64,
    /// Epochs that the training will have.
    pub epochs: u64,
    /// Steps that are complete.
    pub step: u64,
    /// Of these, steps of the epoch that is being trained.
    pub step_in_epoch: u64,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
    /// Whether it waits for `resume`.
    pub paused: bool,
    /// The last loss that was written down; none before the first one, and none if it is not finite.
    pub loss: Option<f64>,
    /// Number of the revision that is live; 0 is what the run began with.
    pub revision: u64,
    /// The strategies that are live.
    pub plugins: Vec<LivePlugin>,
    /// What is being checked or waits for the next epoch, in words.
    pub candidate: Option<String>,
    /// The last events of the journal in words, at most 10, the newest last.
    pub events: Vec<String>,
    /// Id of the process.
    pub process: u32,
}

/// A strategy at work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LivePlugin {
    /// Its place: `objective.0.loss`.
    pub slot: String,
    /// Its name.
    pub strategy: String,
    /// The first 12 hex digits of the component's SHA-256.
    pub hash: String,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use serde_json::json;

    #[test]
    fn requests_have_a_fixed_form_and_the_words_of_the_command_line() {
        let sets = vec!["optimizer.learning-rate=0.01".to_owned(), "epochs=9".to_owned()];
        for (request, form, words) in [
            (Request::Status, json!({ "command": "status" }), "status"),
            (Request::Pause, json!({ "command": "pause" }), "pause"),
            (Request::Resume, json!({ "command": "resume" }), "resume"),
            (Request::Stop, json!({ "command": "stop" }), "stop"),
            (Request::Checkpoint, json!({ "command": "checkpoint" }), "checkpoint"),
            (Request::Revert { weights: false }, json!({ "command": "revert" }), "revert"),
            (Request::Revert { weights: true }, json!({ "command": "revert", "weights": true }), "revert --weights"),
            (
                Request::Set { sets: sets.clone() },
                json!({ "command": "set", "sets": sets }),
                "set optimizer.learning-rate=0.01 epochs=9",
            ),
            (
                Request::Promote { name: "wider".into() },
                json!({ "command": "promote", "name": "wider" }),
                "promote wider",
            ),
        ] {
            assert_eq!(serde_json::to_value(&request).unwrap(), form);
            assert_eq!(request.to_string(), words);
            assert_eq!(serde_json::from_value::<Request>(form).unwrap(), request);
        }
    }

    #[test]
    fn a_loss_that_is_not_finite_is_none() {
        let snapshot = Box::new(Snapshot { loss: Some(f64::NAN), step_in_epoch: 3, ..Snapshot::default() });
        let text = serde_json::to_string(&Response::Status { snapshot }).unwrap();
        assert!(
            text.starts_with(r#"{"answer":"status","snapshot":{"#) && text.contains(r#""step-in-epoch":3"#),
            "{text}"
        );
        let Response::Status { snapshot } = serde_json::from_str(&text).unwrap() else { unreachable!("{text}") };
        assert_eq!(snapshot.loss, None);
    }
}
