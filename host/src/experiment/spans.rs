//! Spans of keys and values in a TOML text.

use std::ops::Range;

use toml_edit::{Document, Item, Value};

/// The part of an entry that a span covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpanPart {
    Key,
    Value,
}

/// Where the entry at `path` is (`objective.0.loss.params.margin`); where the nearest entry around it is, when it is
/// not written out.
pub(super) fn find(text: &str, path: &str, part: SpanPart) -> Option<Range<usize>> {
    let document = Document::parse(text).ok()?;
    let mut here = Next::Item(document.as_item());
    let mut span = None;
    for step in path.split('.') {
        let found = match here {
            Next::Item(item) => in_item(item, step),
            Next::Value(value) => in_value(value, step),
            Next::Table(table) => in_table(table, step),
        };
        let Some((key, next)) = found else { break };
        span = match part {
            SpanPart::Key => key.or_else(|| next.span()),
            SpanPart::Value => next.span().or(key),
        };
        here = next;
    }
    span
}

/// What is below an entry: the kinds of things that TOML nests.
#[derive(Clone, Copy)]
enum Next<'a> {
    Item(&'a Item),
    Value(&'a Value),
    Table(&'a toml_edit::Table),
}

impl Next<'_> {
    fn span(&self) -> Option<Range<usize>> {
        match self {
            Self::Item(item) => item.span(),
            Self::Value(value) => value.span(),
            Self::Table(table) => table.span(),
        }
    }
}

type Entry<'a> = (Option<Range<usize>>, Next<'a>);

fn in_item<'a>(item: &'a Item, step: &str) -> Option<Entry<'a>> {
    match item {
        Item::Table(table) => in_table(table, step),
        Item::ArrayOfTables(tables) => Some((None, Next::Table(tables.get(step.parse().ok()?)?))),
        Item::Value(value) => in_value(value, step),
        Item::None => None,
    }
}

fn in_table<'a>(table: &'a toml_edit::Table, step: &str) -> Option<Entry<'a>> {
    let (key, item) = table.get_key_value(step)?;
    Some((key.span(), Next::Item(item)))
}

fn in_value<'a>(value: &'a Value, step: &str) -> Option<Entry<'a>> {
    match value {
        Value::InlineTable(table) => {
            let (key, item) = table.get_key_value(step)?;
            Some((key.span(), Next::Item(item)))
        }
        Value::Array(array) => Some((None, Next::Value(array.get(step.parse().ok()?)?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "epochs = 3\n\n[[objective]]\nweight = 1.0\nloss = { plugin = \"losses\", params = { margin = -1 } }\n";

    fn at(path: &str, part: SpanPart) -> Option<&'static str> {
        find(TEXT, path, part).and_then(|span| TEXT.get(span))
    }

    #[test]
    fn places_are_found_through_tables_arrays_and_inline_tables() {
        assert_eq!(at("epochs", SpanPart::Value), Some("3"));
        assert_eq!(at("objective.0.weight", SpanPart::Key), Some("weight"));
        assert_eq!(at("objective.0.loss.params.margin", SpanPart::Value), Some("-1"));
    }

    #[test]
    fn what_is_not_written_out_has_the_place_around_it() {
        assert_eq!(at("objective.0.loss.strategy", SpanPart::Key), Some("loss"));
        assert_eq!(at("model.width", SpanPart::Value), None);
    }
}
