//! One seed, one result.

use crate::support::{Lab, PROXIES};

#[test]
fn a_seed_gives_the_same_run_to_the_last_bit_with_any_number_of_workers() {
    let lab = Lab::new(PROXIES);
    let first = lab.train(&[]);
    for workers in ["data.workers=1", "data.workers=3"] {
        let again = lab.train(&[workers]);
        assert_eq!(first.files("checkpoints"), again.files("checkpoints"));
        for checkpoint in ["epoch-0001", "epoch-0002", "best"] {
            assert!(first.checkpoint(checkpoint) == again.checkpoint(checkpoint), "{workers}: {checkpoint} differs");
        }
        assert_eq!(first.text("metrics.jsonl"), again.text("metrics.jsonl"), "{workers}");
    }
    let other = lab.train(&["seed=2"]);
    assert!(first.part("epoch-0001", "model/") != other.part("epoch-0001", "model/"));
    assert_ne!(first.text("metrics.jsonl"), other.text("metrics.jsonl"));
}
