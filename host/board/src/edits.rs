//! The edits of a run: what was asked for, what the checks said, what changed, and what was undone.

use lossmith_run::{Canary, Change, Exchange, Run, RunEdit, Undone, Verdict};
use maud::{Markup, html};

use crate::labels::plugin;
use crate::text::{number, short, shown};

/// Lines of a diff that are shown; of more, how many there are.
const LINES: usize = 400;

pub(crate) fn section(run: &Run, edits: &[RunEdit]) -> Markup {
    html! {
        section id="edits" data-part aria-label="Edits" {
            @if !edits.is_empty() {
                h2 { "Edits while it ran" }
                @for edit in edits { (one(run, edit)) }
            }
        }
    }
}

fn one(run: &Run, edit: &RunEdit) -> Markup {
    let RunEdit { number, asked, origin, verdict, live, undone } = edit;
    let (class, state) = state(edit);
    html! {
        details.edit.(class) id={ "edit-" (number) } {
            summary {
                b { "r" (number) } " " span.state { (state) } " "
                @if let Some(live) = live { "from epoch " (live.epoch.saturating_add(1)) ", step " (live.step) " on " }
                span.origin { (shown(origin)) }
                @if wrong_way(verdict.as_ref()) { span.warning { "its gradient points away from that of before" } }
            }
            div.body {
                p { "Asked for at " (asked.strftime("%Y-%m-%d %H:%M:%S UTC")) " by " code { (shown(origin)) } }
                @if let Some(verdict) = verdict { (of_verdict(verdict)) }
                @if let Some(live) = live {
                    (changes(&live.changes))
                    @for exchange in &live.plugins { (exchanged(run, exchange)) }
                }
                @for undone in undone { (of_undone(undone)) }
            }
        }
    }
}

fn state(edit: &RunEdit) -> (&'static str, &'static str) {
    match (&edit.verdict, &edit.live) {
        (_, Some(_)) if edit.undone.is_empty() => ("live", "became live"),
        (_, Some(_)) => ("undone", "became live and was undone"),
        (None, None) => ("waits", "is being checked"),
        (Some(Verdict::Accepted { .. }), None) => ("waits", "accepted, not live"),
        (Some(Verdict::Refused { .. }), None) => ("refused", "refused"),
        (Some(Verdict::Same), None) => ("refused", "changes nothing"),
        (Some(Verdict::Superseded), None) => ("refused", "superseded by a later one"),
    }
}

/// Whether the gradient of an edit points away from that of what was live: what a wrong sign does, and no check can
/// refuse.
fn wrong_way(verdict: Option<&Verdict>) -> bool {
    match verdict {
        Some(Verdict::Accepted { canary, .. }) => canary.points_away(),
        Some(Verdict::Refused { .. } | Verdict::Same | Verdict::Superseded) | None => false,
    }
}

fn of_verdict(verdict: &Verdict) -> Markup {
    match verdict {
        Verdict::Accepted { canary, reset, milliseconds, .. } => html! {
            p { "Accepted after " (format!("{milliseconds:.0}")) " ms, by a batch of the run:" }
            (of_canary(canary))
            @if !reset.is_empty() { p { "Begins anew: " (shown(&reset.join(", "))) } }
        },
        Verdict::Refused { reason, help } => html! {
            p { "Refused; what was live stayed." }
            pre.reason { (shown(reason)) @if let Some(help) = help { "\n\nhelp: " (shown(help)) } }
        },
        Verdict::Same => html! { p { "It is what was live already." } },
        Verdict::Superseded => html! { p { "A later edit took its place before it was taken." } },
    }
}

fn of_canary(canary: &Canary) -> Markup {
    let Canary { loss, live_loss, cosine, milliseconds } = canary;
    let or = |value: &Option<f64>, none: &str| value.map_or_else(|| none.to_owned(), number);
    html! {
        table.numbers {
            tr { th { "loss of the edit" } td.number { (or(loss, "tried by itself")) } }
            tr { th { "loss of what was live" } td.number { (or(live_loss, "none: it fails on this batch")) } }
            tr { th { "cosine of their gradients" } td.number { (or(cosine, "none")) } }
            tr { th { "forward and backward" } td.number { (format!("{milliseconds:.1}")) " ms" } }
        }
        @if canary.points_away() {
            p.warning { "The gradient points away from that of before: a wrong sign does that." }
        }
    }
}

fn changes(changes: &[Change]) -> Markup {
    let value = |value: &serde_json::Value| if value.is_null() { "(none)".to_owned() } else { value.to_string() };
    html! {
        @if !changes.is_empty() {
            table.changes {
                tr { th scope="col" { "key" } th scope="col" { "before" } th scope="col" { "after" } }
                @for Change { key, from, to } in changes {
                    tr {
                        th scope="row" { (shown(key)) }
                        td.removed { (shown(&value(from))) }
                        td.added { (shown(&value(to))) }
                    }
                }
            }
        }
    }
}

fn exchanged(run: &Run, Exchange { plugin: after, before }: &Exchange) -> Markup {
    let diff = before.as_ref().map(|before| run.source_diff(before, &after.hash));
    html! {
        p { (plugin(after)) @if let Some(before) = before { " in place of " code title=(before) { (short(before)) } } }
        @match diff {
            Some(Ok(diff)) if !diff.is_empty() => (self::diff(&diff)),
            Some(Err(error)) => p.problem { (shown(&error.to_string())) },
            Some(Ok(_)) => p.note { "Its sources are not kept: it was given as a component." },
            None => {},
        }
    }
}

fn diff(text: &str) -> Markup {
    let class = |line: &str| match line.as_bytes().first() {
        Some(b'+') => "added",
        Some(b'-') => "removed",
        _ => "",
    };
    let lines = text.lines().count();
    html! {
        pre.diff tabindex="0" {
            @for line in text.lines().take(LINES) { span.(class(line)) { (shown(line)) } "\n" }
            @if lines > LINES { "and " (lines - LINES) " more lines" }
        }
    }
}

fn of_undone(Undone { epoch, failed_at, to, reason, .. }: &Undone) -> Markup {
    html! {
        p.undone {
            "Undone after step " (failed_at) ": back to the start of epoch " (epoch.saturating_add(1))
            " with revision " (to) "."
        }
        @if !reason.is_empty() { pre.reason { (shown(reason)) } }
    }
}
