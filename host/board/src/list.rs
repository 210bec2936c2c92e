//! The page of all runs.

use std::collections::{BTreeMap, BTreeSet};

use lossmith_run::{Direction, Leaves, PluginEntry, RowKind, estimate, varying};
use maud::{Markup, html};

use crate::groups::{SEED, group, is_end};
use crate::labels::{address, status};
use crate::library::Library;
use crate::overview::Overview;
use crate::page::{Resources, page};
use crate::query::Query;
use crate::spark;
use crate::text::{number, shown};

/// So many runs are shown, unless all are asked for.
const SHOWN: usize = 200;
/// Keys of the experiment that are shown beside a run.
const VARIES: usize = 6;

/// A run with its name and what makes it another one than the others.
struct Line<'a> {
    name: &'a str,
    run: &'a Overview,
    varies: BTreeMap<String, String>,
}

pub(crate) fn render(library: &Library, query: &Query) -> Markup {
    let all = library.runs();
    let mut lines: Vec<Line<'_>> = all
        .iter()
        .filter(|(name, run)| query.takes(name, run))
        .map(|(name, run)| Line { name, run, varies: BTreeMap::new() })
        .collect();
    lines.sort_by(|one, other| query.compare((one.name, one.run), (other.name, other.run)));
    let leaves: Vec<Option<&Leaves>> = lines.iter().map(|line| line.run.leaves.as_ref()).collect();
    for (line, varies) in lines.iter_mut().zip(varying(&leaves)) {
        line.varies = varies;
    }
    let usual = usual_metrics(&lines);
    let chosen = query.metrics();
    let metrics: Vec<&str> = if chosen.is_empty() { usual.iter().map(String::as_str).collect() } else { chosen };
    let living = lines.iter().filter(|line| line.run.goes_on()).count();
    let body = html! {
        h1 { "Runs" }
        (controls(query, &lines, &metrics))
        p.count data-part="count" id="count" {
            (lines.len()) " of " (all.len()) " runs" @if living > 0 { ", " (living) " at work" }
        }
        @for problem in &library.problems { p.problem { (shown(problem)) } }
        @if all.is_empty() {
            p {
                "There are no runs here yet. " code { "lossmith train EXPERIMENT" }
                " makes one, and it appears here by itself."
            }
        } @else if query.group.is_empty() {
            (table(query, &lines, &metrics))
        } @else {
            (grouped(query, &lines, &metrics))
        }
    };
    page("Runs", None, &Resources::Served, &body)
}

/// The loss, and what marks the best checkpoints.
fn usual_metrics(lines: &[Line<'_>]) -> Vec<String> {
    let mut metrics: BTreeSet<&str> = lines.iter().map(|line| line.run.metric.as_str()).collect();
    metrics.remove("");
    metrics.into_iter().chain(["loss"]).map(str::to_owned).collect()
}

fn controls(query: &Query, lines: &[Line<'_>], metrics: &[&str]) -> Markup {
    let measured = |line: &Line<'_>| {
        let names = line.run.curves.iter().filter(|(kind, ..)| *kind == RowKind::Evaluation);
        names.map(|(_, name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    let known: BTreeSet<String> = lines.iter().flat_map(measured).filter(|name| !name.contains("accuracy.")).collect();
    let keys: BTreeSet<&str> = lines.iter().flat_map(|line| line.varies.keys()).map(String::as_str).collect();
    html! {
        form.controls method="get" action="/" role="search" {
            label {
                "Find "
                input type="search" name="q" value=(query.q) placeholder="words, key=value, status=running";
            }
            label {
                "Group by "
                select name="group" {
                    option value="" { "nothing" }
                    option value=(SEED) selected[query.group == SEED] { "all but the seed" }
                    @for key in keys.iter().filter(|key| !is_end(key, SEED)) {
                        option value=(key) selected[query.group == *key] { (shown(key)) }
                    }
                }
            }
            label {
                "Columns "
                input name="columns" value=(query.columns) list="metrics" placeholder=(metrics.join(","));
            }
            datalist #metrics { @for name in &known { option value=(shown(name)) {} } }
            @if !query.sort.is_empty() { input type="hidden" name="sort" value=(query.sort); }
            button { "Show" }
            @if *query != Query::default() { a href="/" { "all runs, as usual" } }
        }
    }
}

/// The head of a column by which the list can be sorted.
fn head(query: &Query, key: &str, title: &str, class: &str) -> Markup {
    let (by, down) = query.order();
    let sorted = (by == key).then_some(if down { "descending" } else { "ascending" });
    html! {
        th.(class) aria-sort=[sorted] scope="col" {
            a href=(query.sorted_by(key).address()) {
                (shown(title)) @if sorted.is_some() { @if down { " ↓" } @else { " ↑" } }
            }
        }
    }
}

fn metric_heads(query: &Query, metrics: &[&str]) -> Markup {
    html! {
        @for metric in metrics {
            (head(query, metric, metric, "number"))
            th.number scope="col" {
                @match Direction::of(metric) {
                    Some(Direction::Higher) => "best (highest)",
                    Some(Direction::Lower) => "best (lowest)",
                    Some(Direction::Neither) | None => "",
                }
            }
        }
    }
}

fn table(query: &Query, lines: &[Line<'_>], metrics: &[&str]) -> Markup {
    let most = if query.all.is_empty() { SHOWN } else { usize::MAX };
    let first = metrics.first().copied().unwrap_or("loss");
    html! {
        form.controls id="compare" method="get" action="/compare" { button { "Compare the chosen ones" } }
        div.scroll tabindex="0" role="region" aria-label="Runs" {
            table.list {
                thead {
                    tr {
                        th scope="col" { span.hidden { "compare" } }
                        (head(query, "status", "status", "text"))
                        (head(query, "name", "run", "text"))
                        (head(query, "started", "started", "text"))
                        (head(query, "epoch", "epoch", "number"))
                        (metric_heads(query, metrics))
                        th scope="col" { (shown(first)) }
                        th scope="col" { "varies" }
                        th scope="col" { "plugins" }
                    }
                }
                tbody data-rows id="rows" { @for line in lines.iter().take(most) { (row(line, metrics, first)) } }
            }
        }
        @if lines.len() > most {
            p { a href=(Query { all: "yes".into(), ..query.clone() }.address()) { "show all " (lines.len()) } }
        }
    }
}

fn row(Line { name, run, varies }: &Line<'_>, metrics: &[&str], first: &str) -> Markup {
    html! {
        tr id={ "run-" (name) } {
            td { input type="checkbox" name="run" value=(name) form="compare" aria-label={ "compare " (shown(name)) }; }
            td { (status(run)) }
            th scope="row" { a href=(address(name)) { (shown(name)) } }
            td.nowrap { @if let Some(started) = run.started() { (started.strftime("%Y-%m-%d %H:%M")) } }
            td.number { (run.reached.0) }
            @for metric in metrics {
                td.number { @if let Some(value) = run.last(metric) { (number(value)) } }
                td.number { @if let Some((epoch, value)) = run.best(metric) { (number(value)) small { " @" (epoch) } } }
            }
            td { (spark::line(run.points(first))) }
            td.varies {
                @for (key, value) in varies.iter().take(VARIES) { span.pair { (shown(key)) "=" (shown(value)) } " " }
                @if varies.len() > VARIES { "and " (varies.len() - VARIES) " more" }
            }
            td.nowrap {
                @for PluginEntry { slot, strategy, hash, .. } in run.plugins() {
                    code title={ (shown(slot)) " " (shown(strategy)) } { (hash.get(..7).unwrap_or(hash)) } " "
                }
                @if run.swaps() > 0 { span.swaps { (run.swaps()) @if run.swaps() == 1 { " swap" } @else { " swaps" } } }
            }
        }
    }
}

fn grouped(query: &Query, lines: &[Line<'_>], metrics: &[&str]) -> Markup {
    let mut groups = BTreeMap::<String, Vec<&Line<'_>>>::new();
    for line in lines {
        let group = group(&query.group, line.run.leaves.as_ref(), &line.varies);
        groups.entry(group).or_default().push(line);
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label="Groups of runs" {
            table.list {
                thead {
                    tr {
                        th scope="col" { "group" } th.number scope="col" { "runs" }
                        (metric_heads(query, metrics))
                    }
                }
                tbody data-rows id="rows" {
                    @for (name, lines) in &groups {
                        tr id={ "group-" (name) } {
                            th scope="row" {
                                details {
                                    summary { (shown(name)) }
                                    ul {
                                        @for line in lines { li { a href=(address(line.name)) { (shown(line.name)) } } }
                                    }
                                }
                            }
                            td.number { (lines.len()) }
                            @for metric in metrics {
                                td.number { (mean(lines.iter().filter_map(|line| line.run.last(metric)))) }
                                td.number {
                                    (mean(lines.iter().filter_map(|line| Some(line.run.best(metric)?.1))))
                                }
                            }
                        }
                    }
                }
            }
        }
        p.note { "Means with 95 % intervals by Student's t, over the runs of a group." }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Markup {
    let values: Vec<f64> = values.collect();
    html! {
        @if let Some(found) = estimate(&values) {
            (number(found.mean)) @if let Some(half) = found.half_width { " ± " (number(half)) }
        }
    }
}
