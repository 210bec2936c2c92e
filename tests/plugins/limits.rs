//! Each limit: what it lets through, and the first value that it does not.

use std::sync::Arc;

use lossmith_plugin::{Cause, Limits, Role, Setting};
use serde_json::json;
use tch::Kind;

use crate::fixture::{batch, epoch, setting, slot};

/// Limits with one of them set, by its key in an experiment file.
fn limits(key: &str, value: u64) -> Arc<Limits> {
    let mut all = serde_json::to_value(Limits::default()).unwrap();
    assert!(all.get(key).is_some(), "there is no limit {key}");
    all[key] = json!(value);
    Arc::new(serde_json::from_value(all).unwrap())
}

/// A call that spends an amount against a limit of some value.
fn spend(key: &str, amount: u64, value: u64) -> Result<(), Box<Cause>> {
    let setting = Setting { limits: limits(key, value), ..setting() };
    let mut slot =
        slot("lossmith-test-operations", Role::Loss, "spend", json!({ "limit": key, "amount": amount }), setting);
    slot.loss(batch(4, 6, Kind::Double), &epoch(0)).map(drop).map_err(|error| error.cause)
}

/// What the call wanted, of a cause that must be this limit.
fn wanted(key: &str, value: u64, cause: &Cause) -> Option<u64> {
    match cause {
        Cause::Limit { limit, value: found, wanted, .. } if *limit == key && *found == value => *wanted,
        other => panic!("{key} = {value}: {other}"),
    }
}

/// The least value of a limit under which the call ends well. One less is refused, by this limit.
fn least(key: &str, amount: u64) -> u64 {
    let (mut refused, mut enough) = (0_u64, 200_000_000);
    spend(key, amount, enough).unwrap();
    while enough - refused > 1 {
        let middle = refused.midpoint(enough);
        match spend(key, amount, middle) {
            Ok(()) => enough = middle,
            Err(cause) => {
                // It is told where it is known before it is used.
                let wanted = wanted(key, middle, &cause);
                assert!(wanted.is_none_or(|wanted| wanted > middle), "{key} = {middle}: {wanted:?} is enough");
                refused = middle;
            }
        }
    }
    enough
}

#[test]
fn every_limit_has_a_test() {
    // A new limit does not compile here, nor has it a test.
    let Limits {
        fuel: _,
        deadline_ms: _,
        memory_bytes: _,
        host_elements: _,
        tensor_bytes: _,
        handles: _,
        rank: _,
        tensor_elements: _,
        list_elements: _,
        log_bytes: _,
        metrics: _,
        metric_names: _,
        tuples: _,
        fused_columns: _,
        fused_bytes: _,
        // What a slot keeps of its own accord; `programs.rs` has their tests.
        programs: _,
        program_operations: _,
        fuse: _,
        matrix_bytes: _,
        state_bytes: _,
        state_tensors: _,
        // Those of loading are in `hostile.rs`.
        description_bytes: _,
        component_bytes: _,
        entries: _,
        functions: _,
        function_bytes: _,
        function_locals: _,
        function_work: _,
        compile_work: _,
    } = Limits::default();
}

#[test]
fn sizes_are_limited_exactly() {
    for (key, amount, expected) in [
        ("rank", 6, 6),
        ("tensor-elements", 1000, 1000),
        ("list-elements", 1000, 1000),
        ("log-bytes", 1000, 1000),
        ("metrics", 40, 40),
        // 64-bit floats, under a name of five bytes.
        ("state-bytes", 1000, 8005),
    ] {
        assert_eq!(least(key, amount), expected, "{key}");
    }
}

#[test]
fn what_is_replaced_lives_beside_what_replaces_it() {
    let grown = |per_class: i64, setting| {
        slot("lossmith-test-roles", Role::Loss, "grown-proxies", json!({ "per-class": per_class }), setting)
    };
    // 64-bit floats: of each of two classes a proxy of four numbers, and a counter; then twice as much. Names count,
    // too.
    let names = ("proxies".len() + "seen".len()) as u64;
    let (kept, new) = (8 * (2 * 4 + 1) + names, 8 * (4 * 4 + 2) + names);
    let grow = |value: u64| {
        let mut before = grown(1, setting());
        drop(before.loss(batch(6, 4, Kind::Double), &epoch(0)).unwrap());
        let mut after = grown(2, Setting { limits: limits("state-bytes", value), ..setting() });
        *after.state_mut() = std::mem::take(before.state_mut());
        after.loss(batch(6, 4, Kind::Double), &epoch(1)).map(drop).map_err(|error| error.cause)
    };
    grow(kept + new).unwrap();
    let refused = grow(kept + new - 1).unwrap_err();
    assert_eq!(wanted("state-bytes", kept + new - 1, &refused), Some(kept + new));
}

#[test]
fn what_a_call_uses_adds_up() {
    // What each more of the amount costs; the rest of the call has a cost of its own.
    for (key, each) in [("host-elements", 1), ("tensor-bytes", 8), ("handles", 1)] {
        let (some, more) = (least(key, 1000), least(key, 1700));
        assert_eq!(more - some, 700 * each, "{key}");
    }
}

#[test]
fn what_a_miner_and_a_fusion_return_is_limited_exactly() {
    let call = |role, params, key: &str, value| {
        let setting = Setting { limits: limits(key, value), ..setting() };
        let mut slot = slot("lossmith-evil", role, "attack", params, setting);
        let input = batch(12, 6, Kind::Double);
        let outcome = match role {
            Role::Miner => slot.mine(input, &epoch(0)).map(drop),
            _ => slot.fuse(lossmith_plugin::Input { labels: None, ..input }, &epoch(0)).map(drop),
        };
        outcome.map_err(|error| error.cause)
    };
    for how in ["triplets", "pairs"] {
        let mine = |value| call(Role::Miner, json!({ "how": how, "n": 100 }), "tuples", value);
        mine(100).unwrap();
        assert_eq!(wanted("tuples", 99, &mine(99).unwrap_err()), Some(100));
    }
    let fuse = |value| call(Role::Fusion, json!({ "how": "wide", "n": 100 }), "fused-columns", value);
    fuse(100).unwrap();
    assert_eq!(wanted("fused-columns", 99, &fuse(99).unwrap_err()), Some(100));
    // 10 embeddings of 100 numbers in 64 bits.
    let joined = |value| {
        let setting = Setting { limits: limits("fused-bytes", value), ..setting() };
        let slot = slot("lossmith-evil", Role::Fusion, "attack", json!({}), setting);
        slot.joined(10, 100).map_err(|error| error.cause)
    };
    joined(8000).unwrap();
    assert_eq!(wanted("fused-bytes", 7999, &joined(7999).unwrap_err()), Some(8000));
}

#[test]
fn fuel_is_counted_exactly_and_the_same_each_time() {
    let (some, more) = (least("fuel", 1000), least("fuel", 2000));
    assert!(more >= some + 1000, "{some} and {more}");
    assert_eq!(least("fuel", 1000), some);
}

#[test]
fn memory_is_counted_in_pages() {
    const PAGE: u64 = 65536;
    let (some, more) = (least("memory-bytes", 20 * PAGE), least("memory-bytes", 60 * PAGE));
    // Besides pages there is the table of its functions, of 8 bytes each.
    assert_eq!((some % PAGE, some % 8), (more % PAGE, 0));
    assert!((39 * PAGE..=41 * PAGE).contains(&(more - some)), "{some} and {more}");
}

#[test]
fn a_call_ends_at_its_deadline() {
    let limits = Arc::new(Limits { deadline_ms: 20, fuel: u64::MAX, ..Limits::default() });
    let mut endless =
        slot("lossmith-evil", Role::Loss, "evil", json!({ "how": "spin" }), Setting { limits, ..setting() });
    let error = endless.loss(batch(6, 4, Kind::Double), &epoch(1)).unwrap_err();
    assert!(matches!(*error.cause, Cause::Limit { limit: "deadline-ms", value: 20, .. }), "{error}");
    // A call that has an end, well before its deadline.
    let limits = Arc::new(Limits { deadline_ms: 60_000, ..Limits::default() });
    let params = json!({ "limit": "fuel", "amount": 1000 });
    let mut brief = slot("lossmith-test-operations", Role::Loss, "spend", params, Setting { limits, ..setting() });
    brief.loss(batch(6, 4, Kind::Double), &epoch(1)).map(drop).unwrap();
}

#[test]
fn handles_can_be_raised_above_the_engines_own_limit() {
    spend("handles", 150_000, 200_000).unwrap();
    let refused = spend("handles", 100_000, Limits::default().handles.into());
    wanted("handles", Limits::default().handles.into(), &refused.unwrap_err());
}
