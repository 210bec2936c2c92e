//! The progress of a measurement, in one line of a terminal that is gone when it is done.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::eval::Measuring;

/// The line of progress; nothing where there is no terminal.
pub(super) struct ProgressLine(ProgressBar);

impl ProgressLine {
    pub(super) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        // The template is a constant that indicatif accepts; without it its own style would do.
        let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}");
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    pub(super) fn show(&mut self, now: Measuring) {
        self.0.set_message(now.what);
        self.0.set_length(now.of);
        self.0.set_position(now.done);
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
