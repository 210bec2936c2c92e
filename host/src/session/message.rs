//! Messages to the training thread.

use super::candidate::Checked;
use super::command::Command;
use super::watch::Followed;

/// Something that a training looks at between two steps.
pub enum Mail {
    /// Files that it follows have changed.
    Changed(Vec<Followed>),
    /// A command.
    Command(Command),
    /// A candidate was checked.
    Checked(Box<Checked>),
}
