//! Errors as a terminal shows them.

use std::fmt;

use lossmith_plugin::printable::{harmless, is_harmless};
use miette::{Diagnostic, MietteHandler, MietteHandlerOpts, ReportHandler};

/// An error with its causes and help, as lines. Colours and lines of ours stay; in an error with a text that a terminal
/// would act on there are none, and that text is replaced.
#[must_use]
pub fn shown(error: &dyn Diagnostic) -> String {
    // Words stay whole, so that a message can be searched for; the terminal wraps by itself.
    let options = || MietteHandlerOpts::new().wrap_lines(false);
    let plain = Shown(error, options().color(false).build()).to_string();
    if is_harmless(&plain) {
        return Shown(error, options().build()).to_string();
    }
    harmless(&plain).into_owned()
}

struct Shown<'a>(&'a dyn Diagnostic, MietteHandler);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.1.debug(self.0, out)
    }
}
