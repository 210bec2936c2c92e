//! Whether a run goes on, and how it ended.

use std::fmt;
use std::fs;

use serde::{Deserialize, Serialize};

use super::{Entry, Event};

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
    /// By its journal it has not ended, and this machine cannot tell: it was started on another one, or there is no `/proc`.
    Unknown,
}

impl Status {
    /// Derives the status from a journal: by the last event that starts or ends something, and if it is a start, by whether
    /// that process still exists.
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

/// A process of the system. Ids are given again after a while, so its start time belongs to its identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id.
    pub id: u32,
    /// When it started, in clock ticks since `boot`.
    pub started: u64,
    /// Identifies the boot of the machine.
    pub boot: String,
    /// Name of the machine.
    pub host: String,
}

impl Process {
    /// This process. None where the system does not tell (there is no `/proc`).
    #[must_use]
    pub fn current() -> Option<Self> {
        Self::with_id(std::process::id())
    }

    fn with_id(id: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The second field is a name in parentheses that may hold anything; the start time is the 20th after it.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        // A zombie has ended, though its parent has not asked for it yet.
        let alive = !matches!(fields.next(), Some("Z" | "X"));
        let started = fields.nth(18)?.parse().ok()?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        alive.then(|| Self { id, started, boot, host: host() })
    }
}

/// Name of this machine.
pub(super) fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
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
