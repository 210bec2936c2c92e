//! Why a candidate is not taken.

use lossmith_plugin::candidate::{CandidateError, Misfit};
use miette::Diagnostic;
use tch::TchError;

use crate::experiment::ExperimentError;
use crate::objective::ObjectiveError;
use crate::run::{RecordError, RunError};

/// A reason in a line, and what to do.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Why it is not taken.
    pub reason: String,
    /// What to do.
    pub help: Option<String>,
}

impl Refusal {
    pub(super) fn new(reason: String) -> Self {
        Self { reason, help: None }
    }

    /// Of a component that failed before, with the slot that it is for and its SHA-256.
    #[must_use]
    pub fn of_component(slot: &str, hash: &str) -> Self {
        let hash = hash.get(..12).unwrap_or_default();
        Self::new(format!("the component of {slot} ({hash}) was rolled back before"))
            .with_help("it is looked at again when its file has other content")
    }

    /// Of parameters that failed before, with the components of now.
    #[must_use]
    pub fn of_parameters() -> Self {
        Self::new("these parameters were rolled back before".into())
            .with_help("they are looked at again when something else changes, too")
    }

    /// Of a candidate that waits, when what it was compared to is not at work any more.
    #[must_use]
    pub fn of_another_base() -> Self {
        Self::new("what it was compared to was rolled back".into()).with_help("ask for it again")
    }

    /// Of a command that is refused for what the file says, not for what was asked.
    pub(super) fn of_the_file(self) -> Self {
        Self { reason: format!("the experiment file is at fault, not this command: {}", self.reason), ..self }
    }

    pub(super) fn with_help(self, help: &str) -> Self {
        Self { help: Some(help.to_owned()), ..self }
    }
}

impl From<ExperimentError> for Refusal {
    fn from(error: ExperimentError) -> Self {
        Self::of(&error)
    }
}

impl From<ObjectiveError> for Refusal {
    fn from(error: ObjectiveError) -> Self {
        Self::of(&error)
    }
}

impl From<CandidateError> for Refusal {
    fn from(error: CandidateError) -> Self {
        let reason = error.to_string();
        match error {
            CandidateError::Compute(error) => ObjectiveError::from(error).into(),
            CandidateError::Result { .. } | CandidateError::Loss { .. } => Self::new(reason),
            CandidateError::Gradient { .. } => {
                Self::new(reason).with_help("look for a square root or a logarithm at zero, or a division by zero")
            }
            CandidateError::NotRepeatable => {
                Self::new(reason).with_help("keep what must last in `state`, and take random numbers from `random`")
            }
            CandidateError::Misfit(Misfit { name, .. }) => Self::new(reason).with_help(&format!(
                "`reset = [\"{name}\"]` beside the strategy lets it begin anew; code that calls `replace-parameter` \
                 or `replace-buffer` carries it over"
            )),
        }
    }
}

impl From<RecordError> for Refusal {
    fn from(error: RecordError) -> Self {
        Self::of(&error)
    }
}

impl From<RunError> for Refusal {
    fn from(error: RunError) -> Self {
        Self::of(&error)
    }
}

impl From<TchError> for Refusal {
    fn from(error: TchError) -> Self {
        Self::of(&ObjectiveError::Tensor(error))
    }
}

impl Refusal {
    fn of(error: &dyn Diagnostic) -> Self {
        let mut reason = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Errors that only pass on what is below them have its text.
            if !reason.contains(&text) {
                reason = format!("{reason}: {text}");
            }
            cause = error.source();
        }
        if let Some(place) = place(error) {
            reason = format!("{reason} ({place})");
        }
        Self { reason, help: error.help().map(|help| help.to_string()) }
    }
}

/// File and line of an error that points into a file.
fn place(error: &dyn Diagnostic) -> Option<String> {
    let label = error.labels()?.next()?;
    let contents = error.source_code()?.read_span(label.inner(), 0, 0).ok()?;
    Some(format!("{}:{}", contents.name().unwrap_or("line"), contents.line() + 1))
}
