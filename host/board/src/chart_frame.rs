//! The place where the browser draws curves, with what can be chosen of them.

use maud::{Markup, html};

/// `source` is where the curves are, and `exact` says that a part of them can be had from there; without a source they
/// are in the page.
pub(crate) fn section(source: Option<&str>, exact: bool) -> Markup {
    html! {
        section aria-label="Curves" {
            h2 { "Curves" }
            div.controls id="chart-controls" hidden {
                label { "Axis " select id="axis" { option value="step" { "steps" } option value="epoch" { "epochs" } } }
                label { "Smoothing " input id="smoothing" type="range" min="0" max="0.99" step="0.01" value="0"; }
                label { input id="logarithmic" type="checkbox"; " logarithmic" }
                label { "Only " input id="only" type="search" placeholder="a metric"; }
                span.note { "Drag to zoom, double-click to see all. A mark is an edit: click it." }
            }
            div id="charts" data-source=[source] data-exact[exact] {}
            noscript { p { "The curves need JavaScript; the numbers are below." } }
        }
    }
}
