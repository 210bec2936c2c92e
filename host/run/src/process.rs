//! Processes of the system: which one a run is trained by.

use std::fs;

use serde::{Deserialize, Serialize};

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

    pub(super) fn with_id(id: u32) -> Option<Self> {
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
