//! What a training does next, as one value.

/// What is done next. It is decided in one place (`training/decide.rs`), once after each step and once between two
/// epochs, and nothing else ends, halts or turns back a training that does not fail. It is a plain value, so that
/// several processes that train one run can do the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// The next step, or the next epoch.
    GoOn,
    /// Nothing: the training is paused. It is decided anew.
    Pause,
    /// A checkpoint is written. Then it is decided anew.
    Checkpoint(Reason),
    /// The revision that the journal has for this step takes over. Then it is decided anew.
    Follow(u64),
    /// The accepted candidate takes over. Then it is decided anew.
    Take,
    /// The training goes back to the weights before the revision at work, as a command asked.
    GoBack,
    /// The training saves its state and ends; it can go on later.
    Stop,
    /// A repetition ends: it has come to where the run is that it repeats.
    Leave,
    /// The training ends before its last epoch, since it does not get better any more.
    StopEarly,
    /// The last epoch is complete.
    Finish,
}

/// Why a checkpoint is written inside an epoch, or beside those of epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// So many steps have passed since the last one.
    Interval,
    /// A signal.
    Signal,
    /// A command.
    Command,
}

/// When it is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Between two epochs.
    Boundary,
    /// There, after a revision took over: messages wait until the next step.
    Swapped,
    /// Before the rest of an epoch whose first steps were trained before.
    Inside,
    /// After so many steps of an epoch, before the next of them.
    Step(u64),
}
