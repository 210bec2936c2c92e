//! Plugins end to end: real components, loaded and called by the library and by the binary.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic what is wrong")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../training/support/data.rs"]
#[expect(dead_code, reason = "the tests of trainings need more of it")]
mod data;

mod balances;
mod catalogue;
mod check;
mod command_line;
mod determinism;
mod evil;
mod fixture;
mod fusions;
mod golden;
mod guide;
mod hostile;
mod languages;
mod limits;
mod load;
mod micro_batches;
mod miners;
mod multi_threshold;
mod native_losses;
mod operations;
mod pairs;
mod peers;
mod programs;
mod proxies;
mod rankings;
mod reducers;
mod roles;
mod scaffold;
mod schedules;
mod slow;
mod transfers;
mod waits;
