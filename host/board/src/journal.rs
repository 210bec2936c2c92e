//! The journal as a timeline.

use lossmith_run::{Entry, Event, Verdict};
use maud::{Markup, html};

use crate::text::shown;

/// Events that are shown; the last ones.
const EVENTS: usize = 500;

pub(crate) fn section(journal: &[Entry]) -> Markup {
    let left_out = journal.len().saturating_sub(EVENTS);
    html! {
        section id="journal" data-part aria-label="Journal" {
            h2 { "Journal" }
            @if left_out > 0 { p.note { "The first " (left_out) " events are only in journal.jsonl." } }
            ol.timeline tabindex="0" {
                @for Entry { time, event } in journal.iter().skip(left_out) {
                    li.(class(event)) {
                        time datetime=(time) { (time.strftime("%Y-%m-%d %H:%M:%S")) }
                        pre { (shown(&event.to_string())) }
                    }
                }
            }
        }
    }
}

fn class(event: &Event) -> &'static str {
    match event {
        Event::Swap { .. } => "swap",
        Event::Rollback { .. } | Event::Failed { .. } | Event::Verdict { verdict: Verdict::Refused { .. }, .. } => {
            "bad"
        }
        Event::Verdict { .. } | Event::Candidate { .. } | Event::Control { .. } => "asked",
        Event::Checkpoint { .. } => "minor",
        Event::Started { .. }
        | Event::Finished { .. }
        | Event::StoppedEarly { .. }
        | Event::Interrupted { .. }
        | Event::DataChanged { .. }
        | Event::DataMoved { .. }
        | Event::Ranks { .. } => "",
    }
}
