//! The page of one run.

use lossmith_run::{Curves, Run, RunEdit};
use maud::{Markup, html};

use crate::overview::Overview;
use crate::text::shown;
use crate::{chart_frame, classes, editor, edits, facts, journal, labels, results, steer};

/// What the page of a run is made of.
pub(crate) struct Subject<'a> {
    pub(crate) name: &'a str,
    pub(crate) overview: &'a Overview,
    pub(crate) curves: &'a Curves,
    pub(crate) edits: &'a [RunEdit],
}

/// What a server lets a page do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    /// Whether sources of plugins may be edited.
    pub(crate) edit: bool,
}

/// The whole of it, with commands for the training where a server can pass them on (`served`). What grows while the run
/// goes on is in parts with ids, which the page exchanges by themselves.
pub(crate) fn render(subject: &Subject<'_>, served: Option<Served>) -> Markup {
    let Subject { name, overview, curves, edits } = *subject;
    let run: &Run = &overview.run;
    html! {
        div id="head" data-part {
            h1 { (shown(name)) }
            p.facts {
                (labels::status(overview))
                " epoch " b { (overview.reached.0) } ", step " b { (overview.reached.1) }
                @if let Some((epoch, value)) = overview.best(&overview.metric) {
                    ", best " (shown(&overview.metric)) " " b { (crate::text::number(value)) } " in epoch " (epoch)
                }
            }
            @if curves.skipped() > 0 {
                p.problem {
                    (curves.skipped()) @if curves.skipped() == 1 { " line" } @else { " lines" }
                    " of metrics.jsonl not understood and left out: "
                    "torn, or of a later version."
                }
            }
        }
        @if served.is_some() && overview.goes_on() { (steer::section(overview)) }
        (edits::section(run, edits))
        @if served.is_some_and(|served| served.edit) { (editor::section(overview)) }
        (chart_frame::section(served.map(|_| labels::curves(name)).as_deref(), served.is_some()))
        dialog id="edit-dialog" aria-label="An edit" {
            form method="dialog" { button { "Close" } }
            div id="edit-shown" {}
        }
        (results::section(curves))
        (classes::section(run, curves))
        (journal::section(&overview.entries))
        (facts::section(run, overview.manifest.as_ref()))
    }
}
