//! How each class did, where an experiment asks for a classifier: accuracies, and which were taken for which.

use lossmith_run::{Confusion, Curves, RowKind, Run};
use maud::{Markup, html};

use crate::text::{number, shown};

/// Classes of a matrix; of more, the pairs that are taken for each other most often.
const MATRIX: usize = 30;
const PAIRS: usize = 40;
/// Shades of a matrix.
const SHADES: u64 = 9;

pub(crate) fn section(run: &Run, curves: &Curves) -> Markup {
    let accuracies: Vec<(&str, &str, f64)> = curves
        .iter()
        .filter(|(kind, ..)| *kind == RowKind::Evaluation)
        .filter_map(|(_, name, points)| Some((name, points.last()?.value)))
        .filter_map(|(name, value)| name.split_once("accuracy.").map(|(of, class)| (of, class, value)))
        .collect();
    let confusions = run.confusions().unwrap_or_default();
    html! {
        section id="classes" data-part aria-label="Classes" {
            @if !accuracies.is_empty() || !confusions.is_empty() { h2 { "Classes" } }
            @if !accuracies.is_empty() {
                details {
                    summary { "Accuracy of each class, last evaluation" }
                    table {
                        tr {
                            th scope="col" { "class" } th scope="col" { "measured by" }
                            th.number scope="col" { "accuracy" }
                        }
                        @for (of, class, value) in accuracies {
                            tr {
                                th scope="row" { (shown(class)) }
                                td { (shown(of)) "accuracy" }
                                td.number { (number(value)) }
                            }
                        }
                    }
                }
            }
            @for confusion in &confusions { (taken(confusion)) }
        }
    }
}

fn taken(Confusion { part, classifier, epoch, classes, confusion, .. }: &Confusion) -> Markup {
    html! {
        details {
            summary { "What was taken for what: " (shown(classifier)) ", " (shown(part)) " part, epoch " (epoch) }
            @if classes.len() <= MATRIX { (matrix(classes, confusion)) } @else { (pairs(classes, confusion)) }
        }
    }
}

fn matrix(classes: &[String], confusion: &[Vec<u64>]) -> Markup {
    let shade = |row: &[u64], count: u64| {
        let all: u64 = row.iter().sum();
        if count == 0 { 0 } else { 1 + count.saturating_mul(SHADES - 1) / all.max(1) }
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label="Matrix of classes" {
            table.matrix {
                tr { th { "is ↓ found →" } @for class in classes { th scope="col" { (shown(class)) } } }
                @for (class, row) in classes.iter().zip(confusion) {
                    tr {
                        th scope="row" { (shown(class)) }
                        @for count in row { td.number.{ "shade-" (shade(row, *count)) } { (count) } }
                    }
                }
            }
        }
    }
}

/// The pairs of different classes with most images.
fn pairs(classes: &[String], confusion: &[Vec<u64>]) -> Markup {
    let name = |at: usize| classes.get(at).map(|name| shown(name)).unwrap_or_default();
    let cells = confusion
        .iter()
        .enumerate()
        .flat_map(|(is, row)| row.iter().enumerate().map(move |(as_, count)| (*count, is, as_)));
    let mut pairs: Vec<(u64, usize, usize)> = cells.filter(|(count, is, found)| *count > 0 && is != found).collect();
    pairs.sort_by(|one, other| other.0.cmp(&one.0).then(one.cmp(other)));
    html! {
        table {
            tr { th scope="col" { "is" } th scope="col" { "was taken for" } th.number scope="col" { "images" } }
            @for (count, is, found) in pairs.into_iter().take(PAIRS) {
                tr { td { (name(is)) } td { (name(found)) } td.number { (count) } }
            }
        }
    }
}
