//! The progress of a measurement.

/// A moment of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Measuring {
    /// What is being done, in a word or two.
    pub what: &'static str,
    /// How much of it is done.
    pub done: u64,
    /// How much there is; less may do.
    pub of: u64,
}

impl Measuring {
    pub(crate) fn new(what: &'static str, done: i64, of: i64) -> Self {
        Self { what, done: done.unsigned_abs(), of: of.unsigned_abs() }
    }
}

/// A callback that is told the progress.
pub type Watch<'a> = dyn FnMut(Measuring) + 'a;
