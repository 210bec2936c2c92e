//! Sweeps: many trainings of one experiment, the table of what came out, and the curve over the value that was varied.
//!
//! ```text
//! sweep file --[load]--> SweepConfig --[plan]--> Plan, whose runs are sources of experiments
//!   --[conduct]--> selection runs --[selection]--> runs with the chosen values --[test_part]--> their test parts
//!   --[results]--> results.json, table.md, curve-SETTING.svg
//! ```
//!
//! Nothing is kept about the state of a sweep but the test values: its runs are found again in their folder, by the
//! text of their experiment, the components that they ran, and the digests of their data and of the files of their
//! networks.

mod conduct;
mod config;
mod curve;
mod error;
mod existing_runs;
mod input_digests;
mod load;
mod placeholders;
mod plan;
mod points;
mod reserved_keys;
mod results;
mod selection;
mod table;
mod test_part;
mod vary;
mod write;

pub use conduct::{Complete, SweepEvent, SweepOptions, conduct};
pub use config::{MethodConfig, PrepareConfig, SettingConfig, SweepConfig};
pub use error::SweepError;
pub use load::{Sweep, schema};
pub use results::{Results, RunOutcome};
pub use table::Table;
pub use vary::{Scale, SearchConfig, VaryConfig};
