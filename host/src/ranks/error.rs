//! Errors of several processes that train one run.

use miette::Diagnostic;

/// What keeps ranks from training together.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
pub enum RanksError {
    /// A variable of the environment that says nothing.
    #[error("the variable {variable} is `{value}`: {expected} is expected")]
    #[diagnostic(help(
        "torchrun, srun and `lossmith launch` set it; `env -u WORLD_SIZE` trains with this process alone"
    ))]
    Variable {
        /// Its name.
        variable: &'static str,
        /// What it is.
        value: String,
        /// What it should be.
        expected: String,
    },
    /// A variable of the environment that is not there.
    #[error("{of} is set and {variable} is not")]
    #[diagnostic(help("start the ranks with torchrun, srun or `lossmith launch`"))]
    NoVariable {
        /// What is missing.
        variable: &'static str,
        /// What is there.
        of: &'static str,
    },
    /// Rank 0 cannot listen.
    #[error("rank 0 cannot listen on {address}: {cause}")]
    #[diagnostic(help(
        "another program may use the port, or MASTER_ADDR is no address of this machine: set MASTER_PORT to a free port"
    ))]
    Listen {
        /// Where.
        address: String,
        /// Why.
        cause: String,
    },
    /// Nobody is where rank 0 should be.
    #[error("rank {rank} finds nobody at {address} within {seconds} s: {cause}")]
    #[diagnostic(help(
        "MASTER_ADDR and MASTER_PORT must be those of rank 0 on all ranks, and its port must be open to them"
    ))]
    Nobody {
        /// This rank.
        rank: usize,
        /// Where it looked.
        address: String,
        /// How long.
        seconds: u64,
        /// What was seen.
        cause: String,
    },
    /// Ranks that did not come.
    #[error("{} did not come within {seconds} s", named(ranks))]
    #[diagnostic(help(
        "look at what they said; all must be started with the same WORLD_SIZE, MASTER_ADDR and MASTER_PORT. They are \
         waited for as long as `ranks.timeout` says"
    ))]
    Missing {
        /// Which.
        ranks: Vec<usize>,
        /// How long they were waited for.
        seconds: u64,
    },
    /// Ranks that ended without a word, or hang.
    #[error("lost {}: killed, stopped, or cut off ({cause})", named(ranks))]
    #[diagnostic(help(
        "`lossmith train --resume RUN` goes on from the last checkpoint, with as many ranks or with others"
    ))]
    Lost {
        /// Which; none if it cannot be told.
        ranks: Vec<usize>,
        /// What was seen.
        cause: String,
    },
    /// A rank that said why it ended.
    #[error("rank {rank}: {text}")]
    Failed {
        /// Which.
        rank: usize,
        /// Its error.
        text: String,
    },
    /// A strategy that failed on another rank.
    #[error("on rank {rank}: {text}")]
    Fault {
        /// Which.
        rank: usize,
        /// Its error.
        text: String,
    },
    /// Ranks that are not the same.
    #[error("rank {rank} has {what}")]
    #[diagnostic(help(
        "all ranks must have the same: the program, libtorch, the data, and equal results of the same operations"
    ))]
    Different {
        /// Which.
        rank: usize,
        /// What differs.
        what: String,
    },
    /// An experiment that several ranks cannot train.
    #[error("{what}")]
    #[diagnostic(help("{advice}"))]
    Unfit {
        /// What does not fit.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// What libtorch says.
    #[error("libtorch: {0}")]
    Torch(String),
}

// Its text is told in brief, so it is no source, which would be told in full.
impl From<tch::TchError> for RanksError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(lossmith_plugin::brief(&error))
    }
}

fn named(ranks: &[usize]) -> String {
    match ranks {
        [] => "a rank".to_owned(),
        [one] => format!("rank {one}"),
        many => format!("ranks {}", many.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}
