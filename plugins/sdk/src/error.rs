use std::fmt;

/// Why a strategy could not do its work. The user reads the text: say what was wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub String);

/// The result of a strategy.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<String> for Error {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Error {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}
