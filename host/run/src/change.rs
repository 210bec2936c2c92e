//! What differs between two experiments.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A changed key of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Where: `objective.0.loss.params.margin`.
    pub key: String,
    /// The value before; null where there was none.
    pub from: Value,
    /// The value after; null where there is none.
    pub to: Value,
}

impl std::fmt::Display for Change {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |value: &Value| if value.is_null() { "(none)".to_owned() } else { value.to_string() };
        write!(formatter, "{}: {} -> {}", self.key, shown(&self.from), shown(&self.to))
    }
}

impl Change {
    /// What differs between two JSON values, in the order of the keys; lists of plain values are compared as a whole.
    #[must_use]
    pub fn all(from: &Value, to: &Value) -> Vec<Self> {
        let mut found = Vec::new();
        compare("", from, to, &mut found);
        found
    }
}

fn compare(path: &str, from: &Value, to: &Value, found: &mut Vec<Change>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let null = Value::Null;
    match (from, to) {
        _ if from == to => {}
        (Value::Object(_) | Value::Null, Value::Object(_)) | (Value::Object(_), Value::Null) => {
            let keys = [from, to].into_iter().filter_map(Value::as_object).flat_map(serde_json::Map::keys);
            let keys: std::collections::BTreeSet<_> = keys.collect();
            for key in keys {
                compare(&below(key), from.get(key).unwrap_or(&null), to.get(key).unwrap_or(&null), found);
            }
        }
        (Value::Array(_) | Value::Null, Value::Array(_)) | (Value::Array(_), Value::Null)
            if nested(from) || nested(to) =>
        {
            let length = |value: &Value| value.as_array().map_or(0, Vec::len);
            for index in 0..length(from).max(length(to)) {
                let at = |value: &Value| value.get(index).cloned().unwrap_or_default();
                compare(&below(&index.to_string()), &at(from), &at(to), found);
            }
        }
        _ => found.push(Change { key: path.to_owned(), from: from.clone(), to: to.clone() }),
    }
}

fn nested(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().any(|item| item.is_object() || item.is_array()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn keys(from: &Value, to: &Value) -> Vec<String> {
        Change::all(from, to).into_iter().map(|change| change.to_string()).collect()
    }

    #[test]
    fn a_change_is_named_by_its_leaf() {
        let from = json!({ "a": { "b": 1, "c": [1, 2] }, "list": [{ "x": 1 }], "same": [{ "y": 2 }] });
        let to =
            json!({ "a": { "b": 2, "c": [1, 3] }, "list": [{ "x": 1, "z": true }, { "x": 2 }], "same": [{ "y": 2 }] });
        let expected = ["a.b: 1 -> 2", "a.c: [1,2] -> [1,3]", "list.0.z: (none) -> true", "list.1.x: (none) -> 2"];
        assert_eq!(keys(&from, &to), expected);
        assert_eq!(keys(&to, &from).len(), 4);
        assert!(keys(&from, &from).is_empty());
    }
}
