//! The languages that plugins are written in.

use std::fmt;

use clap::ValueEnum;

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// A crate.
    Rust,
    /// A folder with `plugin.py`.
    Python,
    /// A folder with `plugin.js`.
    // As `plugin.toml` has it, not as words joined by hyphens.
    #[value(name = "javascript")]
    JavaScript,
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 3] = [Self::Rust, Self::Python, Self::JavaScript];

    /// The name in `plugin.toml` and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::JavaScript => "javascript",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
