//! The parts of the data by name.

use std::fmt;

/// A part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartName {
    /// What the network learns from.
    Train,
    /// What settings and the best checkpoint are chosen by.
    Validation,
    /// What is measured once, at the end.
    Test,
}

impl fmt::Display for PartName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}
