//! Whether a run goes on, and how it ended.

use std::fmt;

use serde::Serialize;

use super::process::host;
use super::{Entry, Event, Process};

/// How it stands with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Its process is at work.
    Running,
    /// It came to its end.
    Finished,
    /// It was stopped by somebody.
    Interrupted,
    /// It stopped with an error.
    Failed,
    /// Its process is gone and left no word: killed, or the machine went down.
    Died,
    /// By its journal it has not ended, and this machine cannot tell: it was started on another one, or there is no
    /// `/proc`.
    Unknown,
}

impl Status {
    /// Derives the status from a journal: by the last event that starts or ends something, and if it is a start, by
    /// whether that process still exists.
    #[must_use]
    pub fn of(journal: &[Entry]) -> Self {
        let last = journal.iter().map(|entry| &entry.event).rfind(|event| {
            use Event::{Failed, Finished, Interrupted, Started};
            matches!(event, Started { .. } | Finished { .. } | Interrupted { .. } | Failed { .. })
        });
        match last {
            Some(Event::Started { process: Some(process) }) if process.host == host() => {
                let alive = Process::with_id(process.id).as_ref() == Some(process);
                if alive { Self::Running } else { Self::Died }
            }
            Some(Event::Started { .. }) => Self::Unknown,
            Some(Event::Finished { .. }) => Self::Finished,
            Some(Event::Interrupted { .. }) => Self::Interrupted,
            Some(Event::Failed { .. }) => Self::Failed,
            _ => Self::Died,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::Died => "died",
            Self::Unknown => "unknown",
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use jiff::Timestamp;
    use std::process::{Command, Stdio};

    fn status(events: Vec<Event>) -> Status {
        let entries: Vec<Entry> =
            events.into_iter().map(|event| Entry { time: Timestamp::UNIX_EPOCH, event }).collect();
        Status::of(&entries)
    }

    #[test]
    fn the_last_word_counts() {
        let started = || Event::Started { process: Process::current() };
        let checkpoint = || Event::Checkpoint { epoch: 1, step: 9, file: "epoch-0001.safetensors".into(), best: true };
        assert_eq!(status(vec![]), Status::Died);
        assert_eq!(status(vec![started()]), Status::Running);
        assert_eq!(status(vec![started(), checkpoint()]), Status::Running);
        assert_eq!(status(vec![started(), checkpoint(), Event::Finished { epoch: 1, step: 9 }]), Status::Finished);
        assert_eq!(status(vec![started(), Event::Interrupted { epoch: 0, step: 3 }]), Status::Interrupted);
        assert_eq!(status(vec![started(), Event::Failed { error: "NaN".into() }]), Status::Failed);
        // Continued after an interruption.
        assert_eq!(status(vec![started(), Event::Interrupted { epoch: 0, step: 3 }, started()]), Status::Running);
    }

    #[test]
    fn a_process_that_is_gone_has_died() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let process = Process::with_id(child.id()).unwrap();
        assert_eq!(status(vec![Event::Started { process: Some(process.clone()) }]), Status::Running);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(status(vec![Event::Started { process: Some(process) }]), Status::Died);
    }

    #[test]
    fn another_process_under_the_same_id_is_not_the_run() {
        let own = Process::current().unwrap();
        let earlier = Process { started: own.started - 1, ..own.clone() };
        assert_eq!(status(vec![Event::Started { process: Some(earlier) }]), Status::Died);
        let before_a_reboot = Process { boot: "another".into(), ..own.clone() };
        assert_eq!(status(vec![Event::Started { process: Some(before_a_reboot) }]), Status::Died);
        let on_another_machine = Process { host: "another".into(), ..own };
        assert_eq!(status(vec![Event::Started { process: Some(on_another_machine) }]), Status::Unknown);
    }
}
