//! What the slots keep when their code is exchanged.

use super::driver::{Live, journal};
use crate::support::Lab;

const GROWN: &str = r#"
[[objective]]
loss = { plugin = "test-roles", strategy = "grown-proxies", params = { per-class = 1, migrate = true } }
"#;

#[test]
fn a_shape_is_migrated_refused_or_begun_anew() {
    let lab = Lab::new(GROWN);
    let mut live = Live::start(&lab, &[]);
    live.swap("per-class = 1", "per-class = 3");
    live.event("epoch");
    let verdict = live.edit("per-class = 3, migrate = true", "per-class = 2, migrate = false");
    let reason = verdict["reason"].as_str().unwrap();
    assert!(reason.contains("objective.0.loss keeps `proxies` of shape [30, 8]"), "{verdict}");
    assert!(verdict["help"].as_str().unwrap().contains("reset = [\"proxies\"]"), "{verdict}");
    let verdict = live.edit("migrate = false }", "migrate = false }, reset = [\"proxies\", \"seen\"]");
    assert_eq!(verdict["verdict"], "accepted", "{verdict}");
    assert_eq!(verdict["reset"], serde_json::json!(["objective.0.loss/proxies", "objective.0.loss/seen"]));
    live.event("swap");
    live.event("epoch");
    let run = live.stop_and_replay();
    let rows = run.values("epoch", "objective.0.loss/rows");
    let mut seen = rows.clone();
    seen.dedup();
    assert_eq!(seen, [10.0, 30.0, 20.0], "{rows:?}");
    assert_eq!(journal(&run, "rollback").len(), 0);
}
