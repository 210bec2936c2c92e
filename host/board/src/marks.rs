//! Where a run was edited, on the axis of its curves.

use std::collections::BTreeMap;

use lossmith_run::RunEdit;
use serde::Serialize;

/// What happened at one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Mark {
    step: u64,
    epoch: u64,
    /// `r3`, and `↩ r2` of a rollback.
    label: String,
    /// Whether everything that became live here was undone.
    undone: bool,
    /// The numbers of the edits.
    edits: Vec<u64>,
}

/// The marks of edits, in the order of their steps.
pub(crate) fn marks(edits: &[RunEdit]) -> Vec<Mark> {
    let mut found = BTreeMap::<u64, Mark>::new();
    let mut add = |step, epoch, label: String, undone: bool, number| {
        let new = || Mark { step, epoch, label: String::new(), undone, edits: Vec::new() };
        let mark = found.entry(step).or_insert_with(new);
        mark.label += if mark.label.is_empty() { "" } else { " " };
        mark.label += &label;
        mark.undone &= undone;
        if !mark.edits.contains(&number) {
            mark.edits.push(number);
        }
    };
    for edit in edits {
        if let Some(live) = &edit.live {
            add(live.step, live.epoch, format!("r{}", edit.number), !edit.undone.is_empty(), edit.number);
        }
        for undone in &edit.undone {
            add(undone.step, undone.epoch, format!("↩ r{}", undone.to), true, edit.number);
        }
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use lossmith_run::{Taken, Undone};

    #[test]
    fn a_swap_and_its_rollback_at_one_step_are_one_mark() {
        let edit = |number, step: Option<u64>, undone: Vec<Undone>| RunEdit {
            number,
            asked: Timestamp::UNIX_EPOCH,
            origin: String::new(),
            verdict: None,
            live: step.map(|step| Taken { epoch: 1, step, changes: vec![], plugins: vec![] }),
            undone,
        };
        let undone = Undone { epoch: 1, step: 10, failed_at: 12, to: 0, reason: String::new() };
        let edits = [edit(1, Some(10), vec![undone]), edit(2, None, vec![]), edit(3, Some(20), vec![])];
        let mark = |step, label: &str, undone, number| {
            let label = label.to_owned();
            Mark { step, epoch: 1, label, undone, edits: vec![number] }
        };
        assert_eq!(marks(&edits), [mark(10, "r1 ↩ r0", true, 1), mark(20, "r3", false, 3)]);
    }
}
