//! An evaluation as text: numbers of the whole, a table of the slices, a table of the classes.

use std::collections::{BTreeMap, BTreeSet};

use comfy_table::{CellAlignment, Table, presets};

use super::output;

/// A table's name of a metric and what comes behind the first dot: `slice.0.map-at-r` is `0.map-at-r` of `slice`.
type Parts<'a> = BTreeMap<&'a str, BTreeMap<&'a str, f64>>;

/// The text of an evaluation's values, by their names in the record without the part.
pub(super) fn text(values: &BTreeMap<String, f64>) -> String {
    let mut parts = Parts::new();
    let mut text = String::new();
    for (name, value) in values {
        match name.split_once('.') {
            Some((table, rest)) => _ = parts.entry(table).or_default().insert(rest, *value),
            None => text += &format!("  {name:<38} {value:.4}\n"),
        }
    }
    let tables = [slices(&parts), classes(&parts)].into_iter().flatten();
    text + &tables.map(|table| format!("\n{table}\n")).collect::<String>()
}

fn slices(parts: &Parts<'_>) -> Option<Table> {
    let slices = parts.get("slice")?;
    let metrics = ["precision-at-1", "r-precision", "map-at-r"];
    let mut table = table(["slice", "P@1", "R-precision", "MAP@R"].map(str::to_owned).to_vec());
    let numbers: BTreeSet<u64> = slices.keys().filter_map(|name| name.split_once('.')?.0.parse().ok()).collect();
    for slice in numbers {
        let value = |metric: &&str| shown(slices.get(format!("{slice}.{metric}").as_str()));
        table.add_row(std::iter::once(slice.to_string()).chain(metrics.iter().map(value)));
    }
    Some(table)
}

/// The accuracy of each classifier, class by class.
fn classes(parts: &Parts<'_>) -> Option<Table> {
    let classifiers: Vec<(&str, &BTreeMap<&str, f64>)> =
        parts.iter().filter_map(|(name, classes)| Some((name.strip_suffix("-accuracy")?, classes))).collect();
    let (_, first) = classifiers.first()?;
    let header = std::iter::once("class, accuracy").chain(classifiers.iter().map(|(name, _)| *name));
    let mut table = table(header.map(str::to_owned).collect());
    for class in first.keys() {
        let values = classifiers.iter().map(|(_, classes)| shown(classes.get(class)));
        table.add_row(std::iter::once((*class).to_owned()).chain(values));
    }
    Some(table)
}

fn table(header: Vec<String>) -> Table {
    let mut table = output::table(presets::NOTHING);
    table.set_header(header);
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

fn shown(value: Option<&f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.4}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_and_classes_are_tables() {
        let values = [
            ("map-at-r", 0.5),
            ("linear-accuracy", 0.75),
            ("linear-accuracy.a", 0.25),
            ("linear-accuracy.b", 1.0),
            ("class-mean-accuracy.b", 0.125),
            ("slice.0.map-at-r", 0.3),
            ("slice.10.map-at-r", 0.4),
            ("slice.2.precision-at-1", 0.6),
        ];
        let values = values.map(|(name, value)| (name.to_owned(), value)).into();
        let text = text(&values);
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        for line in [
            vec!["map-at-r", "0.5000"],
            vec!["linear-accuracy", "0.7500"],
            vec!["0", "-", "-", "0.3000"],
            vec!["2", "0.6000", "-", "-"],
            vec!["10", "-", "-", "0.4000"],
            vec!["class,", "accuracy", "class-mean", "linear"],
            vec!["b", "0.1250", "1.0000"],
        ] {
            assert!(words.contains(&line), "{line:?} is missing in\n{text}");
        }
    }
}
