//! How a call was made.

/// How a call of a strategy was made. What comes out is the same for those that are recorded and
/// replayed; the others have the bits of single operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// No call was made, programs are turned off, or the call was probed or failed.
    #[default]
    Plain,
    /// By the plugin, and its operations cannot be run again without it, for this reason.
    Unrecordable(&'static str),
    /// By the plugin, and recorded as a program.
    Recorded,
    /// By a program, without the plugin.
    Replayed,
}
