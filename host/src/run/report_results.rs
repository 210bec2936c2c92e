//! The tables of a report: what the validation part reached last and at its best, and what the test part reached.

use std::fmt::Write;

use lossmith_run::{Direction, Row, RowKind, best};

use super::html::escape;

/// The parts that are measured again and again, and the one that is measured once.
pub(super) fn results(rows: &[Row]) -> String {
    let evaluations: Vec<&Row> = rows.iter().filter(|row| row.kind == RowKind::Evaluation).collect();
    let with = |part: &str| {
        let measured = |row: &&&Row| row.values.keys().any(|name| name.starts_with(part));
        evaluations.iter().rfind(measured).copied()
    };
    let validation = with("validation/").map(|last| validation(rows, last)).unwrap_or_default();
    validation + &with("test/").map(test).unwrap_or_default()
}

fn validation(rows: &[Row], last: &Row) -> String {
    let mut html = format!(
        "<table>\n<tr><th>Validation part</th><th class=\"n\">Epoch {}</th><th class=\"n\">Best</th>\
         <th class=\"n\">in epoch</th><th>Better is</th></tr>\n",
        last.epoch
    );
    for (name, value) in last.values.iter().filter(|(name, _)| name.starts_with("validation/")) {
        let best = best(rows, name).map_or_else(
            || "<td></td><td></td>".to_owned(),
            |(epoch, value)| format!("<td class=\"n\">{value:.4}</td><td class=\"n\">{epoch}</td>"),
        );
        let better = match Direction::of(name) {
            Some(Direction::Higher) => "higher",
            Some(Direction::Lower) => "lower",
            Some(Direction::Neither) | None => "",
        };
        let name = escape(name.strip_prefix("validation/").unwrap_or(name));
        let _ = writeln!(html, "<tr><td>{name}</td><td class=\"n\">{value:.4}</td>{best}<td>{better}</td></tr>");
    }
    html + "</table>\n"
}

/// One number for each metric: it is measured with one checkpoint only.
fn test(row: &Row) -> String {
    let mut html = format!(
        "<table>\n<tr><th>Test part, measured once, with the weights of epoch {}</th><th class=\"n\">Value</th></tr>\n",
        row.epoch
    );
    for (name, value) in row.values.iter().filter_map(|(name, value)| Some((name.strip_prefix("test/")?, value))) {
        let _ = writeln!(html, "<tr><td>{}</td><td class=\"n\">{value:.4}</td></tr>", escape(name));
    }
    html + "</table>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(epoch: u64, values: &[(&str, f64)]) -> Row {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Row { kind: RowKind::Evaluation, epoch, step: epoch, values }
    }

    #[test]
    fn the_best_ratio_is_the_lowest_and_the_test_part_has_one_value() {
        let rows = [
            row(1, &[("validation/distance-ratio", 0.9), ("validation/map-at-r", f64::NAN)]),
            row(2, &[("validation/distance-ratio", 0.5), ("validation/map-at-r", 0.3)]),
            row(3, &[("validation/distance-ratio", 0.7), ("validation/map-at-r", 0.2), ("validation/<x>", 2.0)]),
            row(2, &[("test/map-at-r", 0.25), ("test/intra-distance", 1.5)]),
        ];
        let html = results(&rows);
        let cells = |cells: [&str; 4]| {
            let [last, best, epoch, better] = cells;
            format!(
                "<td class=\"n\">{last}</td><td class=\"n\">{best}</td><td class=\"n\">{epoch}</td><td>{better}</td>"
            )
        };
        let ratio = format!("<td>distance-ratio</td>{}", cells(["0.7000", "0.5000", "2", "lower"]));
        let map = format!("<td>map-at-r</td>{}", cells(["0.2000", "0.3000", "2", "higher"]));
        assert!(html.contains(&ratio) && html.contains(&map) && html.contains("Epoch 3"), "{html}");
        assert!(html.contains("<td>&lt;x&gt;</td><td class=\"n\">2.0000</td><td></td><td></td><td></td>"), "{html}");
        assert!(
            html.contains("with the weights of epoch 2")
                && html.contains("<td>map-at-r</td><td class=\"n\">0.2500</td></tr>")
        );
        assert_eq!(results(&[]), "");
    }
}
