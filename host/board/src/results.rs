//! What the parts of the data gave last and at their best.

use std::collections::BTreeSet;

use lossmith_run::{Curves, Direction, Point, RowKind, best_of};
use maud::{Markup, html};

use crate::text::{number, shown};

pub(crate) fn section(curves: &Curves) -> Markup {
    let measured: Vec<(&str, &str, &[Point])> = curves
        .iter()
        .filter(|(kind, ..)| *kind == RowKind::Evaluation)
        .filter_map(|(_, name, points)| name.split_once('/').map(|(part, metric)| (part, metric, points)))
        .filter(|(_, metric, _)| !metric.contains("accuracy."))
        .collect();
    let parts: BTreeSet<&str> = measured.iter().map(|(part, ..)| *part).collect();
    html! {
        section id="results" data-part aria-label="Results" {
            @if !parts.is_empty() { h2 { "Results" } }
            // What is measured again and again comes first.
            @for part in parts.into_iter().rev() {
                div.scroll tabindex="0" role="region" aria-label={ "Results of the " (shown(part)) " part" } {
                    table {
                        thead {
                            tr {
                                th scope="col" { (title(part, &measured)) }
                                th.number scope="col" { "last" } th.number scope="col" { "best" }
                                th.number scope="col" { "in epoch" } th scope="col" { "better is" }
                            }
                        }
                        tbody { @for (of, metric, points) in &measured { @if *of == part { (line(metric, points)) } } }
                    }
                }
            }
        }
    }
}

/// The test part is measured once, with the weights of one epoch.
fn title(part: &str, measured: &[(&str, &str, &[Point])]) -> String {
    let mut points = measured.iter().filter(|(of, ..)| *of == part).filter_map(|(_, _, points)| points.last());
    match (part, points.next()) {
        ("test", Some(point)) => format!("test part, with the weights of epoch {}", point.epoch),
        _ => format!("{} part", shown(part)),
    }
}

fn line(metric: &str, points: &[Point]) -> Markup {
    let best = best_of(metric, points.iter().map(|point| (point.epoch, point.value)));
    html! {
        tr {
            th scope="row" { (shown(metric)) }
            td.number { @if let Some(last) = points.last() { (number(last.value)) } }
            td.number { @if let Some((_, value)) = best { (number(value)) } }
            td.number { @if let Some((epoch, _)) = best { (epoch) } }
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
