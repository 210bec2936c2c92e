//! `lossmith plugin check`: whether a component does what its contract and its own description say.
//!
//! A subject is one strategy with one choice of parameters; everything that is checked is asked of it on a
//! batch. The findings make a [`CheckReport`].

mod across;
pub(crate) mod batch;
mod case;
mod cost;
mod description;
mod error;
mod extreme;
mod gradient;
mod growth;
mod invariance;
mod report;
mod run;
pub(crate) mod subject;
mod user_batch;

pub use across::across;
pub use case::{BalanceCase, Case, Expected};
pub use error::CheckError;
pub use report::{CheckReport, CheckVerdict, Finding, StrategyReport};
pub use run::{CheckOptions, run};
