//! The claim of a process on a run: two processes that train one run would undo each other's steps.

use std::fs::{File, OpenOptions, TryLockError};

use super::{Run, RunError};

/// Keeps other processes from training a run until it is dropped or its process ends, however that ends: the system's
/// lock on the journal.
#[derive(Debug)]
pub struct Claim {
    _journal: File,
}

impl Run {
    /// Claims the run; `None` if another process has it. A file system without locks lets everybody have it.
    ///
    /// # Errors
    /// The journal cannot be written to.
    pub fn claim(&self) -> Result<Option<Claim>, RunError> {
        let path = self.path().join("journal.jsonl");
        let journal = OpenOptions::new().append(true).open(&path).map_err(RunError::io("write", &path))?;
        match journal.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(Claim { _journal: journal })),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::Event;

    #[test]
    fn a_run_is_claimed_once_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let run = Run::create(root.path(), "run").unwrap();
        assert!(run.claim().unwrap_err().to_string().contains("journal.jsonl"));
        run.record(Event::Started { process: None }).unwrap();
        let claim = run.claim().unwrap();
        assert!(claim.is_some() && run.claim().unwrap().is_none());
        drop(claim);
        assert!(run.claim().unwrap().is_some());
    }
}
