//! Whole trainings with the real command: small data, real components, and what a user sees of both.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bad_data;
mod bad_experiments;
mod best_checkpoint;
mod builds;
mod changed_data;
mod classification;
mod commands;
mod config;
mod corrupted_files;
mod data_commands;
mod deployment;
mod determinism;
mod devices;
mod directory;
mod export;
mod expressions;
mod faults;
mod finished_runs;
mod folds;
mod fusions;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the tests of plugins need more of it")]
mod guests;
mod install;
mod learning;
mod micro_batches;
mod modules;
mod network_files;
mod not_finite;
mod objectives;
mod old_runs;
mod own_data;
mod plugin_crates;
mod ranks;
mod resume;
mod retrieve;
mod sandbox;
mod session;
mod signals;
mod standard;
mod support;
mod sweep_changes;
mod sweep_files;
mod sweeps;
mod teacher;
mod thresholds;
mod waits;
