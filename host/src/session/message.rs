//! What reaches a training while it runs.

use std::sync::mpsc::Sender;

use super::candidate::Checked;
use super::control::{Request, Response};
use super::watch::Followed;

/// Something that a training looks at between two steps.
pub enum Mail {
    /// Files that it follows have changed.
    Changed(Vec<Followed>),
    /// A command, and who waits for the answer.
    Asked(Request, Sender<Response>),
    /// A candidate was checked.
    Checked(Box<Checked>),
}
