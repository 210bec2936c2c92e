//! Edits of a training by several ranks: all take a revision, and all go back from one.

use super::driver::{Live, journal};
use super::rollback::LATER;
use crate::support::Lab;

/// By two ranks, with these settings.
fn launched<'a>(rest: &[&'a str], sets: &[&'a str]) -> Vec<&'a str> {
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let words = ["--json", "launch", "-n", "2", "experiment.toml"];
    words.into_iter().chain(rest.iter().copied()).chain(sets).collect()
}

#[test]
fn ranks_take_revisions_and_go_back_together() {
    let lab = Lab::new(LATER);
    let sets = ["epochs=1000000", "session.quiet-ms=20", "evaluation.every=1000000", "run.keep=3"];
    let mut live = Live::of(&lab, lab.command(&launched(&["--watch"], &sets)));
    // Nothing comes of it but a revision.
    let swapped = live.swap("how = \"\", after = 0", "how = \"\", after = 1");
    assert_eq!(swapped["revision"], 1, "{swapped}");
    let hows = ["panic", "nan", "no-gradient"];
    for how in hows {
        let (_, next) = live.pause();
        let edit = format!("how = \"{how}\", after = {}", next + 2);
        let verdict = live.edit("how = \"\", after = 1", &edit);
        assert_eq!(verdict["verdict"], "accepted", "{how}: {verdict}");
        live.go_on();
        live.event("swap");
        let rollback = live.event("rollback");
        assert_eq!((&rollback["step"], &rollback["to"]), (&next.into(), &1.into()), "{how}: {rollback}");
        live.pause();
        lab.replace(&edit, "how = \"\", after = 1");
        assert_eq!(live.verdict()["verdict"], "same", "{how}");
        live.go_on();
    }
    live.event("epoch");
    live.command_done("stop");
    let (outcome, run) = live.finish();
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
    assert_eq!(journal(&run, "rollback").len(), hows.len());
    // Its numbers are those of a run in which nothing was edited.
    let epochs = format!("epochs={}", run.rows("epoch").len());
    let clean = lab.lossmith(&launched(&[], &[&epochs, "evaluation.every=1000000", "evaluation.test=false"])).ok();
    assert_eq!(run.rows("epoch"), lab.run_of(&clean).rows("epoch"));
}
