//! A session with a training whose batches are computed in parts.

use super::driver::Live;
use crate::support::{Lab, MINED_TRIPLETS};

const PARTS: &str = "training.micro-batch=16";

#[test]
fn an_edit_is_checked_on_the_whole_batch_and_survives_a_kill() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &[PARTS]);
    let verdict = live.edit("margin = 0.2", "margin = 0.5");
    assert_eq!(verdict["verdict"], "accepted", "{verdict}");
    assert!(verdict["canary"]["loss"].as_f64().unwrap() > verdict["canary"]["live-loss"].as_f64().unwrap());
    live.event("swap");
    let run = live.kill();
    let mut live = Live::resume_with(&lab, &run, &[]);
    live.event("epoch");
    live.stop_and_replay();
}

#[test]
fn the_size_of_parts_may_change_between_two_epochs() {
    let lab = Lab::new(MINED_TRIPLETS);
    let mut live = Live::start(&lab, &[]);
    live.swap("[run]", "[training]\nmicro-batch = 16\n\n[run]");
    live.event("epoch");
    live.swap("micro-batch = 16", "micro-batch = 10");
    live.event("epoch");
    live.swap("[training]\nmicro-batch = 10\n", "");
    live.stop_and_replay();
}

#[test]
fn a_shadow_sees_the_gradient_of_the_whole_batch() {
    let same = "objective = { loss = { plugin = \"losses\", strategy = \"triplet\", params = { margin = 0.2 } }, \
                miner = { plugin = \"miners\", strategy = \"batch-hard\" } }";
    let lab = Lab::new(&format!("{MINED_TRIPLETS}\n[[shadow]]\nname = \"same\"\n{same}\n"));
    let mut live = Live::start(&lab, &[PARTS, "session.shadow-share=0.9"]);
    while live.run.values("step", "shadow.same/loss").len() < 5 {
        live.event("epoch");
    }
    let run = live.stop_and_replay();
    let rows = run.rows("step");
    let shaded = rows.iter().filter(|row| row["values"]["shadow.same/loss"].is_f64());
    for row in shaded {
        let value = |name: &str| row["values"][name].as_f64().unwrap();
        assert_eq!(value("shadow.same/loss"), value("objective.0"), "{row}");
        // Where no triplet is within the margin there is no gradient.
        let (cosine, norm) = (value("shadow.same/cosine"), value("shadow.same/gradient-norm"));
        assert!(norm == 0.0 || (cosine - 1.0).abs() < 1e-5, "{row}");
    }
}

#[test]
fn a_fault_in_a_step_in_parts_leads_back() {
    let later = r#"
[[objective]]
loss = { plugin = "proxies", strategy = "proxy-anchor" }

[[objective]]
loss = { plugin = "evil", strategy = "evil-later", params = { how = "", after = 0 } }
"#;
    let lab = Lab::new(later);
    let mut live = Live::start(&lab, &[PARTS]);
    let (_, next) = live.pause();
    let verdict = live.edit("how = \"\", after = 0", &format!("how = \"nan\", after = {}", next + 2));
    assert_eq!(verdict["verdict"], "accepted", "{verdict}");
    live.go_on();
    live.event("rollback");
    live.stop_and_replay();
}
