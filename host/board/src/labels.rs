//! A run's address and status, and a component, as every page shows them.

use form_urlencoded::Serializer;
use lossmith_run::PluginEntry;
use maud::{Markup, html};

use crate::overview::Overview;
use crate::text::{short, shown};

/// Where the page of a run is.
pub(crate) fn address(name: &str) -> String {
    named("/run?", name)
}

/// Where the curves of a run are.
pub(crate) fn curves(name: &str) -> String {
    named("/curves?", name)
}

fn named(start: &str, name: &str) -> String {
    Serializer::for_suffix(start.to_owned(), start.len()).append_pair("name", name).finish()
}

/// How it stands with a run, in a word.
pub(crate) fn status(run: &Overview) -> Markup {
    let status = run.status.to_string();
    html! {
        span.status.(status) { (status) }
        @if let Some(problem) = &run.problem { div.problem { (shown(problem)) } }
    }
}

/// A component by its slot, strategy and hash.
pub(crate) fn plugin(PluginEntry { slot, strategy, hash, .. }: &PluginEntry) -> Markup {
    html! { (shown(slot)) " " b { (shown(strategy)) } " " code title=(hash) { (short(hash)) } }
}
