//! What each revision of a run changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;

use serde::Serialize;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::{Change, PluginEntry, Run, RunError};

/// So many changed lines of a file are shown; of more, how many there are.
const SHOWN: usize = 12;

/// A revision beside the one that was at work before it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RevisionChange {
    /// Its number.
    pub revision: u64,
    /// Epochs that were complete when it was taken.
    pub epoch: u64,
    /// What changed in the experiment.
    pub changes: Vec<Change>,
    /// Components that changed.
    pub plugins: Vec<PluginChange>,
}

/// A component in place of another.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PluginChange {
    /// Where it is bound: `objective.0.loss`.
    pub slot: String,
    /// Its strategy.
    pub strategy: String,
    /// SHA-256 of the component before; none where there was none.
    pub before: Option<String>,
    /// SHA-256 of the component.
    pub hash: String,
    /// What changed in its sources, where those of both are kept.
    pub sources: Vec<SourceChange>,
}

/// A file of a component's sources that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SourceChange {
    /// Its place in `sources/SHA256/`.
    pub file: String,
    /// How many lines it has that the one before had not.
    pub added: usize,
    /// How many lines the one before had that it has not.
    pub removed: usize,
    /// These lines with `+` or `-` before them, if they are few.
    pub lines: Vec<String>,
}

impl Run {
    /// What each revision changed against the one that was at work before, in the order in which they were at work.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn history(&self) -> Result<Vec<RevisionChange>, RunError> {
        let revisions = self.revisions()?;
        let pairs = revisions.iter().zip(revisions.iter().skip(1));
        pairs
            .map(|((_, from, before), (epoch, to, after))| {
                let changes = Change::all(&self.experiment_of(*from)?, &self.experiment_of(*to)?);
                let plugins = self.plugin_changes(before, after)?;
                Ok(RevisionChange { revision: *to, epoch: *epoch, changes, plugins })
            })
            .collect()
    }

    /// The experiment of a revision, whatever its keys are.
    fn experiment_of(&self, revision: u64) -> Result<Value, RunError> {
        let path = self.revision(revision)?.experiment;
        let text = fs::read_to_string(&path).map_err(RunError::io("read", &path))?;
        toml::from_str(&text).map_err(RunError::damaged(&path))
    }

    fn plugin_changes(&self, before: &[PluginEntry], after: &[PluginEntry]) -> Result<Vec<PluginChange>, RunError> {
        let mut found = Vec::new();
        for plugin in after {
            let before = before.iter().find(|before| before.slot == plugin.slot).map(|before| before.hash.clone());
            if before.as_ref() == Some(&plugin.hash) {
                continue;
            }
            let sources = match &before {
                Some(before) => differences(&self.sources(before)?, &self.sources(&plugin.hash)?),
                None => Vec::new(),
            };
            let (slot, strategy, hash) = (plugin.slot.clone(), plugin.strategy.clone(), plugin.hash.clone());
            found.push(PluginChange { slot, strategy, before, hash, sources });
        }
        Ok(found)
    }
}

/// Nothing if one of the two is not kept.
fn differences(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) -> Vec<SourceChange> {
    if before.is_empty() || after.is_empty() {
        return Vec::new();
    }
    let text = |files: &BTreeMap<String, Vec<u8>>, name: &str| {
        files.get(name).map(|content| String::from_utf8_lossy(content).into_owned()).unwrap_or_default()
    };
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    changed.map(|name| difference(name, &text(before, name), &text(after, name))).collect()
}

fn difference(file: &str, before: &str, after: &str) -> SourceChange {
    let diff = TextDiff::from_lines(before, after);
    let of = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    let (added, removed) = (of(ChangeTag::Insert), of(ChangeTag::Delete));
    let lines = diff.iter_all_changes().filter_map(|change| {
        let mark = match change.tag() {
            ChangeTag::Equal => return None,
            ChangeTag::Insert => '+',
            ChangeTag::Delete => '-',
        };
        Some(format!("{mark} {}", change.value().trim_end()))
    });
    let lines = if added + removed <= SHOWN { lines.collect() } else { Vec::new() };
    SourceChange { file: file.to_owned(), added, removed, lines }
}

impl fmt::Display for RevisionChange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "from epoch {} on, revision {}", self.epoch + 1, self.revision)?;
        for change in &self.changes {
            write!(out, "\n  {change}")?;
        }
        for PluginChange { slot, strategy, before, hash, sources } in &self.plugins {
            let short = |hash: &str| hash.get(..12).unwrap_or_default().to_owned();
            let before = before.as_deref().map_or("(none)".to_owned(), short);
            write!(out, "\n  {slot} {strategy}: component {before} -> {}", short(hash))?;
            for SourceChange { file, added, removed, lines } in sources {
                write!(out, "\n    {file}: {added} lines added, {removed} removed")?;
                lines.iter().try_for_each(|line| write!(out, "\n      {line}"))?;
            }
        }
        if self.changes.is_empty() && self.plugins.is_empty() { out.write_str("\n  nothing changed") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_changed_lines_are_shown_and_many_are_counted() {
        let found = difference("src/lib.rs", "a\nb\nc\n", "a\nx\nc\nd\n");
        assert_eq!((found.added, found.removed), (2, 1));
        assert_eq!(found.lines, ["- b", "+ x", "+ d"]);
        let many: String = (0..20).map(|line| format!("{line}\n")).collect();
        let found = difference("src/lib.rs", "", &many);
        assert_eq!((found.added, found.removed, found.lines.len()), (20, 0, 0));
    }
}
