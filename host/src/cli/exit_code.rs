//! Exit codes, which tell a script what kind of error ended a command. The list is in the help of `lossmith`.

// A new error must not get an exit code that nobody chose.
#![deny(clippy::wildcard_enum_match_arm)]

use super::error::CliError;
use crate::check::CheckError;
use crate::data::fetch::FetchError;
use crate::objective::ObjectiveError;
use crate::ranks::RanksError;
use crate::retrieve::RetrieveError;
use crate::run::{RecordError, RunError};
use crate::sweep::SweepError;
use crate::train::TrainingError;

/// The exit code of a process that a signal ended at once.
pub(super) const LOST: u8 = 131;

impl CliError {
    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::File { .. }
            | Self::Machine(_)
            | Self::Run(_)
            | Self::Toolchain(_)
            | Self::Control(_)
            | Self::Board(_)
            | Self::Different { .. } => 1,
            Self::Rank { code, .. } => *code,
            Self::Usage(_) | Self::Parameter { .. } => 2,
            Self::Experiment(_) => 3,
            Self::Plugin(error) if error.is_of_the_machine() => 1,
            Self::Plugin(_)
            | Self::NoComponent { .. }
            | Self::Refused { .. }
            | Self::Unsound { .. }
            | Self::NotFinite(_)
            | Self::Unmeasured { .. } => 4,
            Self::Scaffold(error) => {
                if error.is_misuse() {
                    2
                } else {
                    1
                }
            }
            Self::Check(error) => match error {
                CheckError::Plugin(_) | CheckError::NotFinite { .. } => 4,
                CheckError::Torch(_) | CheckError::Ranks(_) => 1,
                CheckError::Parameter(_)
                | CheckError::NoStrategy { .. }
                | CheckError::NoNative { .. }
                | CheckError::Refused(_)
                | CheckError::Empty
                | CheckError::Case(_) => 2,
            },
            Self::Fetch(error) => match error {
                FetchError::Vendor { .. } => 2,
                FetchError::Integrity { .. }
                | FetchError::Archive { .. }
                | FetchError::Escape { .. }
                | FetchError::Image { .. } => 5,
                FetchError::Program { .. }
                | FetchError::Command { .. }
                | FetchError::File { .. }
                | FetchError::Record { .. } => 1,
            },
            Self::Interrupted { .. } | Self::SweepInterrupted | Self::ReplayInterrupted { .. } => 130,
            Self::Training(error) => training_code(error),
            Self::Retrieve(error) => match error {
                RetrieveError::Training(error) => training_code(error),
                RetrieveError::Different(_) | RetrieveError::TooLarge { .. } => 2,
                RetrieveError::Data(_) | RetrieveError::NothingToFind => 5,
                RetrieveError::Write { .. } => 1,
            },
            Self::Sweep(error) => match error {
                SweepError::File(_) => 3,
                SweepError::Run { error, .. } | SweepError::Experiment { error, .. } => training_code(error),
                SweepError::NoValidation { .. } => 5,
                SweepError::Failed { .. } | SweepError::Folder(_) | SweepError::TestPart { .. } => 1,
            },
        }
    }
}

fn training_code(error: &TrainingError) -> u8 {
    match error {
        TrainingError::Experiment(_)
        | TrainingError::Objective(ObjectiveError::Experiment(_))
        | TrainingError::Model(_)
        | TrainingError::RunModule { .. }
        | TrainingError::Optimizer(_)
        | TrainingError::Fixed { .. }
        | TrainingError::NotMeasured { .. }
        | TrainingError::Device(_) => 3,
        TrainingError::Ranks(RanksError::Unfit { .. }) => 3,
        TrainingError::Ranks(RanksError::Variable { .. } | RanksError::NoVariable { .. }) => 2,
        TrainingError::Ranks(RanksError::Fault { .. }) => 4,
        TrainingError::Changed { .. } | TrainingError::Finished { .. } | TrainingError::NoEpochs { .. } => 2,
        TrainingError::Objective(ObjectiveError::Plugin(error)) if error.is_of_the_machine() => 1,
        // As `plugin build` has it.
        TrainingError::Objective(ObjectiveError::Toolchain(_)) => 1,
        TrainingError::Objective(_)
        | TrainingError::Gradient { .. }
        | TrainingError::Loss { .. }
        | TrainingError::Divergence { .. } => 4,
        TrainingError::Data(_)
        | TrainingError::Teacher(_)
        | TrainingError::Network { .. }
        | TrainingError::Run(RecordError::Run(RunError::OtherFile { .. }))
        | TrainingError::EmptyPart
        | TrainingError::Seen { .. }
        | TrainingError::OtherData { .. }
        | TrainingError::RunData { .. } => 5,
        TrainingError::Evaluation(_)
        | TrainingError::Run(_)
        | TrainingError::Session(_)
        | TrainingError::Ranks(_)
        | TrainingError::Toml(_)
        | TrainingError::AtWork { .. }
        | TrainingError::Tensor(_) => 1,
    }
}
