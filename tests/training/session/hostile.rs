//! Files that would keep the gate busy for ever: each is refused, and the next edit gets its verdict.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::driver::{Live, component, journal};
use crate::support::Lab;

const OWN: &str = r#"
[[objective]]
loss = { plugin = "live.wasm", strategy = "triplet", params = { margin = 0.2 } }
"#;

#[test]
fn the_gate_goes_on_after_a_file_that_never_ends() {
    let lab = Lab::new(OWN);
    component(&lab, "live.wasm", "losses", 0);
    let mut live = Live::start(&lab, &[]);
    let into_place = |name: &str| fs::rename(lab.path(name), lab.path("live.wasm")).unwrap();

    // 1,000 locals and 20,000 branches, which take a compiler a gigabyte.
    let branches = "(if (local.get 0) (then (local.set 0 (i32.const 1))))".repeat(20_000);
    let module = format!("(core module (func (local{}) {branches}))", " i32".repeat(1000));
    let contract = "(instance $d) (export \"lossmith:plugin/describe@0.1.3\" (instance $d))";
    fs::write(lab.path("bomb"), wat::parse_str(format!("(component {module} {contract})")).unwrap()).unwrap();
    into_place("bomb");
    let verdict = live.verdict();
    assert!(verdict["reason"].as_str().unwrap().contains("function-work"), "{verdict}");

    assert!(Command::new("mkfifo").arg(lab.path("fifo")).status().unwrap().success());
    into_place("fifo");
    let verdict = live.verdict();
    assert!(verdict["reason"].as_str().unwrap().contains("it is a FIFO"), "{verdict}");

    symlink("/dev/zero", lab.path("endless")).unwrap();
    into_place("endless");
    let verdict = live.verdict();
    assert!(verdict["reason"].as_str().unwrap().contains("it is a device"), "{verdict}");

    component(&lab, "live.wasm", "losses", 1);
    assert_eq!(live.verdict()["verdict"], "accepted");
    live.event("swap");
    let run = live.stop_and_replay();
    assert_eq!(journal(&run, "swap").len(), 1);
}
