//! Orders: what a training is to do because of a message or of what waits in the queue.

use super::candidate::{Checked, Job};
use super::command::Command;

/// What a training is to do. It answers whoever asked for it.
pub enum Order {
    /// It waits before the next step; the session does so already.
    Pause(Command),
    /// It goes on after a pause.
    Resume(Command),
    /// It saves its state and ends.
    Stop(Command),
    /// It writes a checkpoint.
    Checkpoint(Command),
    /// It goes back to the weights before the revision at work.
    GoBack(Command),
    /// It notes that there is a candidate, and has it checked by [`Session::check`](super::Session::check).
    Check {
        /// Where the candidate comes from, in words.
        origin: String,
        /// What is checked.
        job: Box<Job>,
    },
    /// It takes in what the checks say of a candidate.
    Judge(Box<Checked>),
    /// It says that it cannot do it.
    Refuse {
        /// The command.
        asked: Command,
        /// Why not.
        reason: String,
    },
}
