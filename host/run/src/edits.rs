//! The edits of a run while it went on: who asked for what, what the checks said, when it became live, and whether it
//! was undone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use similar::TextDiff;

use super::{Change, Entry, Event, PluginEntry, Run, RunError, Verdict};

/// A candidate, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunEdit {
    /// Its number, which is that of the revision if it was taken.
    pub number: u64,
    /// When it was asked for.
    pub asked: Timestamp,
    /// Who asked: the names of changed files, or a command.
    pub origin: String,
    /// What the checks said; none while they are at work.
    pub verdict: Option<Verdict>,
    /// When it became live; none if it did not.
    pub live: Option<Taken>,
    /// When it failed or was reverted, each time.
    pub undone: Vec<Undone>,
}

/// That an edit became live.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// Epochs that were complete.
    pub epoch: u64,
    /// Steps that were complete.
    pub step: u64,
    /// What changed in the experiment.
    pub changes: Vec<Change>,
    /// Components that took the place of others, or that are new.
    pub plugins: Vec<Exchange>,
}

/// A component in place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The component.
    pub plugin: PluginEntry,
    /// SHA-256 of the one before; none where there was none.
    pub before: Option<String>,
}

/// That an edit was undone.
#[derive(Clone, Debug, PartialEq)]
pub struct Undone {
    /// Epochs that were complete, again.
    pub epoch: u64,
    /// Steps that were complete, again.
    pub step: u64,
    /// The step in which it failed.
    pub failed_at: u64,
    /// The revision that took over.
    pub to: u64,
    /// What happened.
    pub reason: String,
}

impl RunEdit {
    /// The edits in a journal, in the order in which they were asked for. `plugins` are the components that the run
    /// began with.
    #[must_use]
    pub fn all(journal: &[Entry], plugins: &[PluginEntry]) -> Vec<Self> {
        let mut edits = BTreeMap::<u64, Self>::new();
        let mut live = plugins;
        for Entry { time, event } in journal {
            match event {
                Event::Candidate { number, origin } => {
                    let edit = Self {
                        number: *number,
                        asked: *time,
                        origin: origin.clone(),
                        verdict: None,
                        live: None,
                        undone: Vec::new(),
                    };
                    edits.insert(*number, edit);
                }
                Event::Verdict { number, verdict } => {
                    if let Some(edit) = edits.get_mut(number) {
                        edit.verdict = Some(verdict.clone());
                    }
                }
                Event::Swap { revision, epoch, step, changes, plugins } => {
                    if let Some(edit) = edits.get_mut(revision) {
                        let changes = changes.clone();
                        edit.live =
                            Some(Taken { epoch: *epoch, step: *step, changes, plugins: exchanged(live, plugins) });
                    }
                    live = plugins;
                }
                Event::Rollback { revision, to, epoch, step, failed_at, reason, plugins, .. } => {
                    if let Some(edit) = edits.get_mut(revision) {
                        let (epoch, step, failed_at, to) = (*epoch, *step, *failed_at, *to);
                        edit.undone.push(Undone { epoch, step, failed_at, to, reason: reason.clone() });
                    }
                    live = plugins;
                }
                Event::Started { .. }
                | Event::Checkpoint { .. }
                | Event::Finished { .. }
                | Event::StoppedEarly { .. }
                | Event::Interrupted { .. }
                | Event::Failed { .. }
                | Event::DataChanged { .. }
                | Event::DataMoved { .. }
                | Event::Ranks { .. }
                | Event::Control { .. } => {}
            }
        }
        edits.into_values().collect()
    }
}

fn exchanged(before: &[PluginEntry], after: &[PluginEntry]) -> Vec<Exchange> {
    let of = |plugin: &PluginEntry| {
        let before = before.iter().find(|before| before.slot == plugin.slot).map(|before| before.hash.clone());
        (before.as_ref() != Some(&plugin.hash)).then(|| Exchange { plugin: plugin.clone(), before })
    };
    after.iter().filter_map(of).collect()
}

impl Run {
    /// How the sources of two components differ, as a unified diff; empty where they are not kept of both, or are
    /// equal.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn source_diff(&self, before: &str, after: &str) -> Result<String, RunError> {
        let (before, after) = (self.sources(before)?, self.sources(after)?);
        if before.is_empty() || after.is_empty() {
            return Ok(String::new());
        }
        let text = |files: &BTreeMap<String, Vec<u8>>, name: &str| {
            files.get(name).map(|content| String::from_utf8_lossy(content).into_owned()).unwrap_or_default()
        };
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let diff = |name: &String| {
            let (before, after) = (text(&before, name), text(&after, name));
            TextDiff::from_lines(&before, &after).unified_diff().header(name, name).to_string()
        };
        Ok(names.into_iter().filter(|name| before.get(*name) != after.get(*name)).map(diff).collect())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn an_edit_has_its_verdict_its_swap_and_its_end() {
        let plugin = |hash: &str| PluginEntry {
            slot: "objective.0.loss".into(),
            role: "loss".into(),
            strategy: "triplet".into(),
            hash: hash.into(),
        };
        let refused = Verdict::Refused { reason: "no".into(), help: None };
        let events = [
            Event::Candidate { number: 1, origin: "src/lib.rs".into() },
            Event::Verdict { number: 1, verdict: refused.clone() },
            Event::Candidate { number: 2, origin: "set epochs=3".into() },
            Event::Swap { revision: 2, epoch: 1, step: 10, changes: vec![], plugins: vec![plugin("b")] },
            Event::Rollback {
                revision: 2,
                to: 0,
                epoch: 1,
                step: 10,
                failed_at: 12,
                reason: "NaN".into(),
                quarantined: vec![],
                plugins: vec![plugin("a")],
            },
            Event::Candidate { number: 3, origin: "x".into() },
            Event::Swap { revision: 3, epoch: 2, step: 20, changes: vec![], plugins: vec![plugin("c")] },
        ];
        let journal: Vec<_> = events.map(|event| Entry { time: Timestamp::UNIX_EPOCH, event }).into();
        let [first, second, third] = RunEdit::all(&journal, &[plugin("a")]).try_into().unwrap();
        assert_eq!((first.verdict, first.live), (Some(refused), None));
        let exchanged = |edit: &RunEdit| edit.live.as_ref().unwrap().plugins.clone();
        assert_eq!(exchanged(&second), [Exchange { plugin: plugin("b"), before: Some("a".into()) }]);
        assert_eq!((second.undone[0].failed_at, second.undone[0].reason.as_str()), (12, "NaN"));
        // What took over after the rollback is what it is compared with.
        assert_eq!(exchanged(&third), [Exchange { plugin: plugin("c"), before: Some("a".into()) }]);
    }

    #[test]
    fn sources_differ_as_a_unified_diff() {
        let root = tempfile::tempdir().unwrap();
        let run = Run::create(root.path(), "run").unwrap();
        run.store_sources("1", [("lib.rs", b"a\nb\n".as_slice()), ("same", b"x")]).unwrap();
        run.store_sources("2", [("lib.rs", b"a\nc\n".as_slice()), ("same", b"x")]).unwrap();
        let expected = "--- lib.rs\n+++ lib.rs\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n";
        assert_eq!(run.source_diff("1", "2").unwrap(), expected);
        assert_eq!((run.source_diff("1", "1").unwrap(), run.source_diff("1", "3").unwrap()), Default::default());
    }
}
