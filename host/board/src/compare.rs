//! The page of several runs over each other.

use std::collections::{BTreeMap, BTreeSet};

use form_urlencoded::Serializer;
use lossmith_run::{Direction, Leaves, RowKind, estimate, varying};
use maud::{Markup, html};

use crate::chart_frame;
use crate::groups::{SEED, group, seeds};
use crate::labels::{address, plugin, status};
use crate::overview::Overview;
use crate::page::{Resources, page};
use crate::text::{number, shown};

/// Runs by name.
pub(crate) type Runs<'a> = [(&'a str, &'a Overview)];

/// Where curves of several runs are.
fn source(runs: &Runs<'_>) -> String {
    let start = "/compare/curves?";
    let mut address = Serializer::for_suffix(start.to_owned(), start.len());
    for (name, _) in runs {
        address.append_pair("run", name);
    }
    address.finish()
}

/// The group of each run: what it has besides its seed that not all have.
pub(crate) fn seed_groups(runs: &Runs<'_>) -> Vec<String> {
    let leaves: Vec<Option<&Leaves>> = runs.iter().map(|(_, run)| run.leaves.as_ref()).collect();
    varying(&leaves).iter().zip(leaves).map(|(varies, leaves)| group(SEED, leaves, varies)).collect()
}

pub(crate) fn render(runs: &Runs<'_>, missing: &[String]) -> Markup {
    let body = html! {
        h1 { "Compare " (runs.len()) " runs" }
        @for name in missing { p.problem { (shown(name)) " is not here, or not any more." } }
        @if runs.is_empty() {
            p { "Choose runs " a href="/" { "in the list" } " and compare them from there." }
        } @else {
            (chart_frame::section(Some(&source(runs)), false))
            (differences(runs))
            (results(runs))
            (paired(runs))
        }
    };
    page("Compare", None, &Resources::Served, &body)
}

fn head(title: &str, runs: &Runs<'_>) -> Markup {
    html! {
        thead {
            tr {
                th scope="col" { (title) }
                @for (name, _) in runs { th scope="col" { a href=(address(name)) { (shown(name)) } } }
            }
        }
    }
}

/// Only what is not the same in all.
fn differences(runs: &Runs<'_>) -> Markup {
    let leaves: Vec<Option<&Leaves>> = runs.iter().map(|(_, run)| run.leaves.as_ref()).collect();
    let varies = varying(&leaves);
    let keys: BTreeSet<&String> = varies.iter().flat_map(BTreeMap::keys).collect();
    let facts: Vec<BTreeMap<&str, String>> = runs.iter().map(|(_, run)| run.facts()).collect();
    let names: BTreeSet<&str> = facts.iter().flat_map(BTreeMap::keys).copied().collect();
    let differ = |name: &&str| facts.iter().any(|of| of.get(name) != facts.first().and_then(|first| first.get(name)));
    let plugins: BTreeSet<Vec<&str>> =
        runs.iter().map(|(_, run)| run.plugins().iter().map(|plugin| plugin.hash.as_str()).collect()).collect();
    html! {
        h2 { "What differs" }
        div.scroll tabindex="0" role="region" aria-label="What differs" {
            table {
                (head("key", runs))
                tbody {
                    tr { th scope="row" { "status" } @for (_, run) in runs { td { (status(run)) } } }
                    @for key in keys {
                        tr {
                            th scope="row" { (shown(key)) }
                            @for of in &varies { td { (value(of.get(key))) } }
                        }
                    }
                    @for name in names.into_iter().filter(differ) {
                        tr {
                            th scope="row" { (name) }
                            @for of in &facts { td { (value(of.get(name))) } }
                        }
                    }
                    @if plugins.len() > 1 {
                        tr {
                            th scope="row" { "components" }
                            @for (_, run) in runs { td { @for one in run.plugins() { div { (plugin(one)) } } } }
                        }
                    }
                }
            }
        }
    }
}

fn value(value: Option<&String>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| shown(value))
}

/// The metrics of evaluations that one of the runs has, without those of single classes.
fn metrics<'a>(runs: &Runs<'a>) -> BTreeSet<&'a str> {
    let of = |run: &'a Overview| run.curves.iter().filter(|(kind, ..)| *kind == RowKind::Evaluation);
    runs.iter()
        .flat_map(|(_, run)| of(run))
        .map(|(_, name, _)| name)
        .filter(|name| !name.contains("accuracy."))
        .collect()
}

fn results(runs: &Runs<'_>) -> Markup {
    html! {
        h2 { "Results: the best where a metric has one, else the last" }
        div.scroll tabindex="0" role="region" aria-label="Results" {
            table {
                (head("metric", runs))
                tbody {
                    @for metric in metrics(runs) {
                        tr {
                            th scope="row" { (shown(metric)) }
                            @for (_, run) in runs {
                                td.number { @if let Some(value) = run.shown(metric) { (number(value)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The differences of two groups over the seeds that both have.
fn paired(runs: &Runs<'_>) -> Markup {
    let mut groups = BTreeMap::<String, BTreeMap<String, &Overview>>::new();
    for ((_, run), name) in runs.iter().zip(seed_groups(runs)) {
        groups.entry(name).or_default().insert(seeds(run.leaves.as_ref()), run);
    }
    let mut groups = groups.into_iter();
    let Some((base_name, base)) = groups.next() else { return html! {} };
    let others: Vec<_> =
        groups.filter(|(_, other)| other.keys().filter(|seed| base.contains_key(*seed)).count() > 1).collect();
    let difference = |other: &BTreeMap<String, &Overview>, metric: &str| {
        let of = |(seed, run): (&String, &&Overview)| Some(run.shown(metric)? - base.get(seed)?.shown(metric)?);
        let values: Vec<f64> = other.iter().filter_map(of).collect();
        estimate(&values).map(|found| (found, values.len()))
    };
    html! {
        @if !others.is_empty() {
            h2 { "Paired differences, by seed" }
            p.note {
                "Of each metric the mean of the differences to " b { (shown(&base_name)) }
                " over the seeds that both have, with its 95 % interval by Student's t. "
                "Bold where the interval leaves out 0."
            }
            div.scroll tabindex="0" role="region" aria-label="Paired differences" {
                table {
                    thead {
                        tr {
                            th scope="col" { "metric" }
                            @for (name, _) in &others { th scope="col" { (shown(name)) } }
                            th scope="col" { "better is" }
                        }
                    }
                    tbody {
                        @for metric in metrics(runs) {
                            tr {
                                th scope="row" { (shown(metric)) }
                                @for (_, other) in &others {
                                    td.number {
                                        @if let Some((found, count)) = difference(other, metric) {
                                            @let half = found.half_width.unwrap_or(f64::INFINITY);
                                            @let text = format!("{} ± {} ({count})", number(found.mean), number(half));
                                            @if found.mean.abs() > half { b { (text) } } @else { (text) }
                                        }
                                    }
                                }
                                td {
                                    @match Direction::of(metric) {
                                        Some(Direction::Higher) => "higher",
                                        Some(Direction::Lower) => "lower",
                                        Some(Direction::Neither) | None => "",
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The end of a run's name that tells it from the others.
pub(crate) fn short_names(runs: &Runs<'_>) -> Vec<String> {
    let parent = |name: &str| name.rsplit_once('/').map(|(parent, _)| parent.to_owned());
    let parents: BTreeSet<Option<String>> = runs.iter().map(|(name, _)| parent(name)).collect();
    let end = |name: &str| match parents.len() {
        1 => name.rsplit_once('/').map_or(name, |(_, end)| end).to_owned(),
        _ => name.to_owned(),
    };
    runs.iter().map(|(name, _)| end(name)).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use lossmith_run::{Event, Row, Run};

    #[test]
    fn pairs_are_of_one_seed() {
        let root = tempfile::tempdir().unwrap();
        let run = |name: &str, seed: u64, margin: f64, value: f64| {
            let run = Run::create(root.path(), name).unwrap();
            run.record(Event::Finished { epoch: 1, step: 2 }).unwrap();
            run.write_experiment(&format!("seed = {seed}\nmargin = {margin}\nreseed = 1\n")).unwrap();
            let values = [("validation/map-at-r".to_owned(), value)].into();
            run.open_metrics().unwrap().write(&Row { kind: RowKind::Evaluation, epoch: 1, step: 2, values }).unwrap();
            let mut overview = Overview::new(run);
            assert!(overview.look());
            overview
        };
        let all = [run("a1", 1, 0.1, 0.5), run("a2", 2, 0.1, 0.7), run("b1", 1, 0.2, 0.75), run("b2", 2, 0.2, 0.95)];
        let runs: Vec<(&str, &Overview)> = ["a1", "a2", "b1", "b2"].into_iter().zip(&all).collect();
        assert_eq!(seed_groups(&runs), ["margin=0.1", "margin=0.1", "margin=0.2", "margin=0.2"]);
        let html = paired(&runs).into_string();
        assert!(html.contains("<b>0.2500 ± 0.0000 (2)</b>") && html.contains("to <b>margin=0.1</b>"), "{html}");
        assert_eq!(paired(&runs[..2]).into_string(), "");
        let html = differences(&runs).into_string();
        assert!(html.contains("margin") && !html.contains("reseed"));
    }
}
