//! Attacks that come out only after the call, in a training that is edited: the gate refuses them, or the training goes
//! back.

use super::driver::{Live, journal};
use crate::sandbox::{fusion, loss};

#[test]
fn what_fails_backward_in_the_first_steps_leads_back_to_the_revision_before() {
    let lab = loss("how = \"\", after = 0");
    let mut live = Live::start(&lab, &[]);
    // At once: the gate finds it.
    live.pause();
    let verdict = live.edit("how = \"\", after = 0", "how = \"no-backward\", after = 0");
    assert_eq!(verdict["verdict"], "refused", "{verdict}");
    let reason = verdict["reason"].as_str().unwrap();
    assert!(reason.contains("loss `attack`: operation `backward` failed"), "{reason}");
    live.go_on();
    // Later: the training does.
    let (_, next) = live.pause();
    let later = format!("how = \"no-backward\", after = {}", next + 2);
    let verdict = live.edit("how = \"no-backward\", after = 0", &later);
    assert_eq!(verdict["verdict"], "accepted", "{verdict}");
    live.go_on();
    live.event("swap");
    let rollback = live.event("rollback");
    assert_eq!((&rollback["failed_at"], &rollback["to"]), (&(next + 2).into(), &0.into()), "{rollback}");
    assert!(rollback["reason"].as_str().unwrap().contains("loss `attack`: operation `backward` failed"), "{rollback}");
    let run = live.stop_and_replay();
    assert_eq!(journal(&run, "rollback").len(), 1);
}

#[test]
fn a_fusion_that_changes_its_shape_with_the_batch_is_refused_by_the_gate() {
    let lab = fusion("how = \"\", after = 0");
    let mut live = Live::start(&lab, &[]);
    live.pause();
    for (from, to, phrase) in [
        ("how = \"\"", "how = \"by-size\"", "columns where it returned"),
        ("how = \"by-size\"", "how = \"detach\"", "a value without gradient"),
        ("how = \"detach\"", "how = \"no-backward\"", "operation `backward` failed"),
        ("how = \"no-backward\"", "how = \"zero\"", "a fused embedding of shape"),
    ] {
        let verdict = live.edit(from, to);
        let reason = verdict["reason"].as_str().unwrap_or_default();
        assert!(verdict["verdict"] == "refused" && reason.contains("fusion `attack`"), "{to}: {verdict}");
        assert!(reason.contains(phrase), "{to}: {reason}");
    }
    live.go_on();
    live.stop_and_replay();
}
