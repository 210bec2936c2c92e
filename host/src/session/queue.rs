//! The queue of a session: changed files and commands that wait for the gate.

use std::collections::{BTreeSet, VecDeque};

use super::command::Command;
use super::control::Request;

/// What waits to be checked. Changed files come before commands, and commands in their order.
#[derive(Default)]
pub(super) struct Queue {
    /// Names of files that have changed since they were last read.
    changed: BTreeSet<String>,
    commands: VecDeque<(Proposal, Command)>,
}

/// What is checked next.
pub(super) enum Waiting {
    /// Files, by their names.
    Changed(Vec<String>),
    /// A command.
    Command(Proposal, Command),
}

/// What a command proposes for the training.
pub(super) enum Proposal {
    Set(Vec<String>),
    Promote(String),
    Revert,
}

impl Queue {
    /// Files have changed.
    pub(super) fn add_files(&mut self, names: impl IntoIterator<Item = String>) {
        self.changed.extend(names);
    }

    /// Adds a command; one that proposes nothing is dropped.
    pub(super) fn push(&mut self, command: Command) {
        self.commands.extend(Proposal::of(command.request()).map(|proposal| (proposal, command)));
    }

    /// Puts back a command that was taken.
    pub(super) fn put_back(&mut self, command: Command) {
        if let Some(proposal) = Proposal::of(command.request()) {
            self.commands.push_front((proposal, command));
        }
    }

    /// Takes what is next.
    pub(super) fn take(&mut self) -> Option<Waiting> {
        if !self.changed.is_empty() {
            return Some(Waiting::Changed(std::mem::take(&mut self.changed).into_iter().collect()));
        }
        self.commands.pop_front().map(|(proposal, command)| Waiting::Command(proposal, command))
    }
}

impl Proposal {
    /// `None` of a command that asks for no candidate.
    fn of(request: &Request) -> Option<Self> {
        match request {
            Request::Set { sets } => Some(Self::Set(sets.clone())),
            Request::Promote { name } => Some(Self::Promote(name.clone())),
            Request::Revert { weights: false } => Some(Self::Revert),
            Request::Pause
            | Request::Resume
            | Request::Stop
            | Request::Checkpoint
            | Request::Revert { weights: true }
            | Request::Status => None,
        }
    }
}
