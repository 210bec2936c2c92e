//! What passes the checks and fails at work.

use super::driver::{Live, journal};
use crate::support::Lab;

/// A loss that behaves up to a step.
pub(super) const LATER: &str = r#"
[[objective]]
loss = { plugin = "proxies", strategy = "proxy-anchor" }

[[objective]]
loss = { plugin = "evil", strategy = "evil-later", params = { how = "", after = 0 } }
"#;

const LIMITS: [&str; 5] = [
    "limits.fuel=20000000",
    "limits.memory-bytes=8388608",
    "limits.handles=2000",
    "limits.deadline-ms=2000",
    "limits.host-elements=100000000",
];

#[test]
fn every_fault_in_the_first_steps_leads_back_to_the_revision_before() {
    let lab = Lab::new(LATER);
    let mut live = Live::start(&lab, &LIMITS);
    let hows = [
        "panic",
        "spin",
        "grow",
        "handles",
        "allocate",
        "nan",
        "infinity",
        "no-gradient",
        "matrix",
        "unreachable",
        "error",
        "with-gradients-shape",
        "with-gradients-nan",
        "log",
        "forged",
        "buffer-shape",
        "copies",
    ];
    for how in hows {
        let (_, next) = live.pause();
        let verdict = live.edit("how = \"\", after = 0", &format!("how = \"{how}\", after = {}", next + 2));
        assert_eq!(verdict["verdict"], "accepted", "{how}: {verdict}");
        live.go_on();
        live.event("swap");
        let rollback = live.event("rollback");
        assert_eq!((&rollback["step"], &rollback["to"]), (&next.into(), &0.into()), "{how}: {rollback}");
        assert_eq!(rollback["failed_at"], next + 2, "{how}: {rollback}");
        let (_, later) = live.pause();
        assert!(later >= next, "{how}");
        lab.replace(&format!("how = \"{how}\", after = {}", next + 2), "how = \"\", after = 0");
        assert_eq!(live.verdict()["verdict"], "same", "{how}");
        live.go_on();
    }
    let run = live.stop_and_replay();
    assert_eq!(journal(&run, "rollback").len(), hows.len());
    // Its numbers are those of a run in which nothing was edited.
    let epochs = run.rows("epoch").len();
    let sets = ["evaluation.test=false", "evaluation.every=1000000", "name=clean"];
    let clean = lab.train(&[&sets[..], &[&format!("epochs={epochs}")]].concat());
    assert_eq!(run.rows("epoch"), clean.rows("epoch"));
}
