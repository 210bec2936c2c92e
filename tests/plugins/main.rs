//! Plugins end to end: real components, loaded and called by the library and by the binary.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic what is wrong")]

#[path = "../support/mod.rs"]
mod support;

mod balances;
mod command_line;
mod determinism;
mod evil;
mod fixture;
mod fusions;
mod golden;
mod limits;
mod load;
mod multi_threshold;
mod operations;
mod pairs;
mod roles;
mod schedules;
mod slow;
mod transfers;
