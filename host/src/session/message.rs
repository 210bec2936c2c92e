//! Messages to the training thread.

use super::asked::Asked;
use super::candidate::Checked;
use super::watch::Followed;

/// Something that a training looks at between two steps.
pub enum Mail {
    /// Files that it follows have changed.
    Changed(Vec<Followed>),
    /// A command.
    Asked(Asked),
    /// A candidate was checked.
    Checked(Box<Checked>),
}
