//! Errors of commands.

use std::path::Path;

use lossmith_board::BoardError;
use lossmith_plugin::{ParameterError, PluginError};
use miette::Diagnostic;

use crate::PluginFault;
use crate::check::CheckError;
use crate::data::fetch::FetchError;
use crate::experiment::ExperimentError;
use crate::retrieve::RetrieveError;
use crate::run::{RecordError, RunError};
use crate::scaffold::ScaffoldError;
use crate::session::control::ControlError;
use crate::sweep::SweepError;
use crate::toolchain::ToolchainError;
use crate::train::TrainingError;

/// An error that ends a command.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum CliError {
    /// A request that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A file that cannot be read or written.
    #[error("{path}: {cause}")]
    File {
        /// The file.
        path: String,
        /// Why; the message says it, so it is no source to be told once more.
        cause: std::io::Error,
    },
    /// A fault of a plugin.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Plugin(PluginFault),
    /// A component that is not there.
    #[error("{text}")]
    #[diagnostic(help("{help}"))]
    NoComponent {
        /// What was looked for.
        text: String,
        /// What there is instead, or what to build first.
        help: String,
    },
    /// A parameter of a strategy, given on the command line.
    #[error("plugin `{plugin}`: {error}")]
    #[diagnostic(help("{}", parameter_help(plugin, error)))]
    Parameter {
        /// The plugin.
        plugin: String,
        /// What is wrong.
        error: ParameterError,
    },
    /// The experiment file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Experiment(#[from] ExperimentError),
    /// A training or an evaluation.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Training(#[from] TrainingError),
    /// A run's folder.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Run(#[from] RecordError),
    /// A plugin crate that cannot be built.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Toolchain(#[from] ToolchainError),
    /// A new plugin that was not made.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Scaffold(#[from] ScaffoldError),
    /// A check that could not be carried out.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Check(#[from] CheckError),
    /// A value or a gradient of a strategy that is not finite, with the operation that made it.
    #[error("{0}")]
    NotFinite(String),
    /// Sizes that a bench could not measure.
    #[error("{failed} of {all} sizes could not be measured; what was measured is above")]
    #[diagnostic(help(
        "a bench has the default limits, which an experiment raises under [limits]; choose other sizes with --batch \
         and --dimension"
    ))]
    Unmeasured {
        /// How many.
        failed: usize,
        /// Of how many.
        all: usize,
    },
    /// A plugin in which a check found something wrong.
    #[error("{failed} checks of `{plugin}` failed")]
    Unsound {
        /// The plugin.
        plugin: String,
        /// How many.
        failed: usize,
    },
    /// Data that cannot be fetched.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fetch(#[from] FetchError),
    /// Somebody stopped the training; its state is saved.
    #[error("the training was stopped; its state is saved in {run}")]
    #[diagnostic(help("go on with `lossmith train --resume {run}`"))]
    Interrupted {
        /// The run's folder.
        run: String,
    },
    /// Somebody stopped a repetition.
    #[error("the repetition was stopped: nothing is compared")]
    #[diagnostic(help(
        "the same command repeats it from the beginning; what it came to is in {run}, which can be removed"
    ))]
    ReplayInterrupted {
        /// The folder of the repetition.
        run: String,
    },
    /// A picture of retrievals.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Retrieve(#[from] RetrieveError),
    /// A sweep.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Sweep(#[from] SweepError),
    /// Somebody stopped a sweep; what was at work is saved.
    #[error("the sweep was stopped; its runs are saved")]
    #[diagnostic(help("go on with the same command: runs that are done are kept"))]
    SweepInterrupted,
    /// A board.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Board(#[from] BoardError),
    /// A training that could not be controlled.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Control(#[from] ControlError),
    /// A training that refused a command.
    #[error("{text}")]
    Refused {
        /// Why.
        text: String,
        /// What to do.
        #[help]
        help: Option<String>,
    },
    /// A repetition that came out otherwise.
    #[error("the repetition differs from {run}")]
    #[diagnostic(help(
        "bits depend on the machine, the versions and the number of threads: compare both `manifest.json`"
    ))]
    Different {
        /// The run that was repeated.
        run: String,
    },
    /// A rank that did not end well.
    #[error("{text}")]
    Rank {
        /// Which, and how.
        text: String,
        /// Its exit code.
        code: u8,
    },
    /// Something that this machine cannot do.
    #[error("{0}")]
    Machine(String),
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        Self::Run(error.into())
    }
}

impl From<PluginError> for CliError {
    fn from(error: PluginError) -> Self {
        Self::Plugin(error.into())
    }
}

impl CliError {
    pub(super) fn file(path: &Path, cause: std::io::Error) -> Self {
        Self::File { path: path.display().to_string(), cause }
    }

    pub(super) fn engine(error: wasmtime::Error) -> Self {
        Self::Machine(format!("the WebAssembly engine does not start: {error:#}"))
    }

    pub(super) fn input(what: &str, error: &tch::TchError) -> Self {
        Self::Usage(format!("{what}: {}", error.to_string().lines().next().unwrap_or_default()))
    }

    pub(super) fn json(error: serde_json::Error) -> Self {
        Self::Machine(format!("the result cannot be written as JSON: {error}"))
    }
}

fn parameter_help(plugin: &str, error: &ParameterError) -> String {
    error.help().unwrap_or_else(|| format!("`lossmith plugin inspect {plugin}` lists the parameters"))
}
